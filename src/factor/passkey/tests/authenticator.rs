//! Authenticator and browser in one: responses as real ones make them, from parts that a test may change.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom as Entropy;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use super::*;

pub(super) const UP: u8 = 1;
pub(super) const UV: u8 = 1 << 2;
pub(super) const BE: u8 = 1 << 3;
pub(super) const BS: u8 = 1 << 4;
pub(super) const AT: u8 = 1 << 6;
pub(super) const ED: u8 = 1 << 7;

/// User handle of every passkey here.
pub(super) const USER: &[u8] = b"the user's handle";

pub(super) enum Key {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

/// Parts of a response.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) client_data: Value,
    pub(super) rp_id: &'static str,
    pub(super) flags: u8,
    pub(super) sign_count: u32,
    /// Attested credential data and extensions.
    pub(super) rest: Vec<u8>,
    /// `id` and `rawId`.
    pub(super) ids: [Vec<u8>; 2],
}

impl Key {
    pub(super) fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(super) fn ed_dsa() -> Self {
        Self::EdDsa(Ed25519KeyPair::generate().unwrap())
    }

    pub(super) fn rs256(size: KeySize) -> Self {
        Self::Rs256(Box::new(RsaKeyPair::generate(size).unwrap()))
    }

    pub(super) fn cose(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let point = key.public_key().as_ref();
                es256(-7, 2, 1, &point[1..33], &point[33..])
            }
            Self::EdDsa(key) => map(&[
                (1, integer(1)),
                (3, integer(-8)),
                (-1, integer(6)),
                (-2, bytes(key.public_key().as_ref())),
            ]),
            Self::Rs256(key) => {
                let n = key.public_key().modulus().big_endian_without_leading_zero().to_vec();
                rs256(&n, key.public_key().exponent().big_endian_without_leading_zero())
            }
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(key) => key.sign(&Entropy::new(), message).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &Entropy::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }
}

impl Parts {
    /// Parts of a registration of a key, as they should be.
    pub(super) fn create(challenge: &Challenge, cose: &[u8]) -> Self {
        Self {
            client_data: client_data("webauthn.create", challenge),
            rp_id: "example.org",
            flags: UP | UV | AT,
            sign_count: 0,
            rest: attested(b"a credential id!", cose),
            ids: [b"a credential id!".to_vec(), b"a credential id!".to_vec()],
        }
    }

    /// Parts of an assertion, as they should be.
    pub(super) fn get(challenge: &Challenge) -> Self {
        Self {
            client_data: client_data("webauthn.get", challenge),
            flags: UP | UV,
            rest: Vec::new(),
            ..Self::create(challenge, &[])
        }
    }

    pub(super) fn authenticator_data(&self) -> Vec<u8> {
        let hash = digest(&SHA256, self.rp_id.as_bytes());
        [hash.as_ref(), &[self.flags], &self.sign_count.to_be_bytes(), &self.rest].concat()
    }

    /// Returns the registration, as `toJSON()` does.
    pub(super) fn registration(&self) -> Value {
        self.json(json!({
            "clientDataJSON": base64url(self.client_data.to_string()),
            "authenticatorData": base64url(self.authenticator_data()),
            "transports": ["internal", "hybrid"],
            "publicKey": base64url("not read"),
            "publicKeyAlgorithm": -7,
            "attestationObject": base64url("not read"),
        }))
    }

    /// Returns the assertion, as `toJSON()` does.
    pub(super) fn assertion(&self, key: &Key) -> Value {
        let client_data = self.client_data.to_string();
        let data = self.authenticator_data();
        let hash = digest(&SHA256, client_data.as_bytes());
        self.json(json!({
            "clientDataJSON": base64url(client_data),
            "authenticatorData": base64url(&data),
            "signature": base64url(key.sign(&[&data, hash.as_ref()].concat())),
            "userHandle": base64url(USER),
        }))
    }

    fn json(&self, response: Value) -> Value {
        json!({
            "id": base64url(&self.ids[0]),
            "rawId": base64url(&self.ids[1]),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": true}},
            "response": response,
        })
    }
}

/// Registers a key and returns what is stored of it.
pub(super) fn registered(key: &Key) -> NewPasskey {
    let (relying_party, challenge) = (relying_party(), challenge());
    let ceremony = ceremony(&relying_party, &challenge);
    let json = Parts::create(&challenge, &key.cose()).registration().to_string();
    ceremony.verify_registration(&RegistrationResponse::parse(json.as_bytes()).unwrap()).unwrap()
}

pub(super) fn ceremony<'a>(relying_party: &'a RelyingParty, challenge: &'a Challenge) -> Ceremony<'a> {
    Ceremony { relying_party, challenge, user_verification: UserVerification::Required }
}

pub(super) fn stored(passkey: &NewPasskey) -> StoredPasskey<'_> {
    StoredPasskey {
        credential_id: &passkey.credential_id,
        user_handle: USER,
        public_key: &passkey.public_key,
        algorithm: passkey.algorithm.id(),
        sign_count: passkey.sign_count,
        backup_eligible: passkey.backup_eligible,
    }
}

fn client_data(kind: &str, challenge: &Challenge) -> Value {
    json!({
        "type": kind,
        "challenge": challenge.to_string(),
        "origin": "https://example.org",
        "crossOrigin": false,
    })
}

/// Returns attested credential data.
pub(super) fn attested(id: &[u8], cose: &[u8]) -> Vec<u8> {
    [&[7; 16], &u16::try_from(id.len()).unwrap().to_be_bytes()[..], id, cose].concat()
}

/// Returns a COSE key with two coordinates.
pub(super) fn es256(algorithm: i16, kind: i16, curve: i16, x: &[u8], y: &[u8]) -> Vec<u8> {
    map(&[(1, integer(kind)), (3, integer(algorithm)), (-1, integer(curve)), (-2, bytes(x)), (-3, bytes(y))])
}

/// Returns the COSE key of RSA with SHA-256.
pub(super) fn rs256(n: &[u8], e: &[u8]) -> Vec<u8> {
    map(&[(1, integer(3)), (3, integer(-257)), (-1, bytes(n)), (-2, bytes(e))])
}

/// Returns a CBOR map with encoded values.
pub(super) fn map(entries: &[(i16, Vec<u8>)]) -> Vec<u8> {
    let mut map = vec![0xa0 | u8::try_from(entries.len()).unwrap()];
    for (label, value) in entries {
        map.extend(integer(*label));
        map.extend(value);
    }
    map
}

/// Returns a CBOR integer.
pub(super) fn integer(value: i16) -> Vec<u8> {
    let (major, argument) = if value < 0 { (1, -1 - value) } else { (0, value) };
    header(major, u16::try_from(argument).unwrap())
}

/// Returns a CBOR byte string.
pub(super) fn bytes(bytes: &[u8]) -> Vec<u8> {
    [header(2, u16::try_from(bytes.len()).unwrap()), bytes.to_vec()].concat()
}

fn header(major: u8, argument: u16) -> Vec<u8> {
    let [high, low] = argument.to_be_bytes();
    match argument {
        0..24 => vec![major << 5 | low],
        24..256 => vec![major << 5 | 24, low],
        256.. => vec![major << 5 | 25, high, low],
    }
}
