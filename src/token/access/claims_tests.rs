//! Encrypted claims in access tokens: contents, absence, length, and their part in verification.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

use super::*;
use crate::config::{Algorithm, ClaimsKey, EncryptedClaim, EncryptedClaims};
use crate::id::SystemRandom;
use crate::token::keyring::OpenKey;
use crate::token::seal::MasterSecret;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const KEY: [u8; 32] = [7; 32];
const ALL: [EncryptedClaim; 3] = [EncryptedClaim::Login, EncryptedClaim::Email, EncryptedClaim::Name];

fn keys(algorithm: Algorithm) -> KeySet {
    let key = OpenKey::access(algorithm, &SystemRandom);
    KeySet::new(1, &[key], &[], &MasterSecret::random(&SystemRandom)).unwrap()
}

fn profile(claims: &[EncryptedClaim]) -> Profile {
    let config = EncryptedClaims { claims: claims.to_vec(), key: ClaimsKey::Shared(Secret::new(KEY)) };
    let encrypter = (!claims.is_empty()).then(|| Arc::new(ClaimsEncrypter::new(&config)));
    Profile {
        issuer: "https://door.example".into(),
        audience: "doorward".into(),
        ttl: Duration::from_secs(900),
        encrypted_claims: encrypter,
    }
}

fn subject(attributes: Attributes) -> Subject {
    Subject {
        session_id: SessionId::from_bytes([1; 16]),
        user_id: UserId::from_bytes([2; 16]),
        roles: Roles::parse(["admin"]).unwrap(),
        rights: RightsVersion(3),
        generation: 4,
        login: Some("ada".parse().unwrap()),
        attributes,
        proof: Proof::NONE,
    }
}

fn lovelace() -> Attributes {
    Attributes::new("Ada@example.org".parse().ok(), true, "Ada \"Countess\" Lovelace, née Byron".parse().ok())
}

fn issued(profile: &Profile, subject: &Subject, keys: &KeySet) -> Issued {
    issue(profile, subject, NOW, NOW + Duration::from_secs(86_400), keys, &SystemRandom).unwrap()
}

/// The claims of a token.
fn claims(token: &str) -> Value {
    serde_json::from_slice(&from_base64url(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The plain text of a token's encrypted claims.
fn opened(token: &str) -> Option<Vec<u8>> {
    let claims = claims(token);
    let jwe = claims.get("encrypted_claims")?.as_str().unwrap();
    let [header, "", nonce, text, tag] = jwe.split('.').collect::<Vec<_>>()[..] else { panic!("{jwe}") };
    let mut sealed = [from_base64url(text).unwrap(), from_base64url(tag).unwrap()].concat();
    let nonce = Nonce::try_assume_unique_for_key(&from_base64url(nonce).unwrap()).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap());
    Some(key.open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed).unwrap().to_vec())
}

#[test]
fn chosen_attributes_are_encrypted_and_no_others() {
    let (keys, ada) = (keys(Algorithm::EdDsa), subject(lovelace()));
    let token = claims(issued(&profile(&[]), &ada, &keys).token.expose());
    let about = json!({ "sub": token["sub"], "sid": token["sid"], "iat": NOW.secs() });
    for (chosen, members) in [
        (&ALL[..1], json!({ "login": "ada" })),
        (&ALL[1..2], json!({ "email": "Ada@example.org", "email_verified": true })),
        (&ALL[2..], json!({ "name": "Ada \"Countess\" Lovelace, née Byron" })),
    ] {
        let token = issued(&profile(chosen), &ada, &keys);
        let mut expected = about.clone();
        expected.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let plain = opened(token.token.expose()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap(), expected);
        assert!(!token.lacks_claims);
    }
    let unverified = subject(Attributes::new("ada@example.org".parse().ok(), false, None));
    let plain = opened(issued(&profile(&ALL[1..]), &unverified, &keys).token.expose()).unwrap();
    let mut expected = about;
    expected["email"] = json!("ada@example.org");
    expected["email_verified"] = json!(false);
    assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap(), expected, "an absent name is absent");
}

#[test]
fn user_without_the_chosen_attributes_has_no_claim() {
    let keys = keys(Algorithm::EdDsa);
    let named = Attributes::new(None, false, "Ada".parse().ok());
    for (chosen, attributes) in [(&ALL[1..], Attributes::NONE), (&ALL[1..2], named), (&[][..], lovelace())] {
        let token = issued(&profile(chosen), &subject(attributes), &keys);
        assert_eq!(claims(token.token.expose()).get("encrypted_claims"), None, "{chosen:?}");
        assert!(!token.lacks_claims);
    }
}

