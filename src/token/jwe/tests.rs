//! Encryption against the vectors of RFC 7518 and RFC 7638, and opened by hand.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::config::RecipientKey;
use crate::id::{SystemRandom, from_base64url};

/// RFC 7518, appendix C.
const ALICE: &str = "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo";
const BOB: [&str; 3] = [
    "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
    "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
    "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw",
];
const Z: [u8; 32] = [
    158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128,
    106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
];

/// Gives these bytes first, then random ones.
struct Scripted(Mutex<Vec<Vec<u8>>>);

impl Scripted {
    fn new(values: &[&[u8]]) -> Self {
        Self(Mutex::new(values.iter().rev().map(|value| value.to_vec()).collect()))
    }
}

impl Random for Scripted {
    fn fill(&self, out: &mut [u8]) {
        match self.0.lock().unwrap().pop() {
            Some(value) => out.copy_from_slice(&value),
            None => SystemRandom.fill(out),
        }
    }
}

fn decoded(text: &str) -> Vec<u8> {
    from_base64url(text).unwrap()
}

fn bob() -> ClaimsKey {
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": BOB[0], "y": BOB[1] });
    ClaimsKey::Recipient(RecipientKey::parse(&jwk.to_string()).unwrap())
}

fn header(jwe: &str) -> Value {
    serde_json::from_slice(&decoded(jwe.split('.').next().unwrap())).unwrap()
}

/// Opens a JWE as RFC 7516 section 5.2 says; `key` is that of the content.
fn open(jwe: &str, key: &[u8]) -> Option<Vec<u8>> {
    let [header, encrypted_key, nonce, text, tag] = jwe.split('.').collect::<Vec<_>>().try_into().ok()?;
    assert_eq!(encrypted_key, "");
    let mut sealed = [from_base64url(text)?, from_base64url(tag)?].concat();
    let nonce = Nonce::try_assume_unique_for_key(&from_base64url(nonce)?).ok()?;
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    Some(cipher.open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed).ok()?.to_vec())
}

/// Returns the content key of a JWE for a holder of this private key.
fn content_key(jwe: &str, private: &[u8]) -> Vec<u8> {
    let epk = &header(jwe)["epk"];
    assert_eq!((&epk["kty"], &epk["crv"]), (&json!("EC"), &json!("P-256")));
    let member = |name: &str| decoded(epk[name].as_str().unwrap());
    let point = [&[4], member("x").as_slice(), &member("y")].concat();
    let private = PrivateKey::from_private_key(&ECDH_P256, private).unwrap();
    let point = UnparsedPublicKey::new(&ECDH_P256, point);
    agree(&private, point, (), |secret| Ok(concat_kdf::<32>(secret, ENC, b"", b"").to_vec())).unwrap()
}

#[test]
fn concat_kdf_derives_the_key_of_rfc_7518_appendix_c() {
    let key = concat_kdf::<16>(&Z, "A128GCM", b"Alice", b"Bob");
    assert_eq!(base64url(*key), "VqqN6vgjbSBcIijNcacQGg");
    let private = PrivateKey::from_private_key(&ECDH_P256, &decoded(ALICE)).unwrap();
    let ClaimsKey::Recipient(bob) = bob() else { panic!("a public key") };
    let peer = UnparsedPublicKey::new(&ECDH_P256, bob.point());
    assert_eq!(agree(&private, peer, (), |secret| Ok(secret.to_vec())), Ok(Z.to_vec()));
}

#[test]
fn message_for_a_public_key_opens_with_its_private_key_alone() {
    let encrypter = Encrypter::new(&bob(), "test+jwt");
    // The first draw is no private key: the order of the group is below it.
    let random = Scripted::new(&[&[255; 32], &decoded(ALICE), &[9; 12]]);
    let jwe = encrypter.encrypt(b"{}".to_vec(), &random);
    let expected = json!({
        "alg": "ECDH-ES", "enc": "A256GCM", "kid": encrypter.kid(), "typ": "test+jwt",
        "epk": {
            "kty": "EC", "crv": "P-256",
            "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
            "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
        },
    });
    assert_eq!(header(&jwe), expected);
    assert_eq!(jwe.split('.').nth(2), Some(base64url([9; 12]).as_str()));
    assert_eq!(open(&jwe, &content_key(&jwe, &decoded(BOB[2]))).as_deref(), Some(&b"{}"[..]));
    assert_eq!(open(&jwe, &content_key(&jwe, &decoded(ALICE))), None);
    let again = encrypter.encrypt(b"{}".to_vec(), &SystemRandom);
    assert_ne!(header(&again)["epk"], expected["epk"], "each message has a key of its own");
}

#[test]
fn message_for_a_shared_key_opens_with_it_alone() {
    let (key, other) = ([1; 32], [2; 32]);
    let encrypter = Encrypter::new(&ClaimsKey::Shared(Secret::new(key)), "test+jwt");
    let jwe = encrypter.encrypt(b"message".to_vec(), &SystemRandom);
    let expected = json!({ "alg": "dir", "enc": "A256GCM", "kid": encrypter.kid(), "typ": "test+jwt" });
    assert_eq!(header(&jwe), expected);
    assert_eq!(open(&jwe, &key).as_deref(), Some(&b"message"[..]));
    assert_eq!(open(&jwe, &other), None);
    let again = encrypter.encrypt(b"message".to_vec(), &SystemRandom);
    for at in 2..5 {
        assert_ne!(again.split('.').nth(at), jwe.split('.').nth(at), "segment {at} is never the same twice");
    }
    // Another header, such as one with another type, does not open.
    let (_, rest) = jwe.split_once('.').unwrap();
    let bent = header(&jwe).to_string().replace("test+jwt", "at+jwt");
    assert_eq!(open(&format!("{}.{rest}", base64url(bent)), &key), None);
}

#[test]
fn kid_is_the_thumbprint_unless_the_key_has_a_name() {
    // Computed with `jose` and `joserfc`.
    let kid = |key: &ClaimsKey| Encrypter::new(key, "t").kid().to_owned();
    assert_eq!(kid(&bob()), "Vy57XrArUrW0NbpI12tEzDHABxMwrTh6HHXRenSpnCo");
    let shared = std::array::from_fn(|at| u8::try_from(at).unwrap());
    assert_eq!(kid(&ClaimsKey::Shared(Secret::new(shared))), "WqjPPRvAP8oYbAqCwMErhzTg-Quaz-vLx_cef07yhOs");
    let named = json!({ "kty": "EC", "crv": "P-256", "x": BOB[0], "y": BOB[1], "kid": "wiki \"1\"" });
    let named = ClaimsKey::Recipient(RecipientKey::parse(&named.to_string()).unwrap());
    assert_eq!(kid(&named), "wiki \"1\"");
    let jwe = Encrypter::new(&named, "t").encrypt(Vec::new(), &SystemRandom);
    assert_eq!(header(&jwe)["kid"], "wiki \"1\"");
}
