//! Private key of `private_key_jwt`: PKCS #8 in PEM, checked when the configuration is read.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::SignatureAlgorithm;
use crate::secret::Secret;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Minimum length of an RSA modulus, in bytes: 2048 bits (RFC 7518 section 3.3).
const MIN_RSA: usize = 256;

/// A private key and the algorithm that it signs with: RS256, ES256 or EdDSA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKey {
    der: Secret<Vec<u8>>,
    algorithm: SignatureAlgorithm,
}

impl PrivateKey {
    /// Parses the text of a PEM file.
    ///
    /// # Errors
    /// A message that says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = "this is not a private key: write PKCS #8 in PEM, with BEGIN PRIVATE KEY \
                     (`openssl genpkey -algorithm ed25519` makes one, `openssl pkcs8 -topk8 -nocrypt` converts one)";
        let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
        let (body, _) = body.ok_or(wrong)?;
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = Secret::new(STANDARD.decode(body.as_bytes()).map_err(|_| wrong)?);
        let algorithm = if let Ok(key) = RsaKeyPair::from_pkcs8(der.expose()) {
            if key.public_modulus_len() < MIN_RSA {
                return Err("this RSA key has fewer than 2048 bits: write a longer one".to_owned());
            }
            SignatureAlgorithm::Rs256
        } else if EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose())
            .is_ok_and(|key| !key.public_key().as_ref().is_empty())
        {
            SignatureAlgorithm::Es256
        } else if Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.expose()).is_ok() {
            SignatureAlgorithm::EdDsa
        } else {
            return Err(
                "this key is of a kind that is not supported: write one of RSA, P-256 or Ed25519".to_owned()
            );
        };
        Ok(Self { der, algorithm })
    }

    /// Returns the key in DER (PKCS #8). The caller must not pass it on.
    pub const fn der(&self) -> &Secret<Vec<u8>> {
        &self.der
    }

    /// Returns the algorithm of its signatures.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_tells_its_algorithm() {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        use aws_lc_rs::rand::SystemRandom;
        use aws_lc_rs::rsa::KeySize;
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
        let random = SystemRandom::new();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
        for (der, algorithm) in [
            (rsa.as_ref(), SignatureAlgorithm::Rs256),
            (p256.as_ref(), SignatureAlgorithm::Es256),
            (ed25519.as_ref(), SignatureAlgorithm::EdDsa),
        ] {
            let pem = format!("# mine\n{BEGIN}\n{}\n{END}\n", STANDARD.encode(der));
            let key = PrivateKey::parse(&pem).unwrap();
            assert_eq!((key.algorithm(), key.der().expose().as_slice()), (algorithm, der));
            assert!(!format!("{key:?}").contains(&STANDARD.encode(der)[..8]));
        }
    }

    #[test]
    fn text_that_is_no_key_is_refused_without_quoting_it() {
        for text in
            ["", "hunter2", &format!("{BEGIN}\nhunter2!\n{END}"), &format!("{BEGIN}\naHVudGVyMg==\n{END}")]
        {
            let message = PrivateKey::parse(text).unwrap_err();
            assert!(message.contains(": write") && !message.contains("hunter2"), "{message}");
        }
    }
}
