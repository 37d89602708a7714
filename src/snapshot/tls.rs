//! What the public listener shows in TLS handshakes: which certificate for which name, and on what terms.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::SnapshotError;
use crate::certificate::Clients;
use crate::config::{Tls as Settings, TlsCertificate};

/// The terms of TLS of one configuration.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Vec<TlsCertificate>,
    clients: Option<Clients>,
    http2: bool,
}

impl Tls {
    /// Of checked settings. Where the certificates are those of `previous`, so are the secrets under which clients resume
    /// their sessions; else nobody resumes one that knew the old certificate.
    ///
    /// Where clients are asked for certificates nobody resumes: what was shown once would count for as long as the secret
    /// lives, however soon it ended or its authority was taken out (peers F7). The terms are the same for every name, so
    /// none can be entered through another's.
    pub(super) fn new(
        settings: &Settings,
        http2: bool,
        previous: Option<&Self>,
    ) -> Result<Self, SnapshotError> {
        let same = |previous: &&Self| {
            (&previous.certificates, &previous.clients, previous.http2)
                == (&settings.certificates, &settings.clients, http2)
        };
        if let Some(previous) = previous.filter(same) {
            return Ok(previous.clone());
        }
        let failed = |error: rustls::Error| SnapshotError::Tls(error.to_string());
        // Named, because a process has no default provider when two are linked in. TLS 1.2 and 1.3, both without what is
        // known to be weak.
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = match &settings.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(&settings.certificates)));
        if settings.clients.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // Tickets instead of a table of sessions: no memory, and no session forgotten before its client comes back.
            config.ticketer = ring::Ticketer::new().map_err(failed)?;
        }
        let known: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = known.iter().map(|protocol| protocol.to_vec()).collect();
        let (certificates, clients) = (settings.certificates.clone(), settings.clients.clone());
        Ok(Self { config: Arc::new(config), certificates, clients, http2 })
    }

    /// What a handshake is made with.
    pub const fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Who must have signed the certificates of clients, where they are asked for them.
    pub const fn clients(&self) -> Option<&Clients> {
        self.clients.as_ref()
    }

    /// In order of the configuration.
    pub fn certificates(&self) -> &[TlsCertificate] {
        &self.certificates
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificates", &self.certificates)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// Certificates by the name a client asks for.
struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows the first label.
    below: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that ask for no name, or for one that is none of ours: it is theirs to refuse it.
    first: Option<Arc<CertifiedKey>>,
}

impl ByName {
    fn new(certificates: &[TlsCertificate]) -> Self {
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        for TlsCertificate { hosts, certificate, key_is_open: _ } in certificates {
            for host in hosts {
                // Of two for one name, the first.
                let (map, name) = match host.strip_prefix("*.") {
                    Some(parent) => (&mut below, parent),
                    None => (&mut exact, host.as_str()),
                };
                map.entry(name.to_owned()).or_insert_with(|| Arc::clone(certificate.shown()));
            }
        }
        Self { exact, below, first: certificates.first().map(|first| Arc::clone(first.certificate.shown())) }
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let named = name.as_deref().and_then(|name| {
            let parent = name.split_once('.').map(|(_, parent)| parent);
            self.exact.get(name).or_else(|| self.below.get(parent?))
        });
        named.or(self.first.as_ref())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).map(Arc::clone)
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.exact.keys()).entries(self.below.keys()).finish()
    }
}