#[test]
fn ciphertext_shows_neither_values_nor_their_length() {
    let keys = keys(Algorithm::EdDsa);
    let token = |name: &str| {
        let attributes = Attributes::new("lovelace@example.org".parse().ok(), true, name.parse().ok());
        issued(&profile(&ALL), &subject(attributes), &keys).token.expose().clone()
    };
    let tokens = ["A", "Ada", "Ada Lovelace"].map(token);
    for token in &tokens {
        let claims = claims(token);
        let decoded =
            claims["encrypted_claims"].as_str().unwrap().split('.').map(|s| from_base64url(s).unwrap());
        for bytes in decoded.chain([claims.to_string().into_bytes()]) {
            assert!(!bytes.windows(8).any(|window| window.eq_ignore_ascii_case(b"lovelace")));
        }
        let plain = opened(token).unwrap();
        assert_eq!(plain.len() % 32, 0);
    }
    assert_eq!(tokens[0].len(), tokens[1].len());
    let jwe = |token: &str| claims(token)["encrypted_claims"].clone();
    assert_ne!(jwe(&token("Ada")), jwe(&tokens[1]), "never the same twice");
    assert!(!format!("{:?}", profile(&ALL)).contains("7, 7"), "no key in a log");
}

#[test]
fn verification_accepts_the_claim_and_ignores_it() {
    let (keys, ada) = (keys(Algorithm::EdDsa), subject(lovelace()));
    let token = issued(&profile(&ALL), &ada, &keys);
    let expected = Ok(Verified { subject: ada, expires_at: token.expires_at });
    // Also where the setting was removed, or another key is set.
    for profile in [profile(&ALL), profile(&ALL[..1]), profile(&[])] {
        assert_eq!(verify(token.token.expose(), &profile, NOW, &keys), expected);
    }
    // It is part of what is signed.
    let mut bent = claims(token.token.expose());
    bent["encrypted_claims"] = json!("a....b");
    let parts: Vec<&str> = token.token.expose().split('.').collect();
    let bent = format!("{}.{}.{}", parts[0], base64url(bent.to_string()), parts[2]);
    assert_eq!(verify(&bent, &profile(&ALL), NOW, &keys), Err(AccessTokenError::Invalid));
    // Nothing in the JWE is an access token.
    let inner = claims(token.token.expose())["encrypted_claims"].as_str().unwrap().to_owned();
    assert_eq!(verify(&inner, &profile(&ALL), NOW, &keys), Err(AccessTokenError::Invalid));
}

#[test]
fn token_with_claims_and_thirty_roles_fits_into_a_cookie() {
    let roles: Vec<String> = (0..30).map(|at| format!("department-{at:02}:permission-to-write")).collect();
    let roles = Roles::parse(roles.iter().map(String::as_str)).unwrap();
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ", "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
    });
    let recipient = ClaimsKey::Recipient(crate::config::RecipientKey::parse(&jwk.to_string()).unwrap());
    let recipient = EncryptedClaims { claims: ALL.to_vec(), key: recipient };
    let public =
        Profile { encrypted_claims: Some(Arc::new(ClaimsEncrypter::new(&recipient))), ..profile(&[]) };
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let keys = keys(algorithm);
        for profile in [&profile(&ALL), &public] {
            let usual = Subject { roles: roles.clone(), generation: u32::MAX, ..subject(lovelace()) };
            let token = issued(profile, &usual, &keys);
            let length = token.token.expose().len();
            assert!(!token.lacks_claims && length <= MAX_LENGTH_WITH_CLAIMS, "{algorithm:?}: {length}");
            assert!(claims(token.token.expose()).get("encrypted_claims").is_some());
            assert!("__Secure-doorward_access=".len() + MAX_LENGTH_WITH_CLAIMS <= 4096);

            // The longest values: as without the setting, rather than a cookie that browsers drop.
            let email = format!("{}@example.org", "x".repeat(242));
            let attributes = Attributes::new(email.parse().ok(), true, "李".repeat(133).parse().ok());
            let longest = Subject { attributes, ..usual };
            let token = issued(profile, &longest, &keys);
            let length = token.token.expose().len();
            assert!(token.lacks_claims && length <= MAX_LENGTH_WITH_CLAIMS, "{algorithm:?}: {length}");
            let verified = verify(token.token.expose(), profile, NOW, &keys).unwrap();
            assert_eq!(verified.subject, longest);
        }
    }
}
