//! A certificate and its private key, as TLS listeners show and use them: read from PEM, and found to belong together.
//!
//! Knows nothing of files and of the clock: whoever reads them says where they are, and whoever has a clock asks when
//! it ends.

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

/// A certificate with its chain, and the private key that belongs to it.
#[derive(Clone)]
pub struct Certificate {
    shown: Arc<CertifiedKey>,
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
}

/// Why a certificate or its key cannot be used; what to do is said with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is none in the text.
    #[error("no certificate is in it: write PEM, the server's own first, then those that signed it")]
    NoCertificate,
    /// What is there cannot be read.
    #[error(
        "the certificate cannot be read ({0}): write PEM, the server's own first, then those that signed it"
    )]
    DamagedCertificate(String),
    /// It is for nobody.
    #[error(
        "the certificate names no host (one in its subject alone counts for no client): make one with subjectAltName"
    )]
    NoNames,
    /// There is no authority in the text.
    #[error("no certificate is in it: write PEM, those of the authorities that are believed")]
    NoAuthority,
    /// One of them cannot be used.
    #[error("an authority cannot be used ({0}): write PEM, those of the authorities that are believed")]
    DamagedAuthority(String),
    /// There is no private key in the text.
    #[error("no private key is in it: write PEM, not encrypted (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey,
    /// It is of a kind that is not understood.
    #[error(
        "the private key cannot be used ({0}): RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, and Ed25519 can"
    )]
    UnusableKey(String),
    /// It is another certificate's.
    #[error(
        "the private key does not belong to the first certificate of cert_file: name the key it was made for, and put the \
         server's own certificate first"
    )]
    WrongKey,
}

impl CertificateError {
    /// Whether it is the key that is wrong, and not the certificate.
    pub const fn is_about_the_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::UnusableKey(_) | Self::WrongKey)
    }
}

impl Certificate {
    /// Reads the PEM of a chain and of a key, and sees that they belong together.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| CertificateError::DamagedCertificate(error.to_string()))?;
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (names, begins, ends) = look(own)?;
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

    /// What a handshake needs.
    pub const fn shown(&self) -> &Arc<CertifiedKey> {
        &self.shown
    }

    /// The names it is for, in lower case: `app.example.com`, `*.example.com`, `192.0.2.1`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether clients accept it for `host` (RFC 6125 section 6.4: a star stands for one label); a host that begins with
    /// a star must be one of its names.
    pub fn covers(&self, host: &str) -> bool {
        let below = host.split_once('.').filter(|(first, _)| *first != "*").map(|(_, parent)| parent);
        self.names.iter().any(|name| {
            name == host
                || name.strip_prefix("*.").is_some_and(|parent| below.is_some_and(|below| below == parent))
        })
    }

    /// From when it is good.
    pub const fn begins(&self) -> Timestamp {
        self.begins
    }

    /// Until when.
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        // Its key belongs to it, so the same chain has the same key.
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

/// The names and the life of a certificate. A name in its subject alone counts for no browser, nor here.
fn look(own: &CertificateDer<'_>) -> Result<(Vec<String>, Timestamp, Timestamp), CertificateError> {
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
