//! Responses of a real browser: recorded from Chromium and its virtual authenticator (CTAP 2.1, internal, resident keys,
//! user verified), with `creation_options` and `request_options` of a relying party on localhost. The second passkey is a
//! synced one. For the last two, only their algorithm was offered: the authenticator has all three.

use serde_json::Value;

use super::authenticator::stored;
use super::*;

#[test]
fn responses_of_chromium_are_accepted() {
    let recorded: Value = serde_json::from_str(include_str!("chromium.json")).unwrap();
    let relying_party = RelyingParty::of_origins(&[recorded["origin"].as_str().unwrap().to_owned()]).unwrap();
    assert_eq!(relying_party.id(), "localhost");
    let [create, get] = [1, 2].map(|byte| Challenge::from_bytes(&[byte; 32]).unwrap());
    let ceremony = |challenge| Ceremony {
        relying_party: &relying_party,
        challenge,
        user_verification: UserVerification::Required,
    };
    let recorded = recorded["ceremonies"].as_array().unwrap();
    let made = [(-7, false), (-7, true), (-8, false), (-257, false)];
    assert_eq!(recorded.len(), made.len());
    for (responses, (algorithm, is_synced)) in recorded.iter().zip(made) {
        let registration = &responses["registration"];
        let response = RegistrationResponse::parse(registration.to_string().as_bytes()).unwrap();
        let passkey = ceremony(&create).verify_registration(&response).unwrap();
        assert_eq!(base64url(&passkey.credential_id), registration["id"].as_str().unwrap());
        // The browser makes the SubjectPublicKeyInfo by itself.
        assert_eq!(base64url(&passkey.public_key), registration["response"]["publicKey"].as_str().unwrap());
        assert_eq!(registration["response"]["publicKeyAlgorithm"], algorithm);
        assert_eq!(passkey.algorithm.id(), algorithm);
        assert_eq!((passkey.backup_eligible, passkey.backed_up), (is_synced, is_synced));
        assert_eq!((passkey.transports.as_str(), passkey.is_discoverable), ("internal", Some(true)));

        let response = AssertionResponse::parse(responses["assertion"].to_string().as_bytes()).unwrap();
        let stored = StoredPasskey { user_handle: &[3; 16], ..stored(&passkey) };
        let assertion =
            ceremony(&get).verify_assertion(&stored, Identification::ByPasskey, &response).unwrap();
        assert!(assertion.is_user_verified && !assertion.has_counter_regressed);
        assert_eq!(assertion.backed_up, is_synced);
        assert!(assertion.sign_count > passkey.sign_count);
        assert_eq!(
            ceremony(&create).verify_assertion(&stored, Identification::ByPasskey, &response),
            Err(PasskeyError::WrongChallenge)
        );
    }
}
