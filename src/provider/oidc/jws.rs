//! Signed tokens in the compact form (RFC 7515): header, and signature under a key of the provider. Claims are checked
//! elsewhere; none is used before the signature is.

use jsonwebtoken::Algorithm as Jwa;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::issuer::key_may_sign;
use super::keys::Keys;
use crate::config::SignatureAlgorithm;
use crate::id::from_base64url;
use crate::provider::error::TokenError;

/// Maximum length of a token, in bytes. Entra ID's with 200 groups have some 10 KiB.
pub(in crate::provider) const MAX_TOKEN: usize = 64 << 10;

/// Maximum length of its header.
const MAX_HEADER: usize = 4096;

/// A token whose header has been read.
pub(in crate::provider) struct Jws<'t> {
    message: &'t str,
    claims: &'t str,
    signature: &'t str,
    algorithm: SignatureAlgorithm,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515 section 4.1.11): there are none.
    crit: Option<Value>,
}

impl<'t> Jws<'t> {
    /// Reads the header. `kinds` are the accepted `typ`, in lower case and without `application/`; none is accepted too.
    ///
    /// # Errors
    /// [`TokenError`].
    pub(in crate::provider) fn parse(
        token: &'t str,
        algorithms: &[SignatureAlgorithm],
        kinds: &[&str],
    ) -> Result<Self, TokenError> {
        let malformed = TokenError::Malformed;
        if token.len() > MAX_TOKEN {
            return Err(malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = message.split_once('.').ok_or(malformed)?;
        if header.len() > MAX_HEADER || claims.contains('.') {
            return Err(malformed);
        }
        let header = from_base64url(header).ok_or(malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| malformed)?;
        if header.crit.is_some() {
            return Err(malformed);
        }
        if header.alg.starts_with("HS") {
            return Err(TokenError::Symmetric);
        }
        let known = SignatureAlgorithm::ALL.iter().find(|(name, _)| *name == header.alg);
        let algorithm =
            known.map(|(_, algorithm)| *algorithm).filter(|algorithm| algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
        if let Some(kind) = header.typ {
            let kind = kind.to_ascii_lowercase();
            if !kinds.contains(&kind.strip_prefix("application/").unwrap_or(&kind)) {
                return Err(TokenError::Kind);
            }
        }
        Ok(Self { message, claims, signature, algorithm, kid: header.kid })
    }

    /// Returns the algorithm.
    pub(in crate::provider) const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Returns whether a key for this token is in the set.
    pub(in crate::provider) fn has_key(&self, keys: &Keys) -> bool {
        keys.find(self.kid.as_deref(), self.algorithm).is_some()
    }

    /// Verifies the signature and returns the claims, which may be of any issuer that the key may sign for.
    ///
    /// # Errors
    /// [`TokenError`].
    pub(in crate::provider) fn verify(&self, keys: &Keys) -> Result<Map<String, Value>, TokenError> {
        let key = keys.find(self.kid.as_deref(), self.algorithm).ok_or(TokenError::UnknownKey)?;
        let algorithm = jwa(self.algorithm);
        let verified =
            jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), &key.public, algorithm);
        if !verified.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        let claims = from_base64url(self.claims).ok_or(TokenError::Malformed)?;
        let Ok(Value::Object(claims)) = serde_json::from_slice(&claims) else {
            return Err(TokenError::Malformed);
        };
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        if !key_may_sign(key.issuer.as_deref(), issuer, &claims) {
            return Err(TokenError::Issuer);
        }
        Ok(claims)
    }
}

const fn jwa(algorithm: SignatureAlgorithm) -> Jwa {
    match algorithm {
        SignatureAlgorithm::Rs256 => Jwa::RS256,
        SignatureAlgorithm::Rs384 => Jwa::RS384,
        SignatureAlgorithm::Rs512 => Jwa::RS512,
        SignatureAlgorithm::Ps256 => Jwa::PS256,
        SignatureAlgorithm::Ps384 => Jwa::PS384,
        SignatureAlgorithm::Ps512 => Jwa::PS512,
        SignatureAlgorithm::Es256 => Jwa::ES256,
        SignatureAlgorithm::Es384 => Jwa::ES384,
        SignatureAlgorithm::EdDsa => Jwa::EdDSA,
    }
}
