//! An access-token key: generation, signing and verification.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Jwa, DecodingKey, EncodingKey};
use serde_json::{Map, Value, json};

use super::identity::IdentityKey;
use super::seal::MasterSecret;
use crate::config::Algorithm;
use crate::id::base64url;
use crate::secret::Secret;

/// The media type of an access token, RFC 9068 section 2.1.
pub(super) const TYP: &str = "at+jwt";

/// The type of an assertion for an app (RFC 8725 section 3.11: no token of one type is taken for another).
pub(super) const ASSERTION_TYP: &str = "doorward-assertion+jwt";

/// A key of this gateway, ready to use.
pub(super) struct AccessKey {
    algorithm: Jwa,
    private: EncodingKey,
    public: DecodingKey,
    /// The header segment of every token of this key. A byte-for-byte comparison checks `alg`, `typ`, `kid` and
    /// everything else a header could contain (`crit`, `jku`, `zip`, …) without interpreting it.
    pub(super) header: String,
    /// The header segment of every assertion that this key signs.
    pub(super) assertion_header: String,
    pub(super) jwk: Map<String, Value>,
    /// Seals the user's name in its tokens.
    pub(super) identity: IdentityKey,
}

/// The stored bytes are not a key of the stated algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key in the vault is damaged")]
pub struct DamagedKey;

/// Returns the name of an algorithm as stored and as in `alg` (RFC 7518, RFC 8037).
pub(super) const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::EdDsa => "EdDSA",
        Algorithm::Es256 => "ES256",
        Algorithm::Rs256 => "RS256",
    }
}

/// Generates private key material.
pub(super) fn generate(algorithm: Algorithm) -> Secret<Vec<u8>> {
    let reason = "key generation fails only without memory";
    Secret::new(match algorithm {
        Algorithm::EdDsa => {
            Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect(reason).as_ref().to_vec()
        }
        Algorithm::Es256 => {
            let generated =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
            generated.expect(reason).as_ref().to_vec()
        }
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect(reason);
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect(reason);
            rsa_from_pkcs8(der.as_ref()).expect("a 2048-bit key has this layout").to_vec()
        }
    })
}

/// Extracts the RSAPrivateKey (RFC 8017 A.1.2) from a PKCS#8 wrapper. For 2048 bits the wrapper is 22 bytes (RFC 5958
/// section 2: version, rsaEncryption, NULL) and the OCTET STRING header 4.
fn rsa_from_pkcs8(der: &[u8]) -> Option<&[u8]> {
    let inner = der.get(26..)?;
    (der.get(22..24)? == [0x04, 0x82] && RsaKeyPair::from_der(inner).is_ok()).then_some(inner)
}

impl AccessKey {
    /// Loads a key from stored material.
    pub(super) fn new(
        kid: &str,
        algorithm: &str,
        private: &[u8],
        master: &MasterSecret,
    ) -> Result<Self, DamagedKey> {
        let (algorithm, private) = match algorithm {
            "EdDSA" => (Jwa::EdDSA, EncodingKey::from_ed_der(private)),
            "ES256" => (Jwa::ES256, EncodingKey::from_ec_der(private)),
            "RS256" => (Jwa::RS256, EncodingKey::from_rsa_der(private)),
            _ => return Err(DamagedKey),
        };
        let jwk = Jwk::from_encoding_key(&private, algorithm).map_err(|_| DamagedKey)?;
        let public = DecodingKey::from_jwk(&jwk).map_err(|_| DamagedKey)?;
        let Ok(Value::Object(jwk)) = serde_json::to_value(&jwk) else { return Err(DamagedKey) };
        // Public members only (RFC 7517 section 4, RFC 7518 section 6); all others are dropped.
        let mut public_jwk: Map<String, Value> = jwk
            .into_iter()
            .filter(|(member, _)| matches!(member.as_str(), "kty" | "crv" | "x" | "y" | "n" | "e"))
            .collect();
        let alg = match algorithm {
            Jwa::EdDSA => "EdDSA",
            Jwa::ES256 => "ES256",
            _ => "RS256",
        };
        public_jwk.extend([
            ("kid".into(), kid.into()),
            ("use".into(), "sig".into()),
            ("alg".into(), alg.into()),
        ]);
        let header = |typ| base64url(json!({ "alg": alg, "kid": kid, "typ": typ }).to_string());
        let (header, assertion_header) = (header(TYP), header(ASSERTION_TYP));
        let identity = IdentityKey::new(master, kid);
        Ok(Self { algorithm, private, public, header, assertion_header, jwk: public_jwk, identity })
    }

    /// Returns the signature segment over `header.claims`.
    pub(super) fn sign(&self, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, self.algorithm)
            .expect("a key that was read signs; signing has no other failure than memory")
    }

    /// Returns whether `signature` (base64url) is this key's over `message`.
    pub(super) fn verify(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.public, self.algorithm)
            .unwrap_or(false)
    }
}
