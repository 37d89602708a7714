//! Property tests for refresh tokens and for arbitrary text.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::id::SystemRandom;
use crate::token::keyring::OpenKey;
use crate::token::seal::MasterSecret;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. \x7f";

#[test]
fn only_encoded_tokens_parse() {
    let keys = [7, 9].map(|kid| OpenKey::refresh(kid, &SystemRandom));
    let keys = KeySet::new(1, &[], &keys, &MasterSecret::random(&SystemRandom)).unwrap();
    let world = (
        any::<[u8; 16]>(),
        any::<u32>(),
        prop::sample::select(&[7_u8, 9][..]),
        any::<prop::sample::Index>(),
        prop::sample::select(ALPHABET),
        "[A-Za-z0-9_=-]{1,3}",
        prop_oneof![".{0,60}", "[A-Za-z0-9_-]{51}"],
    );
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let result =
        TestRunner::new(config).run(&world, |(family, generation, kid, at, other, more, anything)| {
            let token = RefreshToken { family: FamilyId(Secret::new(family)), generation };
            let text = token.encode(kid, &keys, NOW).unwrap().expose().clone();
            prop_assert_eq!(RefreshToken::parse(&text, &keys, NOW), Ok(token));

            let at = at.index(text.len());
            let mut bent = text.clone().into_bytes();
            bent[at] = other;
            let bent = String::from_utf8(bent).unwrap();
            prop_assert!(bent == text || RefreshToken::parse(&bent, &keys, NOW).is_err(), "{}", bent);
            prop_assert!(RefreshToken::parse(&text[..at], &keys, NOW).is_err(), "cut at {}", at);
            let longer = text + &more;
            prop_assert!(RefreshToken::parse(&longer, &keys, NOW).is_err(), "{}", longer);
            prop_assert!(RefreshToken::parse(&anything, &keys, NOW).is_err());
            Ok(())
        });
    result.unwrap_or_else(|error| panic!("{error}"));
}
