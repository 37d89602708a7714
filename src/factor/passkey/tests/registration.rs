//! Registrations: one thing wrong at a time.

use aws_lc_rs::rsa::KeySize;
use serde_json::{Value, json};

use super::authenticator::*;
use super::*;

struct Case {
    relying_party: RelyingParty,
    challenge: Challenge,
    cose: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        Self { relying_party: relying_party(), challenge: challenge(), cose: Key::es256().cose() }
    }

    fn ceremony(&self, user_verification: UserVerification) -> Ceremony<'_> {
        Ceremony { relying_party: &self.relying_party, challenge: &self.challenge, user_verification }
    }

    /// Registers with changed parts.
    fn register(&self, change: impl FnOnce(&mut Parts)) -> Result<NewPasskey, PasskeyError> {
        let mut parts = Parts::create(&self.challenge, &self.cose);
        change(&mut parts);
        self.register_json(&parts.registration())
    }

    fn register_json(&self, json: &Value) -> Result<NewPasskey, PasskeyError> {
        let response = RegistrationResponse::parse(json.to_string().as_bytes())?;
        self.ceremony(UserVerification::Required).verify_registration(&response)
    }

    /// Registers a key in its COSE form.
    fn register_key(&self, cose: &[u8]) -> Result<NewPasskey, PasskeyError> {
        self.register(|parts| parts.rest = attested(b"a credential id!", cose))
    }

    /// Registers with a changed member of the client data.
    fn with_client_data(&self, member: &str, value: Value) -> Option<PasskeyError> {
        self.register(|parts| parts.client_data[member] = value).err()
    }
}

#[test]
fn registration_yields_the_passkey() {
    let case = Case::new();
    let passkey = case
        .register(|parts| {
            parts.flags |= BE | BS;
            parts.sign_count = 7;
        })
        .unwrap();
    assert_eq!(passkey.credential_id, b"a credential id!");
    assert_eq!(passkey.algorithm, CoseAlgorithm::Es256);
    // SubjectPublicKeyInfo of P-256 (RFC 5480 section 2): a fixed header, then the point.
    assert_eq!(passkey.public_key.len(), 91);
    assert!(passkey.public_key.starts_with(
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04"
    ));
    assert_eq!((passkey.sign_count, passkey.transports.as_str()), (7, "internal,hybrid"));
    assert!(passkey.backup_eligible && passkey.backed_up && passkey.is_user_verified);
    assert_eq!(passkey.is_discoverable, Some(true));
}

#[test]
fn keys_of_all_offered_algorithms_are_accepted() {
    let case = Case::new();
    for (key, algorithm) in [
        (Key::es256(), CoseAlgorithm::Es256),
        (Key::ed_dsa(), CoseAlgorithm::EdDsa),
        (Key::rs256(KeySize::Rsa2048), CoseAlgorithm::Rs256),
    ] {
        assert_eq!(case.register_key(&key.cose()).map(|passkey| passkey.algorithm), Ok(algorithm));
    }
}

#[test]
fn client_data_of_anything_else_is_refused() {
    use PasskeyError::{CrossOrigin, Malformed, TopOrigin, WrongChallenge, WrongType};
    let case = Case::new();
    for kind in ["webauthn.get", "webauthn.create ", "Webauthn.create", "payment.get", ""] {
        assert_eq!(case.with_client_data("type", json!(kind)), Some(WrongType), "{kind}");
    }
    let own = case.challenge.to_string();
    for wrong in [challenge().to_string(), String::new(), format!("{own}="), own[..42].to_owned()] {
        assert_eq!(case.with_client_data("challenge", json!(wrong)), Some(WrongChallenge), "{wrong}");
    }
    for origin in [
        "http://example.org",
        "https://example.org:8443",
        "https://example.org:443",
        "https://example.org/",
        "https://www.example.org",
        "https://example.org.evil.test",
        "https://evilexample.org",
        "https://example.com",
        "https://EXAMPLE.org",
        "https://example.org.",
        "null",
        "",
        "android:apk-key-hash:x",
    ] {
        let refused = Some(PasskeyError::WrongOrigin(origin.to_owned()));
        assert_eq!(case.with_client_data("origin", json!(origin)), refused, "{origin}");
    }
    assert_eq!(case.with_client_data("crossOrigin", json!(true)), Some(CrossOrigin));
    // Whatever it is: its presence says that the page was in a frame.
    for top in
        [json!("https://example.org"), json!("https://evil.test"), json!(""), Value::Null, json!(false)]
    {
        assert_eq!(case.with_client_data("topOrigin", top.clone()), Some(TopOrigin), "{top}");
    }
    for member in ["type", "challenge", "origin", "crossOrigin"] {
        for value in [Value::Null, json!(1), json!({}), json!([])] {
            let refused = Some(Malformed("clientDataJSON"));
            assert_eq!(case.with_client_data(member, value.clone()), refused, "{member} {value}");
        }
    }
    let removed = case.register(|parts| {
        parts.client_data.as_object_mut().unwrap().remove("origin");
    });
    assert_eq!(removed.err(), Some(Malformed("clientDataJSON")));
}

