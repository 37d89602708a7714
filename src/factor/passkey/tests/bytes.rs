//! Every byte of a response: cut off, flipped, appended.

use serde_json::{Value, json};

use super::authenticator::*;
use super::*;
use crate::id::from_base64url;

/// One verified sign-in, to be changed.
struct SignIn {
    relying_party: RelyingParty,
    challenge: Challenge,
    passkey: NewPasskey,
    json: Value,
}

impl SignIn {
    fn new(key: &Key) -> Self {
        let challenge = challenge();
        let parts = Parts {
            flags: UP | UV | ED,
            sign_count: 3,
            rest: b"\xa1\x6bhmac-secret\x41x".to_vec(),
            ..Parts::get(&challenge)
        };
        let json = parts.assertion(key);
        let sign_in = Self { relying_party: relying_party(), challenge, passkey: registered(key), json };
        assert!(sign_in.verify(&sign_in.json).is_ok());
        sign_in
    }

    fn verify(&self, json: &Value) -> Result<Assertion, PasskeyError> {
        let response = AssertionResponse::parse(json.to_string().as_bytes())?;
        let ceremony = ceremony(&self.relying_party, &self.challenge);
        ceremony.verify_assertion(&stored(&self.passkey), Identification::Before, &response)
    }

    fn field(&self, name: &str) -> Vec<u8> {
        from_base64url(self.json["response"][name].as_str().unwrap()).unwrap()
    }

    fn with(&self, name: &str, bytes: &[u8]) -> Result<Assertion, PasskeyError> {
        let mut json = self.json.clone();
        json["response"][name] = json!(base64url(bytes));
        self.verify(&json)
    }
}

#[test]
fn assertion_with_any_flipped_bit_is_refused() {
    for key in [Key::es256(), Key::ed_dsa()] {
        let sign_in = SignIn::new(&key);
        for name in ["clientDataJSON", "authenticatorData", "signature"] {
            let good = sign_in.field(name);
            for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(sign_in.with(name, &bad).is_err(), "{name} {at} {bit}");
            }
        }
        let handle = sign_in.field("userHandle");
        for at in 0..handle.len() {
            let mut bad = handle.clone();
            bad[at] ^= 1;
            assert_eq!(sign_in.with("userHandle", &bad), Err(PasskeyError::WrongUserHandle));
        }
    }
}

#[test]
fn assertion_cut_off_anywhere_is_refused() {
    let sign_in = SignIn::new(&Key::es256());
    for (name, fault) in [
        ("clientDataJSON", PasskeyError::Malformed("clientDataJSON")),
        ("authenticatorData", PasskeyError::Malformed("authenticatorData")),
        ("signature", PasskeyError::BadSignature),
    ] {
        let good = sign_in.field(name);
        for length in 0..good.len() {
            assert_eq!(sign_in.with(name, &good[..length]), Err(fault.clone()), "{name} {length}");
        }
        for more in [0, b' ', 0xff] {
            let longer = [&good[..], &[more]].concat();
            // JSON may end with white space, but then it is not what was signed.
            let fault = if more == b' ' && name == "clientDataJSON" {
                PasskeyError::BadSignature
            } else {
                fault.clone()
            };
            assert_eq!(sign_in.with(name, &longer), Err(fault), "{name} {more}");
        }
    }
}

/// Nothing of a registration is signed. So a changed one is refused, or is the registration of what it then says; never
/// is another relying party, another credential id or a missing flag accepted.
#[test]
fn registration_with_any_flipped_bit_is_refused_or_its_own() {
    let (relying_party, challenge) = (relying_party(), challenge());
    let ceremony = ceremony(&relying_party, &challenge);
    let json =
        Parts { flags: UP | UV | AT | BE, ..Parts::create(&challenge, &Key::es256().cose()) }.registration();
    let with = |bytes: &[u8]| {
        let mut json = json.clone();
        json["response"]["authenticatorData"] = json!(base64url(bytes));
        RegistrationResponse::parse(json.to_string().as_bytes())
            .and_then(|response| ceremony.verify_registration(&response))
    };
    let good = from_base64url(json["response"]["authenticatorData"].as_str().unwrap()).unwrap();
    let passkey = with(&good).unwrap();
    let (counter, aaguid) = (33..37, 37..53);
    for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        match with(&bad) {
            Err(_) => {
                let is_unchecked = aaguid.contains(&at) || counter.contains(&at);
                assert!(!is_unchecked, "{at} {bit}: any value is a good one");
            }
            Ok(changed) if aaguid.contains(&at) => assert_eq!(changed, passkey),
            Ok(changed) if counter.contains(&at) => {
                assert_eq!(changed, NewPasskey { sign_count: 1 << (8 * (36 - at) + bit), ..passkey.clone() });
            }
            Ok(changed) => {
                // Reserved flags, and eligibility and state of the backup.
                assert!(at == 32 && [1, 3, 4, 5].contains(&bit), "{at} {bit}");
                assert_eq!(changed.backup_eligible, bit != 3);
                assert_eq!(changed.backed_up, bit == 4);
            }
        }
    }
    for length in 0..good.len() {
        let fault = if length < 71 { "authenticatorData" } else { "the public key" };
        assert_eq!(with(&good[..length]), Err(PasskeyError::Malformed(fault)), "{length}");
    }
    for more in [&b"\x00"[..], b"\xa0", &[0; 3000]] {
        let longer = [&good, more].concat();
        assert_eq!(with(&longer), Err(PasskeyError::Malformed("authenticatorData")), "{more:x?}");
    }
}
