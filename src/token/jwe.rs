//! Compact JWE (RFC 7516) with A256GCM, for a shared key (`dir`) or for the holder of a P-256 key (ECDH-ES). Encryption only: apps
//! open what is made here.

use std::borrow::Cow;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::kdf::{SskdfDigestAlgorithmId, get_sskdf_digest_algorithm, sskdf_digest};
use serde::Serialize;
use zeroize::Zeroizing;

use super::sha256;
use crate::config::ClaimsKey;
use crate::id::{Random, base64url};
use crate::secret::Secret;

/// Content encryption: AES-256-GCM (RFC 7518 section 5.3).
const ENC: &str = "A256GCM";

/// Number of scalars that are drawn for an ephemeral key. One in 2^32 is no private key of P-256.
const DRAWS: usize = 16;

/// Makes compact JWEs of one type for one key.
pub(super) struct Encrypter {
    kid: String,
    typ: &'static str,
    key: Key,
}

enum Key {
    /// Encrypts every message. The header is always the same.
    Shared { secret: Secret<[u8; 32]>, header: String },
    /// Point of the recipient; each message has a key of its own.
    Recipient([u8; 65]),
}

/// The protected header (RFC 7516 section 4.1).
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    enc: &'a str,
    kid: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epk: Option<PublicJwk>,
}

/// A public key of P-256, with the members of its thumbprint in their order (RFC 7638 section 3.3).
#[derive(Serialize)]
struct PublicJwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

impl PublicJwk {
    /// The point is uncompressed: a byte 4, x and y.
    fn new(point: &[u8]) -> Self {
        Self { crv: "P-256", kty: "EC", x: base64url(&point[1..33]), y: base64url(&point[33..]) }
    }
}

impl Encrypter {
    /// Prepares encryption with `key` of messages with this `typ`.
    pub(super) fn new(key: &ClaimsKey, typ: &'static str) -> Self {
        match key {
            ClaimsKey::Shared(secret) => {
                let kid = shared_thumbprint(secret.expose());
                let header = Header { alg: "dir", enc: ENC, kid: &kid, typ, epk: None }.encode();
                Self { kid, typ, key: Key::Shared { secret: secret.clone(), header } }
            }
            ClaimsKey::Recipient(recipient) => {
                let own = recipient.id().map(str::to_owned);
                let kid = own.unwrap_or_else(|| thumbprint(&PublicJwk::new(recipient.point())));
                Self { kid, typ, key: Key::Recipient(*recipient.point()) }
            }
        }
    }

    /// Returns the name of the key, as in the headers.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// Encrypts a message.
    pub(super) fn encrypt(&self, mut message: Vec<u8>, random: &dyn Random) -> String {
        let (header, key) = match &self.key {
            Key::Shared { secret, header } => (Cow::Borrowed(header), Zeroizing::new(*secret.expose())),
            Key::Recipient(point) => {
                let (epk, key) = agreed(point, random);
                let header =
                    Header { alg: "ECDH-ES", enc: ENC, kid: &self.kid, typ: self.typ, epk: Some(epk) };
                (Cow::Owned(header.encode()), key)
            }
        };
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let cipher = UnboundKey::new(&AES_256_GCM, &*key).expect("32 bytes are an AES-256 key");
        let tag = LessSafeKey::new(cipher)
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(header.as_bytes()),
                &mut message,
            )
            .expect("AES-GCM seals anything below 64 GiB");
        // The encrypted key is empty: the key is agreed on, or shared (RFC 7516 section 5.1, step 5).
        format!("{header}..{}.{}.{}", base64url(nonce), base64url(message), base64url(tag))
    }
}

impl Header<'_> {
    fn encode(&self) -> String {
        base64url(serde_json::to_vec(self).expect("strings serialise"))
    }
}

/// Agrees on a key with the owner of `point`; returns the public part of this side, too (RFC 7518 section 4.6).
fn agreed(point: &[u8; 65], random: &dyn Random) -> (PublicJwk, Zeroizing<[u8; 32]>) {
    let ephemeral = (0..DRAWS).find_map(|_| {
        let scalar = Zeroizing::new(random.bytes::<32>());
        PrivateKey::from_private_key(&ECDH_P256, &*scalar).ok()
    });
    let ephemeral = ephemeral.expect("random scalars are private keys");
    let public = ephemeral.compute_public_key().expect("a private key has a public one");
    let owner = UnparsedPublicKey::new(&ECDH_P256, point);
    let key = agree(&ephemeral, owner, (), |secret| Ok(concat_kdf(secret, ENC, b"", b"")));
    (PublicJwk::new(public.as_ref()), key.expect("the point was checked when the configuration was read"))
}

/// Concat KDF with SHA-256 (RFC 7518 section 4.6.2). The parties' names are empty unless both sides know them otherwise.
fn concat_kdf<const N: usize>(
    secret: &[u8],
    algorithm: &str,
    producer: &[u8],
    recipient: &[u8],
) -> Zeroizing<[u8; N]> {
    let number = |length: usize| u32::try_from(length).expect("names and keys are short").to_be_bytes();
    let mut info = Vec::new();
    for part in [algorithm.as_bytes(), producer, recipient] {
        info.extend(number(part.len()));
        info.extend(part);
    }
    info.extend(number(8 * N));
    let mut key = Zeroizing::new([0; N]);
    let digest = get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256).expect("SHA-256 is there");
    sskdf_digest(digest, secret, &info, &mut *key).expect("a few bytes are no more than it gives");
    key
}

/// Returns the thumbprint of a public key (RFC 7638).
fn thumbprint(jwk: &PublicJwk) -> String {
    base64url(sha256(&serde_json::to_vec(jwk).expect("strings serialise")))
}

/// Returns the thumbprint of a shared key (RFC 7638). It tells nothing about a random one; a guess at another can be verified with
/// any ciphertext just as well.
fn shared_thumbprint(secret: &[u8; 32]) -> String {
    #[derive(Serialize)]
    struct SharedJwk<'a> {
        k: &'a str,
        kty: &'a str,
    }
    let k = Zeroizing::new(base64url(secret));
    let text = serde_json::to_vec(&SharedJwk { k: &k, kty: "oct" }).map(Zeroizing::new);
    base64url(sha256(&text.expect("strings serialise")))
}

#[cfg(test)]
mod tests;
