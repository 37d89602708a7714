//! T31-T38, T44: only issued tokens are accepted, and parsing never panics.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use doorward::clock::Timestamp;
use doorward::config::Algorithm;
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::{Attributes, RightsVersion, Roles};
use doorward::token::access::{self, Profile, Subject};
use doorward::token::keyring::{KeySet, OpenKey};
use doorward::token::refresh::{FamilyId, RefreshToken};
use doorward::token::seal::MasterSecret;
use libfuzzer_sys::fuzz_target;

struct World {
    keys: KeySet,
    profile: Profile,
    access: String,
    refresh: String,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let random: &dyn Random = &SystemRandom;
    let (access, refresh) = (OpenKey::access(Algorithm::EdDsa, random), OpenKey::refresh(1, random));
    let keys = KeySet::new(1, &[access], &[refresh], &MasterSecret::random(random)).expect("fresh keys");
    let profile = Profile {
        issuer: "http://a".into(),
        audience: "b".into(),
        ttl: Duration::from_secs(900),
        encrypted_claims: None,
    };
    let subject = Subject {
        session_id: SessionId::random(random),
        user_id: UserId::random(random),
        roles: Roles::parse(["admin"]).expect("a role"),
        rights: RightsVersion(1),
        generation: 3,
        login: Some("ada".parse().expect("a login name")),
        attributes: Attributes::new("ada@example.org".parse().ok(), true, "Ada".parse().ok()),
        proof: doorward::identity::Proof::NONE,
    };
    let end = Timestamp::from_secs(2_000_000_000);
    let issued = access::issue(&profile, &subject, now(), end, &keys, random).expect("a signer");
    let family = RefreshToken { family: FamilyId::random(random), generation: 3 };
    let refresh = family.encode(1, &keys, now()).expect("a key").expose().clone();
    World { access: issued.token.expose().clone(), keys, profile, refresh }
});

fn now() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}

/// `text` with a few bytes changed according to the input: random data alone never passes the first check.
fn bent(text: &str, changes: &[u8]) -> Vec<u8> {
    let mut bent = text.as_bytes().to_vec();
    for change in changes.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bent.len();
        bent[at] = change[2];
    }
    bent
}

fuzz_target!(|data: &[u8]| {
    let world = &*WORLD;
    for text in [data.to_vec(), bent(&world.access, data)] {
        let Ok(text) = std::str::from_utf8(&text) else { continue };
        let _ = access::claims_issuer(text, "http://a");
        let believed = access::verify(text, &world.profile, now(), &world.keys).is_ok();
        assert_eq!(believed, text == world.access, "{text}");
    }
    for text in [data.to_vec(), bent(&world.refresh, data)] {
        let Ok(text) = std::str::from_utf8(&text) else { continue };
        let believed = RefreshToken::parse(text, &world.keys, now()).is_ok();
        assert_eq!(believed, text == world.refresh, "{text}");
    }
});
