//! Clients that show a certificate of their own: who must have signed it, and what was shown.

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

/// Who must have signed the certificates of clients, and whether one may come without.
#[derive(Clone)]
pub struct Clients(Arc<Terms>);

struct Terms {
    authorities: Authorities,
    required: bool,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// Reads the PEM of the authorities.
    ///
    /// # Errors
    /// There is none in it, or one cannot be used.
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
        Ok(Self(Arc::new(Terms { authorities, required, verifier })))
    }

    /// What a handshake is verified with.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0.verifier)
    }

    /// Whether nobody comes without.
    pub fn are_required(&self) -> bool {
        self.0.required
    }

    /// Whether both are one and the same, so that what was verified by one need not be by the other.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether a client that showed this would be let in at this time: what is looked at is the certificate alone, since
    /// the handshake it was shown in has proved that its key is there.
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

/// What a client showed in a handshake that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its own first.
    chain: Vec<CertificateDer<'static>>,
    ends: Timestamp,
}

impl Shown {
    /// The chain as it was shown; `None` when there is none.
    pub fn of(chain: &[CertificateDer<'static>]) -> Option<Self> {
        let (_, own) = X509Certificate::from_der(chain.first()?).ok()?;
        let ends = Timestamp::from_secs(own.validity().not_after.timestamp());
        Some(Self { chain: chain.to_vec(), ends })
    }

    /// Until when its own is good.
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// The value of `Client-Cert` (RFC 9440 section 2.2): a byte sequence (RFC 8941 section 3.3.5) of its own certificate.
    pub fn field(&self) -> String {
        let own = self.chain.first().map_or(&[][..], |own| own.as_ref());
        format!(":{}:", STANDARD.encode(own))
    }
}
