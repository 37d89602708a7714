//! Vectors of the specification.

use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::factor::passkey::authenticator_data::AuthenticatorData;

/// Fields of a vector, decoded.
type Fields = HashMap<&'static str, Vec<u8>>;

fn vectors() -> Vec<(&'static str, Fields)> {
    let mut vectors = Vec::new();
    for line in include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            vectors.push((name.trim_end_matches(']'), Fields::new()));
        } else if let Some((field, hex)) = line.split_once(" = ") {
            vectors.last_mut().unwrap().1.insert(field, unhex(hex));
        }
    }
    vectors
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn registration(fields: &Fields) -> RegistrationResponse {
    let json = json!({
        "id": base64url(&fields["credential_id"]),
        "rawId": base64url(&fields["credential_id"]),
        "type": "public-key",
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": base64url(&fields["create.clientDataJSON"]),
            "authenticatorData": base64url(&fields["create.authenticatorData"]),
            "transports": [],
        },
    });
    RegistrationResponse::parse(json.to_string().as_bytes()).unwrap()
}

fn assertion(fields: &Fields) -> AssertionResponse {
    let json = json!({
        "id": base64url(&fields["credential_id"]),
        "rawId": base64url(&fields["credential_id"]),
        "type": "public-key",
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": base64url(&fields["get.clientDataJSON"]),
            "authenticatorData": base64url(&fields["get.authenticatorData"]),
            "signature": base64url(&fields["get.signature"]),
        },
    });
    AssertionResponse::parse(json.to_string().as_bytes()).unwrap()
}

/// Returns the key of a vector's registration.
fn key(fields: &Fields) -> Result<(CoseAlgorithm, Vec<u8>), PasskeyError> {
    let data = AuthenticatorData::parse(&fields["create.authenticatorData"]).unwrap();
    data.credential.unwrap().key.public_key().map(|key| (key.algorithm, key.der))
}

/// Runs both ceremonies of a vector.
fn run(fields: &Fields) -> Result<(NewPasskey, Assertion), PasskeyError> {
    let relying_party = relying_party();
    let challenge = |field| Challenge::from_bytes(&fields[field]).unwrap();
    let ceremony = |challenge| Ceremony {
        relying_party: &relying_party,
        challenge,
        user_verification: UserVerification::Preferred,
    };
    let create = challenge("create.challenge");
    let passkey = ceremony(&create).verify_registration(&registration(fields))?;
    let get = challenge("get.challenge");
    let stored = authenticator::stored(&passkey);
    let assertion = ceremony(&get).verify_assertion(&stored, Identification::Before, &assertion(fields))?;
    Ok((passkey, assertion))
}

#[test]
fn vectors_with_offered_algorithms_are_accepted() {
    let mut accepted = Vec::new();
    for (name, fields) in vectors() {
        if key(&fields).is_err() || name.ends_with("Origin") {
            continue;
        }
        let (passkey, assertion) = run(&fields).unwrap();
        accepted.push((name, passkey.algorithm));
        assert_eq!(passkey.credential_id, fields["credential_id"], "{name}");
        let flags = fields["create.authenticatorData"][32];
        let has = |flags: u8, bit: u8| flags >> bit & 1 == 1;
        assert_eq!(passkey.is_user_verified, has(flags, 2), "{name}");
        assert_eq!(passkey.backup_eligible, has(flags, 3), "{name}");
        assert_eq!(passkey.backed_up, has(flags, 4), "{name}");
        let flags = fields["get.authenticatorData"][32];
        assert_eq!(assertion.is_user_verified, has(flags, 2), "{name}");
        assert_eq!(assertion.backed_up, has(flags, 4), "{name}");
        assert_eq!((passkey.sign_count, assertion.sign_count), (0, 0), "{name}");
        assert!(!assertion.has_counter_regressed, "{name}: zero twice is no counter");
    }
    use CoseAlgorithm::{EdDsa, Es256, Rs256};
    assert_eq!(
        accepted,
        [
            ("none-es256", Es256),
            ("packed-self-es256", Es256),
            ("none-es256-long-credential-id", Es256),
            ("packed-es256", Es256),
            ("packed-rs256", Rs256),
            ("packed-eddsa", EdDsa),
            ("tpm-es256", Es256),
            ("android-key-es256", Es256),
            ("apple-es256", Es256),
            ("fido-u2f-es256", Es256),
        ]
    );
}

#[test]
fn vectors_of_framed_pages_are_refused_for_the_frame_alone() {
    let framed: Vec<_> = vectors()
        .into_iter()
        .filter(|(name, _)| name.ends_with("-crossOrigin") || name.ends_with("-topOrigin"))
        .collect();
    assert_eq!(framed.len(), 2);
    for (name, fields) in framed {
        assert_eq!(run(&fields).err(), Some(PasskeyError::CrossOrigin), "{name}");
        let (algorithm, der) = key(&fields).unwrap();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fields["get.clientDataJSON"]);
        let message = [&fields["get.authenticatorData"], hash.as_ref()].concat();
        let verified = public_key::verify(algorithm.id(), &der, &message, &fields["get.signature"]);
        assert_eq!(verified, Ok(()), "{name}");
    }
}

#[test]
fn vectors_with_other_algorithms_are_refused_for_the_algorithm() {
    let vectors: HashMap<_, _> = vectors().into_iter().collect();
    assert_eq!(vectors.len(), 15);
    for (name, algorithm) in [("packed-es384", -35), ("packed-es512", -36), ("packed-ed448", -53)] {
        let refused = Some(PasskeyError::AlgorithmNotOffered(algorithm));
        assert_eq!(key(&vectors[name]).err(), refused, "{name}");
        // ES512 has a challenge of 128 bytes; ours have 32.
        if vectors[name]["create.challenge"].len() == 32 {
            assert_eq!(run(&vectors[name]).err(), refused, "{name}");
        }
    }
}

#[test]
fn vector_is_refused_for_another_challenge_key_or_relying_party() {
    let vectors: HashMap<_, _> = vectors().into_iter().collect();
    let good = &vectors["none-es256"];
    assert!(run(good).is_ok());
    let with = |field, value: &[u8]| {
        let mut fields = good.clone();
        fields.insert(field, value.to_vec());
        run(&fields).err()
    };
    assert_eq!(with("create.challenge", &[0; 32]), Some(PasskeyError::WrongChallenge));
    assert_eq!(with("get.challenge", &good["create.challenge"]), Some(PasskeyError::WrongChallenge));
    let other = &vectors["packed-es256"];
    assert_eq!(
        with("create.authenticatorData", &other["create.authenticatorData"]),
        Some(PasskeyError::WrongCredential)
    );
    assert_eq!(with("get.signature", &other["get.signature"]), Some(PasskeyError::BadSignature));
    let fields = &vectors["none-es256-long-credential-id"];
    assert_eq!(fields["credential_id"].len(), 1023);
    let elsewhere = RelyingParty::with_id("example.com", &["https://example.com".to_owned()]).unwrap();
    let challenge = Challenge::from_bytes(&good["create.challenge"]).unwrap();
    let ceremony = authenticator::ceremony(&elsewhere, &challenge);
    assert_eq!(
        ceremony.verify_registration(&registration(good)),
        Err(PasskeyError::WrongOrigin("https://example.org".to_owned()))
    );
}
