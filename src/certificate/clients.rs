//! Client certificates: the CAs they must chain to, and the chain a client presented.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Authorities, CertificateError};
use crate::clock::Timestamp;

/// CAs for client certificates, and whether a certificate is required.
#[derive(Clone)]
pub struct Clients(Arc<Verification>);

struct Verification {
    authorities: Authorities,
    required: bool,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// Parses the CA certificates from PEM.
    ///
    /// # Errors
    /// There is no certificate in it, or one cannot be used.
    pub fn read(pem: &[u8], required: bool) -> Result<Self, CertificateError> {
        let authorities = Authorities::read(pem)?;
        let damaged = |error: String| CertificateError::DamagedAuthority(error);
        let mut roots = RootCertStore::empty();
        for one in authorities.der() {
            roots.add(CertificateDer::from(one.to_vec())).map_err(|error| damaged(error.to_string()))?;
        }
        let provider = Arc::new(ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build().map_err(|error| damaged(error.to_string()))?;
        Ok(Self(Arc::new(Verification { authorities, required, verifier })))
    }

    /// Returns the verifier for handshakes.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0.verifier)
    }

    /// Returns whether a client certificate is required.
    pub fn are_required(&self) -> bool {
        self.0.required
    }

    /// Returns whether both are the same instance, so that a verification by one holds for the other.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether a client with this chain would be accepted at this time. Only the certificates are checked,
    /// since the handshake has proved possession of the key.
    pub fn admit(&self, shown: Option<&Shown>, now: Timestamp) -> bool {
        let Some(shown) = shown else { return !self.0.required };
        let Some((own, others)) = shown.chain.split_first() else { return false };
        let Ok(seconds) = u64::try_from(now.secs()) else { return false };
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        self.0.verifier.verify_client_cert(own, others, now).is_ok()
    }
}

impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        (&self.0.authorities, self.0.required) == (&other.0.authorities, other.0.required)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("authorities", &self.0.authorities)
            .field("required", &self.0.required)
            .finish_non_exhaustive()
    }
}

/// Certificate chain that a client presented in a verified handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The client's own certificate first.
    chain: Vec<CertificateDer<'static>>,
    ends: Timestamp,
}

impl Shown {
    /// Builds it from the presented chain; `None` when the chain is empty.
    pub fn of(chain: &[CertificateDer<'static>]) -> Option<Self> {
        let (_, own) = X509Certificate::from_der(chain.first()?).ok()?;
        let ends = Timestamp::from_secs(own.validity().not_after.timestamp());
        Some(Self { chain: chain.to_vec(), ends })
    }

    /// Returns the end of validity of the client's own certificate.
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Returns the value of `Client-Cert` (RFC 9440 section 2.2): a byte sequence (RFC 8941 section 3.3.5) of the
    /// client's own certificate.
    pub fn field(&self) -> String {
        let own = self.chain.first().map_or(&[][..], |own| own.as_ref());
        format!(":{}:", STANDARD.encode(own))
    }
}
