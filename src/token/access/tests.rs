//! Forged tokens, by the threats T31-T38.

use serde_json::{Value, json};

use super::*;
use crate::config::Algorithm;
use crate::id::SystemRandom;
use crate::token::keyring::OpenKey;
use crate::token::seal::MasterSecret;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ALL: [Algorithm; 3] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];

struct Mint {
    keys: KeySet,
    profile: Profile,
}

impl Mint {
    fn new(algorithm: Algorithm) -> Self {
        let keys = KeySet::new(
            1,
            &[OpenKey::access(algorithm, &SystemRandom)],
            &[],
            &MasterSecret::random(&SystemRandom),
        )
        .unwrap();
        let profile = Profile {
            issuer: "https://door.example".into(),
            audience: "doorward".into(),
            ttl: Duration::from_secs(900),
            encrypted_claims: None,
        };
        Self { keys, profile }
    }

    fn subject() -> Subject {
        Subject {
            session_id: SessionId::from_bytes([1; 16]),
            user_id: UserId::from_bytes([2; 16]),
            roles: Roles::parse(["admin", "user"]).unwrap(),
            rights: RightsVersion(3),
            generation: 4,
            login: Some("ada@example.org".parse().unwrap()),
            attributes: Attributes::new("ada@example.net".parse().ok(), true, "Ada L.".parse().ok()),
            proof: Proof { methods: "pwd".parse().unwrap(), at: NOW },
        }
    }

    fn issue(&self) -> String {
        let issued = issue(
            &self.profile,
            &Self::subject(),
            NOW,
            NOW + Duration::from_secs(86_400),
            &self.keys,
            &SystemRandom,
        );
        issued.unwrap().token.expose().clone()
    }

    fn verify(&self, token: &str) -> Result<Verified, AccessTokenError> {
        verify(token, &self.profile, NOW, &self.keys)
    }

    /// Signs arbitrary header and claims with the gateway's key.
    fn signed(&self, header: &str, claims: &str) -> String {
        let message = format!("{header}.{}", base64url(claims));
        let signature = self.keys.access_signer(NOW).unwrap().sign(&message);
        format!("{message}.{signature}")
    }

    fn header(&self) -> String {
        self.keys.access_signer(NOW).unwrap().header.clone()
    }

    /// Returns valid claims with a change.
    fn claims(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> String {
        let subject = Self::subject();
        let mut claims = json!({
            "iss": "https://door.example", "aud": "doorward", "sub": subject.user_id.to_string(),
            "client_id": FIRST_PARTY_CLIENT, "iat": NOW.secs(), "exp": NOW.secs() + 900, "jti": "a",
            "sid": subject.session_id.to_string(), "roles": ["user"], "ver": 0,
        });
        change(claims.as_object_mut().unwrap());
        claims.to_string()
    }
}

#[test]
fn issued_tokens_verify_under_every_algorithm() {
    for algorithm in ALL {
        let mint = Mint::new(algorithm);
        let verified = mint.verify(&mint.issue()).unwrap();
        assert_eq!(verified.subject, Mint::subject());
        assert_eq!(verified.expires_at, NOW + Duration::from_secs(900));
        assert!(
            mint.verify(&mint.signed(&mint.header(), &Mint::claims(|_| ()))).is_ok(),
            "the tests' own claims are good"
        );
    }
}

#[test]
fn token_never_outlives_its_session() {
    let mint = Mint::new(Algorithm::EdDsa);
    let issued =
        issue(&mint.profile, &Mint::subject(), NOW, NOW + Duration::from_secs(10), &mint.keys, &SystemRandom)
            .unwrap();
    assert_eq!(issued.expires_at, NOW + Duration::from_secs(10));
}

#[test]
fn changed_headers_are_refused() {
    // T31-T34: other algorithms, none, key material and extensions in the header, all signed by the gateway's key.
    for algorithm in ALL {
        let mint = Mint::new(algorithm);
        let claimed: Value = serde_json::from_slice(&from_base64url(&mint.header()).unwrap()).unwrap();
        let kid = claimed["kid"].as_str().unwrap();
        for header in [
            json!({ "alg": "none", "kid": kid, "typ": "at+jwt" }),
            json!({ "alg": "None", "kid": kid, "typ": "at+jwt" }),
            json!({ "alg": "HS256", "kid": kid, "typ": "at+jwt" }),
            json!({ "alg": "PS256", "kid": kid, "typ": "at+jwt" }),
            json!({ "alg": ["EdDSA"], "kid": kid, "typ": "at+jwt" }),
            json!({ "kid": kid, "typ": "at+jwt" }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "JWT" }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "rt+jwt" }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "dpop+jwt" }),
            json!({ "alg": claimed["alg"], "kid": kid }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "at+jwt", "crit": ["x"], "x": 1 }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "at+jwt", "b64": false }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "at+jwt", "zip": "DEF" }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "at+jwt", "jku": "http://127.0.0.1:1/" }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "at+jwt", "x5u": "http://127.0.0.1:1/" }),
            json!({ "alg": claimed["alg"], "kid": kid, "typ": "at+jwt", "jwk": { "kty": "oct", "k": "AA" } }),
            json!({ "alg": claimed["alg"], "kid": "../../dev/null", "typ": "at+jwt" }),
            json!({ "alg": claimed["alg"], "kid": "' OR 1=1 --", "typ": "at+jwt" }),
            json!({ "alg": claimed["alg"], "kid": "\0", "typ": "at+jwt" }),
            json!({ "alg": claimed["alg"], "kid": "k".repeat(10_000), "typ": "at+jwt" }),
        ] {
            let token = mint.signed(&base64url(header.to_string()), &Mint::claims(|_| ()));
            assert_eq!(mint.verify(&token), Err(AccessTokenError::Invalid), "{header}");
        }
        // The same header in another spelling: white space, repeated members, padding.
        let text = String::from_utf8(from_base64url(&mint.header()).unwrap()).unwrap();
        let repeated = format!("{},{}", text.trim_end_matches('}'), &text[1..]);
        for header in [
            base64url(format!(" {text}")),
            base64url(repeated),
            base64url(format!("\u{feff}{text}")),
            format!("{}=", mint.header()),
        ] {
            assert_eq!(
                mint.verify(&mint.signed(&header, &Mint::claims(|_| ()))),
                Err(AccessTokenError::Invalid)
            );
        }
    }
}

