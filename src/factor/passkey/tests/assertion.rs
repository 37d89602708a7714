//! Assertions: one thing wrong at a time, correctly signed unless the signature is what is wrong.

use std::sync::LazyLock;

use aws_lc_rs::rsa::KeySize;
use serde_json::{Value, json};

use super::authenticator::*;
use super::*;

static KEY: LazyLock<Key> = LazyLock::new(Key::es256);
static PASSKEY: LazyLock<NewPasskey> = LazyLock::new(|| registered(&KEY));

/// Signs in with changed parts, a changed passkey and changed JSON.
fn sign_in(
    parts: impl FnOnce(&mut Parts),
    passkey: impl FnOnce(&mut StoredPasskey<'_>),
    json: impl FnOnce(&mut Value),
) -> Result<Assertion, PasskeyError> {
    let (relying_party, challenge) = (relying_party(), challenge());
    let mut own = Parts::get(&challenge);
    parts(&mut own);
    let mut response = own.assertion(&KEY);
    json(&mut response);
    let mut stored = stored(&PASSKEY);
    passkey(&mut stored);
    let response = AssertionResponse::parse(response.to_string().as_bytes())?;
    ceremony(&relying_party, &challenge).verify_assertion(&stored, Identification::ByPasskey, &response)
}

fn with_parts(change: impl FnOnce(&mut Parts)) -> Result<Assertion, PasskeyError> {
    sign_in(change, |_| {}, |_| {})
}

#[test]
fn passkeys_of_all_algorithms_sign_in() {
    let keys = [Key::es256(), Key::ed_dsa(), Key::rs256(KeySize::Rsa2048)];
    let passkeys: Vec<NewPasskey> = keys.iter().map(registered).collect();
    let (relying_party, challenge) = (relying_party(), challenge());
    let ceremony = ceremony(&relying_party, &challenge);
    for (signer, key) in keys.iter().enumerate() {
        let json = Parts::get(&challenge).assertion(key).to_string();
        let response = AssertionResponse::parse(json.as_bytes()).unwrap();
        assert_eq!(
            (response.credential_id(), response.user_handle()),
            (&b"a credential id!"[..], Some(USER))
        );
        for (at, passkey) in passkeys.iter().enumerate() {
            let verified = ceremony.verify_assertion(&stored(passkey), Identification::ByPasskey, &response);
            if at == signer {
                let expected = Assertion {
                    sign_count: 0,
                    has_counter_regressed: false,
                    backed_up: false,
                    is_user_verified: true,
                };
                assert_eq!(verified, Ok(expected));
            } else {
                assert_eq!(verified, Err(PasskeyError::BadSignature), "the key of another passkey");
            }
        }
    }
}

#[test]
fn client_data_of_anything_else_is_refused() {
    use PasskeyError::{CrossOrigin, TopOrigin, WrongChallenge, WrongType};
    let with = |member: &str, value: Value| with_parts(|parts| parts.client_data[member] = value).err();
    assert_eq!(with("type", json!("webauthn.create")), Some(WrongType));
    assert_eq!(with("type", json!("webauthn.get.")), Some(WrongType));
    assert_eq!(with("challenge", json!(challenge().to_string())), Some(WrongChallenge));
    for origin in
        ["https://login.example.org", "http://example.org", "https://example.org:444", "https://example.net"]
    {
        let refused = Some(PasskeyError::WrongOrigin(origin.to_owned()));
        assert_eq!(with("origin", json!(origin)), refused, "{origin}");
    }
    assert_eq!(with("crossOrigin", json!(true)), Some(CrossOrigin));
    assert_eq!(with("topOrigin", json!("https://example.org")), Some(TopOrigin));
    assert_eq!(with("more", json!("ignored")), None);
}

#[test]
fn authenticator_data_of_anything_else_is_refused() {
    use PasskeyError::{
        BackedUpWithoutEligibility, BackupEligibilityChanged, Malformed, UnexpectedCredential,
        UserNotPresent, UserNotVerified, WrongRelyingParty,
    };
    assert_eq!(with_parts(|parts| parts.rp_id = "login.example.org").err(), Some(WrongRelyingParty));
    let with = |flags: u8| with_parts(|parts| parts.flags = flags).err();
    assert_eq!(with(UV), Some(UserNotPresent));
    assert_eq!(with(0), Some(UserNotPresent));
    assert_eq!(with(UP), Some(UserNotVerified));
    assert_eq!(with(UP | UV | BS), Some(BackedUpWithoutEligibility));
    assert_eq!(with(UP | UV | BE), Some(BackupEligibilityChanged));
    assert_eq!(with(UP | UV | BE | BS), Some(BackupEligibilityChanged));
    assert_eq!(with(UP | UV | AT), Some(Malformed("authenticatorData")));
    assert_eq!(with(UP | UV | ED), Some(Malformed("authenticatorData")));
    let attested = with_parts(|parts| {
        parts.flags |= AT;
        parts.rest = attested(b"a credential id!", &KEY.cose());
    });
    assert_eq!(attested.err(), Some(UnexpectedCredential));
    let extensions = with_parts(|parts| {
        parts.flags |= ED;
        parts.rest = b"\xa1\x6bhmac-secret\x41x".to_vec();
    });
    assert!(extensions.is_ok(), "ignored");
    let trailing = with_parts(|parts| parts.rest = vec![0]);
    assert_eq!(trailing.err(), Some(Malformed("authenticatorData")));
}

#[test]
fn backup_of_an_eligible_passkey_comes_and_goes() {
    let with = |flags: u8| {
        let eligible = |passkey: &mut StoredPasskey<'_>| passkey.backup_eligible = true;
        sign_in(|parts| parts.flags = flags, eligible, |_| {}).map(|assertion| assertion.backed_up)
    };
    assert_eq!(with(UP | UV | BE), Ok(false));
    assert_eq!(with(UP | UV | BE | BS), Ok(true));
    assert_eq!(with(UP | UV), Err(PasskeyError::BackupEligibilityChanged));
    assert_eq!(with(UP | UV | BS), Err(PasskeyError::BackedUpWithoutEligibility));
}

#[test]
fn user_verification_is_reported_where_it_is_not_required() {
    let (relying_party, challenge) = (relying_party(), challenge());
    let ceremony =
        Ceremony { user_verification: UserVerification::Preferred, ..ceremony(&relying_party, &challenge) };
    for (flags, is_user_verified) in [(UP, false), (UP | UV, true)] {
        let json = Parts { flags, ..Parts::get(&challenge) }.assertion(&KEY).to_string();
        let response = AssertionResponse::parse(json.as_bytes()).unwrap();
        let verified = ceremony.verify_assertion(&stored(&PASSKEY), Identification::Before, &response);
        assert_eq!(verified.map(|assertion| assertion.is_user_verified), Ok(is_user_verified));
    }
}

#[test]
fn counter_that_does_not_grow_is_a_signal() {
    for (stored, sent, has_regressed) in [
        (0, 0, false),
        (0, 1, false),
        (1, 2, false),
        (5, u32::MAX, false),
        (1, 1, true),
        (2, 1, true),
        (1, 0, true),
        (u32::MAX, 0, true),
    ] {
        let verified =
            sign_in(|parts| parts.sign_count = sent, |passkey| passkey.sign_count = stored, |_| {});
        let verified = verified.map(|assertion| (assertion.sign_count, assertion.has_counter_regressed));
        assert_eq!(verified, Ok((sent, has_regressed)), "{stored} then {sent}");
    }
}

#[test]
fn assertion_of_another_credential_or_user_is_refused() {
    use PasskeyError::{IdMismatch, MissingUserHandle, WrongCredential, WrongUserHandle};
    let with_json = |change: fn(&mut Value)| sign_in(|_| {}, |_| {}, change).err();
    let other = base64url(b"another id here!");
    assert_eq!(with_parts(|parts| parts.ids = [b"x".to_vec(), b"x".to_vec()]).err(), Some(WrongCredential));
    assert_eq!(sign_in(|_| {}, |_| {}, |json| json["id"] = json!(other)).err(), Some(IdMismatch));
    assert_eq!(sign_in(|_| {}, |_| {}, |json| json["rawId"] = json!(other)).err(), Some(IdMismatch));
    assert_eq!(
        with_json(|json| json["response"]["userHandle"] = json!(base64url(b"another user"))),
        Some(WrongUserHandle)
    );
    for missing in [Value::Null, json!("")] {
        let change = |json: &mut Value| json["response"]["userHandle"] = missing;
        assert_eq!(sign_in(|_| {}, |_| {}, change).err(), Some(MissingUserHandle));
    }
    let removed = with_json(|json| {
        json["response"].as_object_mut().unwrap().remove("userHandle");
    });
    assert_eq!(removed, Some(MissingUserHandle));
}

#[test]
fn user_handle_of_a_known_user_may_be_missing_but_not_another() {
    let (relying_party, challenge) = (relying_party(), challenge());
    let ceremony = ceremony(&relying_party, &challenge);
    let with = |handle: Value| {
        let mut json = Parts::get(&challenge).assertion(&KEY);
        json["response"]["userHandle"] = handle;
        let response = AssertionResponse::parse(json.to_string().as_bytes()).unwrap();
        ceremony.verify_assertion(&stored(&PASSKEY), Identification::Before, &response).err()
    };
    assert_eq!(with(Value::Null), None);
    assert_eq!(with(json!(base64url(USER))), None);
    assert_eq!(with(json!(base64url(b"x"))), Some(PasskeyError::WrongUserHandle));
}

#[test]
fn signature_of_anything_else_is_refused() {
    let with = |signature: &[u8]| {
        let change = |json: &mut Value| json["response"]["signature"] = json!(base64url(signature));
        sign_in(|_| {}, |_| {}, change).err()
    };
    for bad in [&b""[..], b"\x30\x00", &[0; 64], &[0xff; 72], &[0; 1024]] {
        assert_eq!(with(bad), Some(PasskeyError::BadSignature), "{bad:x?}");
    }
    // Signed by another key, and over other data.
    let other = Key::es256();
    assert_eq!(with(&other.sign(b"x")), Some(PasskeyError::BadSignature));
    assert_eq!(with(&KEY.sign(b"x")), Some(PasskeyError::BadSignature));
    let swapped = |json: &mut Value| {
        let own = json["response"]["authenticatorData"].as_str().unwrap();
        let mut bytes = crate::id::from_base64url(own).unwrap();
        bytes[36] = 9;
        json["response"]["authenticatorData"] = json!(base64url(bytes));
    };
    assert_eq!(sign_in(|_| {}, |_| {}, swapped).err(), Some(PasskeyError::BadSignature), "another counter");
}

#[test]
fn stored_key_that_does_not_fit_is_refused() {
    let ed_dsa = registered(&Key::ed_dsa());
    let with = |algorithm: i32, key: &[u8]| {
        let (relying_party, challenge) = (relying_party(), challenge());
        let json = Parts::get(&challenge).assertion(&KEY).to_string();
        let response = AssertionResponse::parse(json.as_bytes()).unwrap();
        let stored = StoredPasskey { algorithm, public_key: key, ..stored(&PASSKEY) };
        ceremony(&relying_party, &challenge)
            .verify_assertion(&stored, Identification::Before, &response)
            .err()
    };
    assert_eq!(with(-7, &PASSKEY.public_key), None);
    for algorithm in [-8, -257, -35, 0, i32::MIN] {
        assert_eq!(with(algorithm, &PASSKEY.public_key), Some(PasskeyError::StoredKey), "{algorithm}");
    }
    assert_eq!(with(-7, &ed_dsa.public_key), Some(PasskeyError::StoredKey));
    assert_eq!(with(-7, b""), Some(PasskeyError::StoredKey));
    assert_eq!(with(-7, &PASSKEY.public_key[1..]), Some(PasskeyError::StoredKey));
}
