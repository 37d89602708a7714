//! Options of the browser's calls, and challenges.

use serde_json::json;

use super::authenticator::ceremony;
use super::*;

#[test]
fn creation_options_are_those_of_the_specification() {
    let (relying_party, challenge) = (relying_party(), challenge());
    let ceremony =
        Ceremony { user_verification: UserVerification::Preferred, ..ceremony(&relying_party, &challenge) };
    let user = PasskeyUser { handle: &[255; 16], name: "ada", display_name: "Ada \"Söhne\"" };
    let exclude = [
        Descriptor { credential_id: b"one", transports: "internal,hybrid" },
        Descriptor { credential_id: b"two", transports: "" },
    ];
    assert_eq!(
        ceremony.creation_options("Tower", &user, &exclude),
        json!({
            "rp": {"id": "example.org", "name": "Tower"},
            "user": {"id": "_____________________w", "name": "ada", "displayName": "Ada \"Söhne\""},
            "challenge": base64url(challenge.bytes()),
            "pubKeyCredParams": [
                {"type": "public-key", "alg": -7},
                {"type": "public-key", "alg": -8},
                {"type": "public-key", "alg": -257},
            ],
            "timeout": 300_000,
            "excludeCredentials": [
                {"type": "public-key", "id": "b25l", "transports": ["internal", "hybrid"]},
                {"type": "public-key", "id": "dHdv"},
            ],
            "authenticatorSelection": {
                "residentKey": "required",
                "requireResidentKey": true,
                "userVerification": "preferred",
            },
            "attestation": "none",
            "extensions": {"credProps": true},
        })
    );
}

#[test]
fn request_options_are_those_of_the_specification() {
    let (relying_party, challenge) = (relying_party(), challenge());
    let ceremony = ceremony(&relying_party, &challenge);
    let options = |allow: serde_json::Value| {
        json!({
            "challenge": challenge.to_string(),
            "timeout": 300_000,
            "rpId": "example.org",
            "allowCredentials": allow,
            "userVerification": "required",
        })
    };
    assert_eq!(ceremony.request_options(&[]), options(json!([])));
    let allow = [Descriptor { credential_id: b"one", transports: "usb" }];
    assert_eq!(
        ceremony.request_options(&allow),
        options(json!([{"type": "public-key", "id": "b25l", "transports": ["usb"]}]))
    );
}

#[test]
fn challenge_is_32_bytes_that_differ() {
    let challenge = challenge();
    assert_ne!(challenge, super::challenge());
    assert_eq!(Challenge::from_bytes(challenge.bytes()), Some(challenge.clone()));
    assert_eq!(challenge.to_string().len(), 43);
    assert_eq!(format!("{challenge:?}"), "Challenge");
    assert_eq!(Challenge::from_bytes(&[0; 31]), None);
    assert_eq!(Challenge::from_bytes(&[0; 33]), None);
}