#[test]
fn only_own_header_with_unknown_kid_is_undecided() {
    let (mint, other) = (Mint::new(Algorithm::EdDsa), Mint::new(Algorithm::EdDsa));
    assert_eq!(mint.verify(&other.issue()), Err(AccessTokenError::UnknownKey));
}

#[test]
fn changed_and_truncated_tokens_are_refused() {
    for algorithm in ALL {
        let mint = Mint::new(algorithm);
        let token = mint.issue();
        let step = if algorithm == Algorithm::EdDsa { 1 } else { 7 };
        for at in (0..token.len()).step_by(step) {
            let mut bent = token.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(mint.verify(&String::from_utf8(bent).unwrap()).is_err(), "{algorithm:?} byte {at}");
            assert!(mint.verify(&token[..at]).is_err(), "{algorithm:?} cut at {at}");
        }
        for bad in [
            format!("{token}A"),
            format!("{token}="),
            format!(" {token}"),
            format!("{token}\n"),
            format!("{token}.x"),
            token.replace('.', ".."),
        ] {
            assert!(mint.verify(&bad).is_err(), "{algorithm:?}");
        }
    }
}

#[test]
fn degenerate_signatures_are_refused() {
    // CVE-2022-21449 (r = s = 0), an Ed25519 signature of the neutral element, and none at all.
    for algorithm in ALL {
        let mint = Mint::new(algorithm);
        let token = mint.issue();
        let message = token.rsplit_once('.').unwrap().0;
        let mut neutral = [0_u8; 64];
        neutral[0] = 1;
        for signature in [
            base64url([0; 64]),
            base64url([0; 256]),
            base64url(neutral),
            base64url([0xff; 64]),
            String::new(),
        ] {
            assert_eq!(
                mint.verify(&format!("{message}.{signature}")),
                Err(AccessTokenError::Invalid),
                "{algorithm:?}"
            );
        }
    }
}

#[test]
fn mac_under_the_public_key_is_refused() {
    // T31, C1: HS256 with the public key as the secret, in every form it is published in.
    use aws_lc_rs::hmac;
    for algorithm in ALL {
        let mint = Mint::new(algorithm);
        let jwk = mint.keys.jwks(NOW)["keys"][0].clone();
        let raw = jwk["x"].as_str().or(jwk["n"].as_str()).unwrap();
        for secret in [jwk.to_string().into_bytes(), raw.as_bytes().to_vec(), from_base64url(raw).unwrap()] {
            for header in [
                mint.header(),
                base64url(json!({ "alg": "HS256", "kid": jwk["kid"], "typ": "at+jwt" }).to_string()),
            ] {
                let message = format!("{header}.{}", base64url(Mint::claims(|_| ())));
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
                assert_eq!(
                    mint.verify(&format!("{message}.{}", base64url(tag))),
                    Err(AccessTokenError::Invalid)
                );
            }
        }
    }
}

