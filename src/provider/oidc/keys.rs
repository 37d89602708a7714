//! Key set (RFC 7517): only public keys that can verify a signature, each with its kind.

use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::config::SignatureAlgorithm;
use crate::id::from_base64url;
use crate::provider::error::{Endpoint, ProviderError};

/// Maximum number of keys that are read. Entra ID has some ten.
const MAX_KEYS: usize = 100;

/// Bounds of an RSA modulus, in bytes: 2048 bits (RFC 7518 section 3.3) to 8192, which bounds the work of a check.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// Maximum length of a key's name.
const MAX_KID: usize = 256;

/// Kind of a key, which decides the algorithms it can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    const fn of(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::Rs256
            | SignatureAlgorithm::Rs384
            | SignatureAlgorithm::Rs512
            | SignatureAlgorithm::Ps256
            | SignatureAlgorithm::Ps384
            | SignatureAlgorithm::Ps512 => Self::Rsa,
            SignatureAlgorithm::Es256 => Self::P256,
            SignatureAlgorithm::Es384 => Self::P384,
            SignatureAlgorithm::EdDsa => Self::Ed25519,
        }
    }
}

/// A key.
pub(in crate::provider) struct Key {
    kid: Option<String>,
    kind: Kind,
    /// The one algorithm that it is for, if stated.
    algorithm: Option<SignatureAlgorithm>,
    /// Issuer that it signs for, if stated (Entra ID).
    pub(in crate::provider) issuer: Option<String>,
    pub(in crate::provider) public: DecodingKey,
}

/// The keys of a provider.
pub(in crate::provider) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a key set. Keys of other kinds, for other uses, and malformed ones are left out.
    ///
    /// # Errors
    /// [`ProviderError::Malformed`] for something else than a key set.
    pub(in crate::provider) fn parse(body: &[u8]) -> Result<Self, ProviderError> {
        let malformed = ProviderError::Malformed(Endpoint::Keys, "it is not a JSON object with keys");
        let Ok(Value::Object(set)) = serde_json::from_slice(body) else { return Err(malformed) };
        let Some(Value::Array(keys)) = set.get("keys") else { return Err(malformed) };
        Ok(Self(keys.iter().take(MAX_KEYS).filter_map(Value::as_object).filter_map(key).collect()))
    }

    /// Returns the number of keys that verify one of these algorithms.
    pub(in crate::provider) fn usable(&self, algorithms: &[SignatureAlgorithm]) -> usize {
        self.0.iter().filter(|key| algorithms.iter().any(|algorithm| key.verifies(*algorithm))).count()
    }

    /// Returns the key for a token with this `kid`. Without one there must be exactly one key that fits (OpenID Connect
    /// Core section 10.1).
    pub(in crate::provider) fn find(&self, kid: Option<&str>, algorithm: SignatureAlgorithm) -> Option<&Key> {
        let is_named = |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
        let mut fitting = self.0.iter().filter(|key| key.verifies(algorithm)).filter(is_named);
        let first = fitting.next()?;
        // Several keys of one name: none is the right one for sure.
        fitting.next().is_none().then_some(first)
    }
}

impl Key {
    fn verifies(&self, algorithm: SignatureAlgorithm) -> bool {
        self.kind == Kind::of(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

fn key(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops") {
        operations.as_array()?.iter().find(|operation| *operation == "verify")?;
    }
    let algorithm = match jwk.get("alg") {
        Some(name) => Some(SignatureAlgorithm::ALL.iter().find(|(known, _)| name == known)?.1),
        None => None,
    };
    let bytes = |name: &str| from_base64url(text(name)?);
    let has_length = |name: &str, length: usize| bytes(name).is_some_and(|bytes| bytes.len() == length);
    let (kind, public) = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let length = modulus.iter().skip_while(|byte| **byte == 0).count();
            if !RSA_MODULUS.contains(&length) || exponent.is_empty() || exponent.len() > 8 {
                return None;
            }
            (Kind::Rsa, DecodingKey::from_rsa_components(text("n")?, text("e")?).ok()?)
        }
        ("EC", Some("P-256")) if has_length("x", 32) && has_length("y", 32) => {
            (Kind::P256, DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?)
        }
        ("EC", Some("P-384")) if has_length("x", 48) && has_length("y", 48) => {
            (Kind::P384, DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?)
        }
        ("OKP", Some("Ed25519")) if has_length("x", 32) => {
            (Kind::Ed25519, DecodingKey::from_ed_components(text("x")?).ok()?)
        }
        // Among them `oct`: a shared secret in a published set.
        _ => return None,
    };
    if algorithm.is_some_and(|algorithm| Kind::of(algorithm) != kind) {
        return None;
    }
    let kid = text("kid").filter(|kid| kid.len() <= MAX_KID).map(str::to_owned);
    let issuer = match jwk.get("issuer") {
        Some(issuer) => Some(issuer.as_str()?.to_owned()),
        None => None,
    };
    Some(Key { kid, kind, algorithm, issuer, public })
}
