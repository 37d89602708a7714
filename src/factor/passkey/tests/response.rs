//! Responses as JSON: form and bounds.

use serde_json::{Value, json};

use super::authenticator::*;
use super::*;

fn registration() -> Value {
    Parts::create(&challenge(), &Key::ed_dsa().cose()).registration()
}

fn assertion() -> Value {
    Parts::get(&challenge()).assertion(&Key::ed_dsa())
}

fn fault(json: &Value) -> Option<PasskeyError> {
    let text = json.to_string();
    let is_assertion = json["response"]["signature"] != Value::Null;
    if is_assertion {
        AssertionResponse::parse(text.as_bytes()).err()
    } else {
        RegistrationResponse::parse(text.as_bytes()).err()
    }
}

#[test]
fn response_needs_its_members_and_ignores_others() {
    use PasskeyError::{Malformed, NotPublicKey};
    for good in [registration(), assertion()] {
        assert_eq!(fault(&good), None);
        for member in ["id", "rawId", "type", "response"] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(member);
            assert_eq!(fault(&bad), Some(Malformed("the response")), "{member}");
            bad[member] = json!(7);
            assert_eq!(fault(&bad), Some(Malformed("the response")), "{member}");
        }
        for member in ["clientDataJSON", "authenticatorData"] {
            let mut bad = good.clone();
            bad["response"].as_object_mut().unwrap().remove(member);
            assert_eq!(fault(&bad), Some(Malformed("the response")), "{member}");
        }
        for kind in ["password", "Public-Key", ""] {
            let mut bad = good.clone();
            bad["type"] = json!(kind);
            assert_eq!(fault(&bad), Some(NotPublicKey), "{kind}");
        }
        let mut more = good.clone();
        more["clientExtensionResults"] = json!({"prf": {"enabled": true}, "credProps": "odd"});
        more["more"] = json!([1]);
        more["response"]["more"] = json!({});
        assert_eq!(fault(&more), None);
        more.as_object_mut().unwrap().remove("clientExtensionResults");
        assert_eq!(fault(&more), None);
    }
    let text = assertion().to_string();
    for bad in [
        "",
        "null",
        "[]",
        "{}",
        &text[1..],
        &format!("{text}{text}"),
        &text.replacen('{', r#"{"id":"eA","#, 1),
    ] {
        assert_eq!(AssertionResponse::parse(bad.as_bytes()).err(), Some(Malformed("the response")), "{bad}");
    }
    let invalid = [text.as_bytes(), b"\xff"].concat();
    assert_eq!(AssertionResponse::parse(&invalid).err(), Some(Malformed("the response")));
}

#[test]
fn binary_members_are_base64url_of_one_spelling() {
    for (json, members) in [
        (registration(), &["clientDataJSON", "authenticatorData"][..]),
        (assertion(), &["clientDataJSON", "authenticatorData", "signature", "userHandle"]),
    ] {
        for member in members {
            for bad in ["e30=", "e31", "e+/0", "e 30", "é", "e"] {
                let mut json = json.clone();
                json["response"][*member] = json!(bad);
                let name = if *member == "signature" { "the signature" } else { member };
                assert_eq!(fault(&json), Some(PasskeyError::Malformed(name)), "{member} {bad}");
            }
        }
        let mut json = json;
        json["id"] = json!("e31");
        json["rawId"] = json!("e31");
        assert_eq!(fault(&json), Some(PasskeyError::Malformed("the credential id")));
    }
}

#[test]
fn members_are_bounded() {
    for (member, name, max) in [
        ("clientDataJSON", "clientDataJSON", 4096),
        ("authenticatorData", "authenticatorData", 4096),
        ("signature", "the signature", 1024),
        ("userHandle", "userHandle", 64),
    ] {
        let mut json = assertion();
        json["response"][member] = json!(base64url(vec![1; max]));
        assert_eq!(fault(&json), None, "{member}");
        json["response"][member] = json!(base64url(vec![1; max + 1]));
        assert_eq!(fault(&json), Some(PasskeyError::TooLarge(name)), "{member}");
    }
    for mut json in [registration(), assertion()] {
        json["response"]["attestationObject"] = json!("A".repeat(MAX_RESPONSE));
        assert_eq!(fault(&json), Some(PasskeyError::TooLarge("the response")));
    }
    let text = registration().to_string();
    let padded = format!("{text}{}", " ".repeat(MAX_RESPONSE - text.len()));
    assert!(RegistrationResponse::parse(padded.as_bytes()).is_ok());
    assert!(RegistrationResponse::parse(format!("{padded} ").as_bytes()).is_err());
}

#[test]
fn transports_are_kept_if_they_can_be_some() {
    let with = |sent: Value| {
        let mut json = registration();
        json["response"]["transports"] = sent;
        RegistrationResponse::parse(json.to_string().as_bytes()).map(|response| response.transports)
    };
    assert_eq!(with(json!([])), Ok(String::new()));
    assert_eq!(with(json!(["usb", "nfc", "smart-card"])).as_deref(), Ok("usb,nfc,smart-card"));
    assert_eq!(
        with(json!(["usb", "usb", "a,b", "", "USB", "é", "new1", "x".repeat(33)])).as_deref(),
        Ok("usb,new1")
    );
    let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(with(json!(many)), Ok(many[..16].join(",")));
    assert_eq!(with(json!("usb")), Err(PasskeyError::Malformed("the response")));
    let mut none = registration();
    none["response"].as_object_mut().unwrap().remove("transports");
    assert!(RegistrationResponse::parse(none.to_string().as_bytes()).is_ok());
}