#[test]
fn unexpected_claims_are_refused() {
    // T35, T36, C3: each signed by the gateway's key and invalid in one way.
    let mint = Mint::new(Algorithm::EdDsa);
    let wrong = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        mint.verify(&mint.signed(&mint.header(), &Mint::claims(change)))
    };
    for name in ["iss", "aud", "sub", "client_id", "iat", "exp", "jti", "sid", "roles", "ver"] {
        assert_eq!(
            wrong(&|c| {
                c.remove(name);
            }),
            Err(AccessTokenError::Invalid),
            "without {name}"
        );
        assert_eq!(
            wrong(&|c| {
                c.insert(name.into(), Value::Null);
            }),
            Err(AccessTokenError::Invalid),
            "null {name}"
        );
    }
    let values = [
        ("iss", json!("https://door.example.evil")),
        ("iss", json!("https://door.exampl")),
        ("iss", json!(["https://door.example"])),
        ("aud", json!("other")),
        ("aud", json!(["doorward"])),
        ("aud", json!(["doorward", "other"])),
        ("client_id", json!("other")),
        ("exp", json!("1800000900")),
        ("exp", json!(1_800_000_900.5)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("iat", json!(NOW.secs() + 3600)),
        ("iat", json!(-5)),
        ("sid", json!("short")),
        ("sub", json!("")),
        ("jti", json!("")),
        ("roles", json!("admin")),
        ("roles", json!(["Admin\n"])),
        ("ver", json!(-1)),
        ("nbf", json!(0)),
        ("scope", json!("x")),
    ];
    for (name, value) in values {
        let result = wrong(&|c| {
            c.insert(name.into(), value.clone());
        });
        assert!(
            matches!(result, Err(AccessTokenError::Invalid | AccessTokenError::Expired)),
            "{name}: {value}"
        );
        if name != "exp" && (name, &value) != ("iat", &json!(-5)) {
            assert_eq!(result, Err(AccessTokenError::Invalid), "{name}: {value}");
        }
    }
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "\u{feff}{}",
        r#"{"iss":"https://door.example","iss":"https://door.example"}"#,
        &"[".repeat(4000),
    ] {
        assert_eq!(mint.verify(&mint.signed(&mint.header(), text)), Err(AccessTokenError::Invalid));
    }
}

#[test]
fn token_expires_after_its_end_and_the_leeway() {
    let mint = Mint::new(Algorithm::EdDsa);
    let token = mint.issue();
    let end = NOW + mint.profile.ttl;
    let at = |now| verify(&token, &mint.profile, now, &mint.keys).map(|_| ());
    assert_eq!(at(end), Ok(()));
    assert_eq!(at(end + LEEWAY), Err(AccessTokenError::Expired));
    assert_eq!(at(NOW - LEEWAY), Ok(()), "a verifier a little behind");
    assert_eq!(at(NOW - LEEWAY - Duration::from_secs(1)), Err(AccessTokenError::Invalid), "from the future");
}

#[test]
fn malformed_tokens_need_no_signature_check() {
    let mint = Mint::new(Algorithm::EdDsa);
    for text in ["", ".", "..", "...", "a.b", "a.b.c", "e30.e30.", &"a".repeat(MAX_LENGTH + 1), "§.§.§"] {
        assert_eq!(mint.verify(text), Err(AccessTokenError::Invalid), "{text}");
    }
}

#[test]
fn claimed_issuer_is_read_without_verification() {
    let mint = Mint::new(Algorithm::EdDsa);
    assert!(claims_issuer(&mint.issue(), "https://door.example"));
    assert!(!claims_issuer(&mint.issue(), "https://other.example"));
    assert!(!claims_issuer("garbage", "https://door.example"));
}

#[test]
fn new_key_is_published_before_it_signs() {
    // T48.
    let (old, new) =
        (OpenKey::access(Algorithm::EdDsa, &SystemRandom), OpenKey::access(Algorithm::Es256, &SystemRandom));
    let (begins, ends) = (NOW + Duration::from_secs(600), NOW + Duration::from_secs(5000));
    let old = OpenKey { verifies_until: Some(ends), ..old };
    let new = OpenKey { signs_from: begins, ..new };
    let keys = KeySet::new(2, &[old, new], &[], &MasterSecret::random(&SystemRandom)).unwrap();
    let profile = Mint::new(Algorithm::EdDsa).profile;
    let at = |now| {
        issue(&profile, &Mint::subject(), now, ends + Duration::from_secs(86_400), &keys, &SystemRandom)
            .unwrap()
    };
    let early = at(NOW);
    assert_eq!(keys.jwks(NOW)["keys"].as_array().unwrap().len(), 2);
    assert!(verify(early.token.expose(), &profile, begins, &keys).is_ok());
    let late = at(begins);
    assert_ne!(early.token.expose().split('.').next(), late.token.expose().split('.').next());
    assert_eq!(keys.jwks(ends)["keys"].as_array().unwrap().len(), 1);
    assert_eq!(verify(early.token.expose(), &profile, ends, &keys), Err(AccessTokenError::Invalid));
}