#[test]
fn client_data_may_have_other_members() {
    let case = Case::new();
    assert_eq!(case.with_client_data("other_keys_can_be_added_here", json!("do not compare")), None);
    assert_eq!(case.with_client_data("tokenBinding", json!({"status": "supported"})), None);
    let without = case.register(|parts| {
        parts.client_data.as_object_mut().unwrap().remove("crossOrigin");
    });
    assert!(without.is_ok(), "level 1 had no such member");
}

#[test]
fn client_data_is_one_json_object_with_each_member_once() {
    let case = Case::new();
    let with = |text: &[u8]| {
        let mut json = Parts::create(&case.challenge, &case.cose).registration();
        json["response"]["clientDataJSON"] = json!(base64url(text));
        case.register_json(&json).err()
    };
    let good = format!(
        r#"{{"type":"webauthn.create","challenge":"{}","origin":"https://example.org"}}"#,
        case.challenge
    );
    assert_eq!(with(good.as_bytes()), None);
    assert_eq!(with(format!("\u{feff}{good}").as_bytes()), None, "UTF-8 decode drops the mark");
    let twice = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
    for bad in [
        String::new(),
        format!("{good}x"),
        format!("{good}{good}"),
        format!("[{good}]"),
        good[1..].to_owned(),
        format!("\u{feff}\u{feff}{good}"),
        twice(r#""type":"webauthn.get""#),
        twice(r#""origin":"https://evil.test""#),
        twice(r#""crossOrigin":true,"crossOrigin":false"#),
        twice(&format!(r#""a":{}{}"#, "[".repeat(1000), "]".repeat(999))),
    ] {
        assert_eq!(with(bad.as_bytes()), Some(PasskeyError::Malformed("clientDataJSON")), "{bad}");
    }
    let invalid = [good.as_bytes(), b"\xff"].concat();
    assert_eq!(with(&invalid), Some(PasskeyError::Malformed("clientDataJSON")));
    let escaped = good.replace("webauthn", r"\u0077ebauthn");
    assert_eq!(with(escaped.as_bytes()), None, "escapes mean their characters");
}

#[test]
fn long_foreign_origin_is_shortened_in_the_error() {
    let case = Case::new();
    let origin = format!("https://{}", "ä".repeat(500));
    let Some(PasskeyError::WrongOrigin(shown)) = case.with_client_data("origin", json!(origin)) else {
        panic!("refused for its origin")
    };
    assert!(shown.len() <= 280 && origin.starts_with(&shown));
}

#[test]
fn authenticator_data_of_anything_else_is_refused() {
    use PasskeyError::{
        BackedUpWithoutEligibility, Malformed, NoCredential, UserNotPresent, UserNotVerified,
        WrongRelyingParty,
    };
    let case = Case::new();
    for rp_id in ["example.com", "www.example.org", "https://example.org", "EXAMPLE.org", ""] {
        assert_eq!(case.register(|parts| parts.rp_id = rp_id).err(), Some(WrongRelyingParty), "{rp_id}");
    }
    let with = |flags: u8| case.register(|parts| parts.flags = flags).map(|passkey| passkey.backed_up);
    assert_eq!(with(UV | AT), Err(UserNotPresent));
    assert_eq!(with(UP | AT), Err(UserNotVerified));
    assert_eq!(with(UP | UV | AT | BE), Ok(false));
    assert_eq!(with(UP | UV | AT | BE | BS), Ok(true));
    assert_eq!(with(UP | UV | AT | BS), Err(BackedUpWithoutEligibility));
    assert_eq!(with(UP | UV), Err(Malformed("authenticatorData")), "a credential without its flag");
    assert_eq!(with(UP | UV | AT | ED), Err(Malformed("authenticatorData")), "no extensions");
    // Reserved bits (section 6.1).
    assert_eq!(with(UP | UV | AT | 1 << 1 | 1 << 5), Ok(false));
    let none = case.register(|parts| (parts.flags, parts.rest) = (UP | UV, Vec::new()));
    assert_eq!(none.err(), Some(NoCredential));
    let not_asked = Ceremony { ..case.ceremony(UserVerification::Preferred) };
    let json = Parts { flags: UP | AT, ..Parts::create(&case.challenge, &case.cose) }.registration();
    let response = RegistrationResponse::parse(json.to_string().as_bytes()).unwrap();
    assert_eq!(not_asked.verify_registration(&response).map(|passkey| passkey.is_user_verified), Ok(false));
}

#[test]
fn extensions_are_ignored_but_have_to_be_a_map() {
    let case = Case::new();
    let with = |extensions: &[u8]| {
        case.register(|parts| {
            parts.flags |= ED;
            parts.rest.extend(extensions);
        })
        .err()
    };
    assert_eq!(with(b"\xa1\x6bcredProtect\x02"), None);
    assert_eq!(with(b"\xa0"), None);
    for bad in [&b"\x80"[..], b"\xa1", b"\xa0\x00", b"\xbf\xff", b"\x00"] {
        assert_eq!(with(bad), Some(PasskeyError::Malformed("authenticatorData")), "{bad:x?}");
    }
}

#[test]
fn credential_id_is_the_one_of_the_response_and_of_allowed_length() {
    use PasskeyError::{IdMismatch, Malformed, TooLarge, WrongCredential};
    let case = Case::new();
    let other = b"another id here!".to_vec();
    let ids = |ids: [&[u8]; 2]| case.register(|parts| parts.ids = ids.map(<[u8]>::to_vec)).err();
    assert_eq!(ids([&other, b"a credential id!"]), Some(IdMismatch));
    assert_eq!(ids([b"a credential id!", &other]), Some(IdMismatch));
    assert_eq!(ids([&other, &other]), Some(WrongCredential));
    assert_eq!(ids([b"", b""]), Some(Malformed("the credential id")));
    let length = |of_ids: usize, of_data: usize| {
        case.register(|parts| {
            parts.ids = [vec![1; of_ids], vec![1; of_ids]];
            parts.rest = attested(&vec![1; of_data], &case.cose);
        })
        .map(|passkey| passkey.credential_id.len())
    };
    assert_eq!(length(1, 1), Ok(1));
    assert_eq!(length(1023, 1023), Ok(1023));
    assert_eq!(length(1024, 1024), Err(TooLarge("the credential id")));
    assert_eq!(length(1023, 1024), Err(TooLarge("the credential id")));
    assert_eq!(length(1, 0), Err(Malformed("authenticatorData")));
}

#[test]
fn key_that_is_not_of_an_offered_algorithm_is_refused() {
    use PasskeyError::{AlgorithmNotOffered, KeyMismatch};
    let case = Case::new();
    let point = |key: &Key| match key {
        Key::Es256(pair) => {
            use aws_lc_rs::signature::KeyPair as _;
            pair.public_key().as_ref()[1..].to_vec()
        }
        _ => Vec::new(),
    };
    let xy = point(&Key::es256());
    let (x, y) = xy.split_at(32);
    let key = |cose: Vec<u8>| case.register_key(&cose).map(|passkey| passkey.algorithm);
    assert_eq!(key(es256(-7, 2, 1, x, y)), Ok(CoseAlgorithm::Es256));
    for other in [-9, -19, -35, -36, -37, -47, -65, -258, 0, 7] {
        assert_eq!(key(es256(other, 2, 1, x, y)), Err(AlgorithmNotOffered(other.into())), "{other}");
    }
    // An offered algorithm with a key of another, or of none.
    let off_curve: Vec<u8> = y.iter().rev().copied().collect();
    for bad in [
        es256(-8, 2, 1, x, y),
        es256(-257, 2, 1, x, y),
        es256(-7, 1, 1, x, y),
        es256(-7, 3, 1, x, y),
        es256(-7, 2, 2, x, y),
        es256(-7, 2, 6, x, y),
        es256(-7, 2, 1, y, x),
        es256(-7, 2, 1, x, &off_curve),
        es256(-7, 2, 1, &[0; 32], &[0; 32]),
        es256(-7, 2, 1, &[255; 32], y),
        es256(-7, 2, 1, &x[1..], y),
        es256(-7, 2, 1, x, &[y, &[0]].concat()),
        es256(-7, 2, 1, x, b""),
        map(&[(1, integer(2)), (3, integer(-7)), (-1, integer(1)), (-2, bytes(x))]),
        map(&[(1, integer(2)), (3, integer(-7)), (-1, bytes(x)), (-2, bytes(x)), (-3, bytes(y))]),
        map(&[(1, integer(1)), (3, integer(-8)), (-1, integer(7)), (-2, bytes(x))]),
        map(&[(1, integer(1)), (3, integer(-8)), (-1, integer(6)), (-2, bytes(&x[1..]))]),
        map(&[(1, integer(1)), (3, integer(-8)), (-1, integer(6)), (-2, bytes(x)), (-3, bytes(y))]),
        map(&[(1, integer(1)), (3, integer(-7)), (-1, integer(6)), (-2, bytes(x))]),
        map(&[(1, integer(3)), (3, integer(-257))]),
    ] {
        assert_eq!(key(bad.clone()), Err(KeyMismatch), "{bad:x?}");
    }
}

#[test]
fn rsa_key_is_of_a_length_that_the_verifier_takes() {
    let case = Case::new();
    let key = |n: &[u8], e: &[u8]| case.register_key(&rs256(n, e)).map(|passkey| passkey.algorithm);
    let refused = Err(PasskeyError::KeyMismatch);
    let modulus = |bytes: usize, first: u8| {
        let mut n = vec![0xff; bytes];
        n[0] = first;
        n
    };
    let e = &[1, 0, 1];
    assert_eq!(key(&modulus(256, 0x80), e), Ok(CoseAlgorithm::Rs256));
    assert_eq!(key(&modulus(1024, 0xff), e), Ok(CoseAlgorithm::Rs256));
    assert_eq!(key(&modulus(256, 0x7f), e), refused, "2047 bits");
    assert_eq!(key(&modulus(1025, 1), e), refused, "8193 bits");
    assert_eq!(key(&modulus(128, 0x80), e), refused);
    assert_eq!(key(&modulus(257, 0), e), refused, "a leading zero");
    assert_eq!(key(&[], e), refused);
    for bad in [&[][..], &[0], &[1], &[2], &[0, 3], &[1, 0, 1, 0, 1, 0, 1]] {
        assert_eq!(key(&modulus(256, 0x80), bad), refused, "{bad:?}");
    }
}

#[test]
fn cose_key_has_its_parameters_once_and_no_other() {
    let case = Case::new();
    let malformed = Some(PasskeyError::Malformed("the public key"));
    let key = |entries: Vec<(i16, Vec<u8>)>| case.register_key(&map(&entries)).err();
    let all = || vec![(1, integer(1)), (3, integer(-8)), (-1, integer(6)), (-2, bytes(&[7; 32]))];
    assert_eq!(key(all()), None);
    assert_eq!(key(all().into_iter().rev().collect()), None, "in any order");
    let with = |entry: (i16, Vec<u8>)| {
        let mut entries = all();
        entries.push(entry);
        key(entries)
    };
    for twice in all() {
        assert_eq!(with(twice.clone()), malformed, "{twice:?}");
    }
    for label in [0, 2, 4, 5, -4, 256, -257] {
        assert_eq!(with((label, bytes(b"x"))), malformed, "{label}");
    }
    for missing in [0, 1] {
        let mut entries = all();
        entries.remove(missing);
        assert_eq!(key(entries), malformed, "kty and alg are always there");
    }
    for at in 0..4 {
        // A boolean, a text, an array, a map, a tag.
        for value in [&b"\xf5"[..], b"\x61a", b"\x80", b"\xa0", b"\xc0\x00"] {
            let mut entries = all();
            entries[at].1 = value.to_vec();
            assert_eq!(key(entries), malformed, "{at} {value:x?}");
        }
    }
    for at in [0, 1] {
        let mut entries = all();
        entries[at].1 = bytes(b"x");
        assert_eq!(key(entries), malformed, "kty and alg are integers");
    }
    for bad in [&b""[..], b"\xbf\xff", b"\x80", b"\xa0"] {
        assert_eq!(case.register_key(bad).err(), malformed, "{bad:x?}");
    }
}
