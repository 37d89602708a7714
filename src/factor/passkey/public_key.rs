//! Public keys of passkeys: the COSE form of authenticator data (RFC 9052 section 7), and the SubjectPublicKeyInfo that
//! is stored.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    VerificationAlgorithm,
};

use super::cbor::{Reader, Value};
use super::error::PasskeyError;

/// Signature algorithm of a passkey (RFC 9053 section 2, RFC 8812 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoseAlgorithm {
    /// ECDSA on P-256 with SHA-256: every authenticator has it.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA PKCS #1 v1.5 with SHA-256: TPMs below older Windows have nothing else.
    Rs256,
}

/// Key as authenticator data has it, not yet checked.
pub(super) struct CoseKey<'a> {
    algorithm: i64,
    kind: i64,
    /// Parameters -1, -2 and -3.
    parameters: [Option<Value<'a>>; 3],
}

/// Checked key.
pub(super) struct PublicKey {
    pub(super) algorithm: CoseAlgorithm,
    /// SubjectPublicKeyInfo, DER.
    pub(super) der: Vec<u8>,
}

impl CoseAlgorithm {
    /// Algorithms that are offered, the preferred one first.
    pub const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// Returns the COSE id.
    pub const fn id(self) -> i32 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Rs256 => -257,
        }
    }

    /// Returns the algorithm with a COSE id.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| i64::from(algorithm.id()) == id)
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_ASN1,
            Self::EdDsa => &ED25519,
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

impl<'a> CoseKey<'a> {
    /// Reads a key. A key has its required parameters and no other (section 6.5.1.1), each once.
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let (mut algorithm, mut kind, mut parameters) = (None, None, [None; 3]);
        for _ in 0..reader.map()? {
            let (label, value) = (reader.integer()?, reader.value()?);
            let place = match label {
                1 => &mut kind,
                3 => &mut algorithm,
                -3..=-1 => parameters.get_mut(usize::try_from(-1 - label).ok()?)?,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let (Some(Value::Integer(algorithm)), Some(Value::Integer(kind))) = (algorithm, kind) else {
            return None;
        };
        Some(Self { algorithm, kind, parameters })
    }

    /// Checks the key.
    ///
    /// # Errors
    /// [`PasskeyError::AlgorithmNotOffered`], [`PasskeyError::KeyMismatch`].
    pub(super) fn public_key(&self) -> Result<PublicKey, PasskeyError> {
        let algorithm = CoseAlgorithm::from_id(self.algorithm)
            .ok_or(PasskeyError::AlgorithmNotOffered(self.algorithm))?;
        let der = self.der(algorithm).ok_or(PasskeyError::KeyMismatch)?;
        Ok(PublicKey { algorithm, der })
    }

    /// Returns the SubjectPublicKeyInfo.
    fn der(&self, algorithm: CoseAlgorithm) -> Option<Vec<u8>> {
        use Value::{Bytes, Integer};
        let verification = algorithm.verification();
        let encoded = match (algorithm, self.kind, self.parameters) {
            // EC2, P-256, both coordinates (RFC 9053 section 7.1.1).
            (CoseAlgorithm::Es256, 2, [Some(Integer(1)), Some(Bytes(x)), Some(Bytes(y))])
                if x.len() == 32 && y.len() == 32 =>
            {
                // 4: uncompressed (SEC 1 section 2.3.3). The parser checks that the point is on the curve.
                let point = [&[4], x, y].concat();
                ParsedPublicKey::new(verification, point).ok()?.as_der().ok()?
            }
            // OKP, Ed25519 (RFC 9053 section 7.2).
            (CoseAlgorithm::EdDsa, 1, [Some(Integer(6)), Some(Bytes(x)), None]) if x.len() == 32 => {
                ParsedPublicKey::new(verification, x).ok()?.as_der().ok()?
            }
            // RSA (RFC 8230 section 4).
            (CoseAlgorithm::Rs256, 3, [Some(Bytes(n)), Some(Bytes(e)), None]) if is_modulus(n) => {
                RsaPublicKeyComponents { n, e }.as_der().ok()?
            }
            _ => return None,
        };
        let der = encoded.as_ref().to_vec();
        // A stored key has to be readable at sign-in.
        ParsedPublicKey::new(verification, &der).ok()?;
        Some(der)
    }
}

/// Verifies a signature with a stored key.
///
/// # Errors
/// [`PasskeyError::StoredKey`], [`PasskeyError::BadSignature`].
pub(super) fn verify(
    algorithm: i32,
    der: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), PasskeyError> {
    let algorithm = CoseAlgorithm::from_id(i64::from(algorithm)).ok_or(PasskeyError::StoredKey)?;
    let key = ParsedPublicKey::new(algorithm.verification(), der).map_err(|_| PasskeyError::StoredKey)?;
    key.verify_sig(message, signature).map_err(|_| PasskeyError::BadSignature)
}

/// Checks the length of a modulus: the verifier takes 2048 to 8192 bits, but looks only when there is a signature.
fn is_modulus(n: &[u8]) -> bool {
    let first = n.first().copied().unwrap_or_default();
    let bits = (n.len() * 8).saturating_sub(usize::try_from(first.leading_zeros()).unwrap_or(8));
    first != 0 && (2048..=8192).contains(&bits)
}