#[test]
fn published_keys_contain_no_private_members() {
    for algorithm in ALL {
        let jwks = Mint::new(algorithm).keys.jwks(NOW);
        let key = jwks["keys"][0].as_object().unwrap();
        for private in ["d", "k", "p", "q", "dp", "dq", "qi"] {
            assert!(!key.contains_key(private));
        }
        for public in ["kty", "kid", "use", "alg"] {
            assert!(key.contains_key(public), "{algorithm:?} {public}");
        }
    }
}

#[test]
fn login_name_is_sealed_in_the_token() {
    let mint = Mint::new(Algorithm::EdDsa);
    let token = mint.issue();
    assert_eq!(mint.verify(&token).unwrap().subject, Mint::subject());
    let claims = from_base64url(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let jti = claims["jti"].as_str().unwrap();
    let (sealed, generation) = jti.split_once('.').unwrap();
    assert_eq!(generation, "4");
    let sealed = from_base64url(sealed).unwrap();
    for text in [claims.to_string().into_bytes(), sealed] {
        let shows = |mark: &[u8]| text.windows(mark.len()).any(|window| window.eq_ignore_ascii_case(mark));
        // `@` and a space are not in base64url, which has "ada" in any case once in 200 tokens.
        assert!(!shows(b"ada@") && !shows(b"ada l"), "{}", String::from_utf8_lossy(&text));
    }
    assert_ne!(mint.issue(), token, "no two tokens are the same");
}

#[test]
fn token_of_release_0_1_0_and_one_with_unknown_contents_name_nobody() {
    let mint = Mint::new(Algorithm::EdDsa);
    let random = base64url([7; 16]);
    for jti in [random.clone(), format!("{random}.4"), "a".to_owned(), base64url([7; 60]), "?".repeat(80)] {
        let claims = Mint::claims(|claims| {
            claims.insert("jti".into(), jti.clone().into());
        });
        let verified = mint.verify(&mint.signed(&mint.header(), &claims)).unwrap();
        assert_eq!(verified.subject.login, None, "{jti}");
    }
}

#[test]
fn sealed_name_opens_under_keys_before_and_after_a_rotation() {
    let master = MasterSecret::random(&SystemRandom);
    let (old, new) =
        (OpenKey::access(Algorithm::EdDsa, &SystemRandom), OpenKey::access(Algorithm::EdDsa, &SystemRandom));
    let new = OpenKey { signs_from: NOW + Duration::from_secs(600), ..new };
    let profile = Mint::new(Algorithm::EdDsa).profile;
    let keys = KeySet::new(2, &[old, new], &[], &master).unwrap();
    for now in [NOW, NOW + Duration::from_secs(600)] {
        let end = now + Duration::from_secs(86_400);
        let issued = issue(&profile, &Mint::subject(), now, end, &keys, &SystemRandom).unwrap();
        let verified = verify(issued.token.expose(), &profile, now, &keys).unwrap();
        assert_eq!(verified.subject.login, Mint::subject().login);
    }
}

/// Browsers keep cookies of 4,096 bytes, name and value together (RFC 6265bis section 5.6).
#[test]
fn token_with_thirty_long_roles_fits_into_a_cookie() {
    for algorithm in ALL {
        let mint = Mint::new(algorithm);
        let roles: Vec<String> =
            (0..30).map(|at| format!("department-{at:02}:permission-to-write")).collect();
        let email = format!("{}@example.org", "x".repeat(242));
        // 400 bytes, of which 100 are escaped.
        let name = "\"".repeat(100) + &"李".repeat(100);
        let subject = Subject {
            roles: Roles::parse(roles.iter().map(String::as_str)).unwrap(),
            login: Some("x".repeat(128).parse().unwrap()),
            attributes: Attributes::new(email.parse().ok(), true, name.parse().ok()),
            generation: u32::MAX,
            ..Mint::subject()
        };
        assert!(subject.attributes.email().is_some() && subject.attributes.name().is_some());
        let (end, random) = (NOW + Duration::from_secs(86_400), &SystemRandom);
        let issued = issue(&mint.profile, &subject, NOW, end, &mint.keys, random).unwrap();
        let length = issued.token.expose().len();
        assert!("__Host-doorward_access=".len() + length <= 4096, "{algorithm:?}: {length}");
    }
}
