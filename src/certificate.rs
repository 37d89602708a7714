//! A certificate and its private key for TLS listeners: parsed from PEM, and checked to belong together.
//!
//! Independent of files and of the clock: callers read the files and compare the validity.

mod clients;
mod peers;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroize as _;

use crate::clock::Timestamp;

pub use clients::{Clients, Shown};
pub use peers::{Authorities, Identity};

/// A certificate with its chain and private key.
#[derive(Clone)]
pub struct Certificate {
    shown: Arc<CertifiedKey>,
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
}

/// Reason why a certificate or its key cannot be used. The message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The text contains no certificate.
    #[error("no certificate is in it: write PEM, the server's own first, then those that signed it")]
    NoCertificate,
    /// The certificate cannot be parsed.
    #[error(
        "the certificate cannot be read ({0}): write PEM, the server's own first, then those that signed it"
    )]
    DamagedCertificate(String),
    /// The certificate has no subjectAltName.
    #[error("the certificate names no host (clients ignore the subject): make one with subjectAltName")]
    NoNames,
    /// The text contains no CA certificate.
    #[error("no certificate is in it: write the CA certificates in PEM")]
    NoAuthority,
    /// A CA certificate cannot be used.
    #[error("a CA certificate cannot be used ({0}): write the CA certificates in PEM")]
    DamagedAuthority(String),
    /// The text contains no private key.
    #[error("no private key is in it: write PEM, not encrypted (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey,
    /// The private key is of an unsupported kind.
    #[error(
        "the private key cannot be used ({0}): RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, and Ed25519 can"
    )]
    UnusableKey(String),
    /// The private key belongs to another certificate.
    #[error(
        "the private key does not belong to the first certificate of cert_file: name the key it was made for, and put the \
         server's own certificate first"
    )]
    WrongKey,
}

impl CertificateError {
    /// Returns whether the key is at fault, rather than the certificate.
    pub const fn is_about_the_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::UnusableKey(_) | Self::WrongKey)
    }
}

impl Certificate {
    /// Parses a PEM chain and a PEM key, and checks that they belong together.
    ///
    /// # Errors
    /// The fault, and whether the chain or the key has it.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| CertificateError::DamagedCertificate(error.to_string()))?;
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (names, begins, ends) = parse(own)?;
        let mut key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        let signing = any_supported_type(&key);
        key.zeroize();
        let signing = signing.map_err(|error| CertificateError::UnusableKey(error.to_string()))?;
        let shown = CertifiedKey::new(chain, signing);
        match shown.keys_match() {
            Ok(()) => Ok(Self { shown: Arc::new(shown), names, begins, ends }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::WrongKey),
            Err(error) => Err(CertificateError::DamagedCertificate(error.to_string())),
        }
    }

    /// Returns the certificate and key for handshakes.
    pub const fn shown(&self) -> &Arc<CertifiedKey> {
        &self.shown
    }

    /// Returns the names it is valid for, in lower case: `app.example.com`, `*.example.com`, `192.0.2.1`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns whether clients accept it for `host` (RFC 6125 section 6.4: a star stands for one label). A host that
    /// starts with a star must be one of its names.
    pub fn covers(&self, host: &str) -> bool {
        let below = host.split_once('.').filter(|(first, _)| *first != "*").map(|(_, parent)| parent);
        self.names.iter().any(|name| {
            name == host
                || name.strip_prefix("*.").is_some_and(|parent| below.is_some_and(|below| below == parent))
        })
    }

    /// Returns the start of its validity.
    pub const fn begins(&self) -> Timestamp {
        self.begins
    }

    /// Returns the end of its validity.
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        // The key belongs to the chain, so equal chains have equal keys.
        self.shown.cert == other.shown.cert
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// Returns the names and the validity of a certificate. A name only in its subject does not count, as in browsers.
fn parse(own: &CertificateDer<'_>) -> Result<(Vec<String>, Timestamp, Timestamp), CertificateError> {
    let damaged = |error: String| CertificateError::DamagedCertificate(error);
    let (_, certificate) = X509Certificate::from_der(own).map_err(|error| damaged(error.to_string()))?;
    let alternatives = certificate.subject_alternative_name().map_err(|error| damaged(error.to_string()))?;
    let names = alternatives.map(|names| names.value.general_names.iter().filter_map(name).collect());
    let life = certificate.validity();
    let names: Vec<String> = names.unwrap_or_default();
    if names.is_empty() {
        return Err(CertificateError::NoNames);
    }
    Ok((
        names,
        Timestamp::from_secs(life.not_before.timestamp()),
        Timestamp::from_secs(life.not_after.timestamp()),
    ))
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod made;
#[cfg(test)]
mod tests;
