//! Arbitrary responses: each is refused or verified, and none a panic.

use proptest::prelude::*;
use serde_json::json;

use super::authenticator::*;
use super::*;

/// Authenticator data of the right relying party, so that the rest is reached; and the length of its credential id.
fn authenticator_data() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let flags = prop_oneof![Just(UP | UV | AT), Just(UP | UV | AT | ED), any::<u8>()];
    let key = prop_oneof![
        Just(Key::ed_dsa().cose()),
        Just(es256(-7, 2, 1, &[1; 32], &[2; 32])),
        Just(rs256(&[0xff; 256], &[1, 0, 1])),
        prop::collection::vec(any::<u8>(), 0..100),
    ];
    let item = prop::sample::select(vec![
        0x00, 0x20, 0x41, 0x61, 0x81, 0xa0, 0xa1, 0xa5, 0xf5, 0x58, 0x9b, 0xbf, 0xff,
    ]);
    let tail = prop_oneof![
        Just(Vec::new()),
        Just(vec![0xa0]),
        prop::collection::vec(prop_oneof![item, any::<u8>()], 0..40),
    ];
    (flags, any::<u32>(), 0_usize..40, key, tail).prop_map(|(flags, sign_count, id, key, tail)| {
        let rest = if flags & AT == 0 { tail } else { [attested(&vec![9; id], &key), tail].concat() };
        (Parts { flags, sign_count, rest, ..Parts::get(&challenge()) }.authenticator_data(), id)
    })
}

proptest! {
    #[test]
    fn any_bytes_are_no_response(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(RegistrationResponse::parse(&bytes).is_err());
        prop_assert!(AssertionResponse::parse(&bytes).is_err());
    }

    #[test]
    fn any_authenticator_data_is_verified_or_refused((data, id) in authenticator_data()) {
        let (relying_party, challenge) = (relying_party(), challenge());
        let ceremony = ceremony(&relying_party, &challenge);
        let mut parts = Parts::create(&challenge, &[]);
        parts.ids = [vec![9; id], vec![9; id]];
        let mut json = parts.registration();
        json["response"]["authenticatorData"] = json!(base64url(&data));
        let verified = RegistrationResponse::parse(json.to_string().as_bytes())
            .and_then(|response| ceremony.verify_registration(&response));
        if let Ok(passkey) = verified {
            prop_assert_eq!(data[32] & (UP | UV | AT), UP | UV | AT);
            prop_assert_eq!(&data[55..55 + id], &passkey.credential_id[..]);
            prop_assert_eq!(&passkey.sign_count.to_be_bytes()[..], &data[33..37]);
        }
        // Nobody has signed this data.
        let key = Key::es256();
        let mut json = Parts::get(&challenge).assertion(&key);
        let own = json["response"]["authenticatorData"].clone();
        json["response"]["authenticatorData"] = json!(base64url(&data));
        if json["response"]["authenticatorData"] != own {
            let response = AssertionResponse::parse(json.to_string().as_bytes()).unwrap();
            let passkey = registered(&key);
            let verified = ceremony.verify_assertion(&stored(&passkey), Identification::Before, &response);
            prop_assert!(verified.is_err());
        }
    }
}
