//! Property tests for access tokens and for arbitrary text.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::config::Algorithm;
use crate::id::SystemRandom;
use crate::token::keyring::OpenKey;
use crate::token::seal::MasterSecret;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

#[test]
fn only_issued_tokens_verify() {
    let keys = KeySet::new(
        1,
        &[OpenKey::access(Algorithm::EdDsa, &SystemRandom)],
        &[],
        &MasterSecret::random(&SystemRandom),
    )
    .unwrap();
    let profile = Profile {
        issuer: "https://a.test".into(),
        audience: "b".into(),
        ttl: Duration::from_secs(900),
        encrypted_claims: None,
    };
    let world = (
        any::<([u8; 16], [u8; 16])>(),
        prop::collection::btree_set("[a-z][a-z0-9-]{0,8}", 0..5),
        (any::<u32>(), any::<u32>(), "[a-z][a-z0-9.@-]{0,127}"),
        any::<prop::sample::Index>(),
        32..127_u8,
        prop_oneof![".{0,80}", "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){1,3}"],
    );
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(
        &world,
        |((session, user), roles, (rights, generation, login), at, other, anything)| {
            let subject = Subject {
                session_id: SessionId::from_bytes(session),
                user_id: UserId::from_bytes(user),
                roles: Roles::parse(roles.iter().map(String::as_str)).unwrap(),
                rights: RightsVersion(rights),
                generation,
                login: Some(login.parse().unwrap()),
                // Some texts are no address or no name.
                attributes: Attributes::new(anything.parse().ok(), true, anything.parse().ok()),
                proof: Proof {
                    methods: anything.parse().unwrap(),
                    at: Timestamp::from_secs(i64::from(rights)),
                },
            };
            let end = NOW + Duration::from_secs(86_400);
            let token = issue(&profile, &subject, NOW, end, &keys, &SystemRandom).unwrap();
            let (text, expires_at) = (token.token.expose().clone(), token.expires_at);
            prop_assert_eq!(verify(&text, &profile, NOW, &keys), Ok(Verified { subject, expires_at }));
            prop_assert!(claims_issuer(&text, &profile.issuer));

            let at = at.index(text.len());
            let mut bent = text.clone().into_bytes();
            bent[at] = other;
            let bent = String::from_utf8(bent).unwrap();
            prop_assert!(bent == text || verify(&bent, &profile, NOW, &keys).is_err(), "{}", bent);
            prop_assert!(verify(&text[..at], &profile, NOW, &keys).is_err(), "cut at {}", at);
            prop_assert!(verify(&anything, &profile, NOW, &keys).is_err());
            prop_assert!(!claims_issuer(&anything, "https://a.test"));
            Ok(())
        },
    );
    result.unwrap_or_else(|error| panic!("{error}"));
}
