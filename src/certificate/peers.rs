//! TLS of outgoing connections: trusted CAs and the client certificate of the gateway.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::CertificateError;

/// CA certificates that the peer's certificate must chain to.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Parses PEM.
    ///
    /// # Errors
    /// There is no certificate in it, or one cannot be parsed.
    pub fn read(pem: &[u8]) -> Result<Self, CertificateError> {
        chain(pem).map(Self).map_err(|error| match error {
            CertificateError::DamagedCertificate(error) => CertificateError::DamagedAuthority(error),
            CertificateError::NoCertificate => CertificateError::NoAuthority,
            other => other,
        })
    }

    /// Returns the certificates in DER.
    pub fn der(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// The gateway's client certificate and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<Zeroizing<Vec<u8>>>,
}

impl Identity {
    /// Parses a PEM chain and a PEM key, and checks that they belong together.
    ///
    /// # Errors
    /// The fault, and whether the chain or the key has it.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let certificates = chain(certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        let kept = Arc::new(Zeroizing::new(key.secret_der().to_vec()));
        let signing =
            any_supported_type(&key).map_err(|error| CertificateError::UnusableKey(error.to_string()))?;
        match CertifiedKey::new(certificates.clone(), signing).keys_match() {
            Ok(()) => Ok(Self { chain: certificates, key: kept }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::WrongKey),
            Err(error) => Err(CertificateError::DamagedCertificate(error.to_string())),
        }
    }

    /// Returns the chain in DER, the own certificate first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(AsRef::as_ref)
    }

    /// Returns the key in DER. The caller must not pass it on.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::DamagedCertificate(error.to_string()))?;
    for one in &all {
        X509Certificate::from_der(one)
            .map_err(|error| CertificateError::DamagedCertificate(error.to_string()))?;
    }
    if all.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(all) }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
