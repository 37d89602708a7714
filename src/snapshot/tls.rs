//! TLS of the public listener: certificate selection by name, and the handshake parameters.

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

/// TLS configuration of one snapshot.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Vec<TlsCertificate>,
    clients: Option<Clients>,
    http2: bool,
}

impl Tls {
    /// Builds the TLS configuration from checked settings. If nothing differs from `previous`, it is reused together
    /// with the keys of its session tickets. Otherwise no session with an old certificate can be resumed.
    ///
    /// With client certificates resumption is off. A resumed session would keep a certificate valid for as long as the
    /// ticket key lives, even after it expired or its CA was removed (peers F7). The parameters are the same for every
    /// name, so a client cannot bypass the checks of one name with another name.
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
        // The provider is named because a process with two linked in has no default. TLS 1.2 and 1.3, without weak
        // cipher suites.
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = match &settings.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SniResolver::new(&settings.certificates)));
        if settings.clients.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // Tickets instead of a session table: no memory, and no session is evicted before its client returns.
            config.ticketer = ring::Ticketer::new().map_err(failed)?;
        }
        let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let (certificates, clients) = (settings.certificates.clone(), settings.clients.clone());
        Ok(Self { config: Arc::new(config), certificates, clients, http2 })
    }

    /// Returns the rustls configuration.
    pub const fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Returns the CAs for client certificates, if client certificates are requested.
    pub const fn clients(&self) -> Option<&Clients> {
        self.clients.as_ref()
    }

    /// Returns the certificates in the order of the configuration.
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

/// Certificate selection by SNI.
struct SniResolver {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Wildcard certificates, by the name after the first label.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// Certificate for clients without SNI or with an unknown name; the client then refuses it.
    first: Option<Arc<CertifiedKey>>,
}

impl SniResolver {
    fn new(certificates: &[TlsCertificate]) -> Self {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for TlsCertificate { hosts, certificate, is_key_world_readable: _ } in certificates {
            for host in hosts {
                // The first certificate for a name wins.
                let (map, name) = match host.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, host.as_str()),
                };
                map.entry(name.to_owned()).or_insert_with(|| Arc::clone(certificate.shown()));
            }
        }
        Self {
            exact,
            wildcard,
            first: certificates.first().map(|first| Arc::clone(first.certificate.shown())),
        }
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let named = name.as_deref().and_then(|name| {
            let parent = name.split_once('.').map(|(_, parent)| parent);
            self.exact.get(name).or_else(|| self.wildcard.get(parent?))
        });
        named.or(self.first.as_ref())
    }
}

impl ResolvesServerCert for SniResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).map(Arc::clone)
    }
}

impl fmt::Debug for SniResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.exact.keys()).entries(self.wildcard.keys()).finish()
    }
}
