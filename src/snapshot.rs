//! The snapshot: one checked configuration, compiled. A request loads it once and keeps it to its end; a reload
//! replaces it as a whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::auth::Settings;
use crate::clock::Timestamp;
use crate::config::{Browser, Config, Limits, Log, Server};
use crate::metrics::Metrics;
use crate::pages::Brand;
use crate::policy::RouteTable;
use crate::policy::cookies::{self, Names};
use crate::policy::headers::HeaderPolicy;
use crate::token::sha256;

mod providers;
mod reload_state;
mod tls;
pub mod upstreams;

pub use providers::ProviderParts;
pub use reload_state::ReloadState;
pub use tls::Tls;
use upstreams::Upstreams;

/// Reason why a checked configuration cannot be compiled: an error in a file it names, or in the system.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// TLS cannot be set up.
    #[error("server.tls: TLS cannot be set up: {0}")]
    Tls(String),
    /// A provider's CA file, or the system trust store, cannot be used.
    #[error("providers: {0}")]
    Providers(String),
    /// The CA file of the look-ups of leaked passwords cannot be used.
    #[error("login.breached_passwords: {0}")]
    BreachedPasswords(String),
}

/// All configuration that requests use.
#[derive(Debug)]
pub struct Snapshot {
    /// `[server]`
    pub server: Server,
    /// The routes.
    pub routes: RouteTable,
    /// Forwarding of request and response headers.
    pub headers: HeaderPolicy,
    /// Appearance of the gateway's pages.
    pub brand: Brand,
    /// Names of the gateway's cookies.
    pub cookies: Names,
    /// `[browser]`
    pub browser: Browser,
    /// Domain of shared cookies; `None` = each host has its own.
    pub cookie_domain: Option<String>,
    /// Settings of the use cases.
    pub settings: Settings,
    /// Parts that providers are made with, for the next snapshot.
    pub provider_parts: ProviderParts,
    /// `[log]`
    pub log: Log,
    /// The upstreams.
    pub upstreams: Upstreams,
    /// TLS of the public listener, if configured.
    pub tls: Option<Tls>,
    /// SHA-256 of the token for `/admin/…`, if one is configured.
    pub admin: Option<[u8; 32]>,
    /// The `Strict-Transport-Security` header, sent over TLS (RFC 6797).
    pub hsts: Option<HeaderValue>,
}

impl Snapshot {
    /// Compiles a checked configuration. State of the `previous` snapshot that is still valid is carried over.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn new(
        config: &Config,
        parts: &ProviderParts,
        previous: Option<&Self>,
    ) -> Result<Self, SnapshotError> {
        let known = previous.map(|previous| &previous.settings.providers);
        let providers = parts.make(&config.providers, known);
        let providers = providers.map_err(|error| SnapshotError::Providers(error.to_string()))?;
        let breached_passwords = parts.breached_passwords(config.login.breached_passwords.as_ref());
        let breached_passwords =
            breached_passwords.map_err(|error| SnapshotError::BreachedPasswords(error.to_string()))?;
        let tls = config.server.tls.as_ref();
        let hsts = tls.map(|tls| tls.hsts.as_secs()).filter(|seconds| *seconds > 0);
        let previous_tls = previous.and_then(|previous| previous.tls.as_ref());
        let http2 = config.server.limits.http2_streams > 0;
        Ok(Self {
            server: config.server.clone(),
            routes: RouteTable::new(&config.server.auth_prefix, &config.routes),
            headers: HeaderPolicy::new(
                &config.identity_headers,
                config.upstreams.iter().map(|upstream| &upstream.request_headers),
            ),
            brand: Brand::new(&config.brand, &config.server.auth_prefix),
            cookies: if config.browser.cookie_domain.is_some() { cookies::SHARED } else { cookies::HOST },
            browser: config.browser.clone(),
            cookie_domain: config.browser.cookie_domain.clone(),
            settings: Settings { providers, breached_passwords, ..Settings::new(config) },
            provider_parts: parts.clone(),
            log: config.log.clone(),
            upstreams: Upstreams::new(&config.upstreams, previous.map(|previous| &previous.upstreams)),
            admin: config.admin.token.as_ref().map(|token| sha256(token.expose().as_bytes())),
            tls: tls.map(|tls| Tls::new(tls, http2, previous_tls)).transpose()?,
            hsts: hsts.map(|seconds| {
                HeaderValue::from_str(&format!("max-age={seconds}")).expect("digits are a header value")
            }),
        })
    }

    /// Adds the metric series of upstreams and providers, at zero.
    fn add_series(&self, metrics: &Arc<Metrics>) {
        self.upstreams.add_series(metrics);
        for provider in self.settings.providers.iter() {
            metrics.providers.add(provider.id().as_str());
        }
    }

    /// `[server.limits]`
    pub const fn limits(&self) -> &Limits {
        &self.server.limits
    }
}

/// The snapshot in force and its reload state.
#[derive(Debug, Clone)]
pub struct Current(Arc<InForce>);

#[derive(Debug)]
struct InForce {
    snapshot: ArcSwap<Snapshot>,
    state: ArcSwap<ReloadState>,
    metrics: Arc<Metrics>,
}

impl Current {
    /// Starts with the first snapshot.
    pub fn new(snapshot: Snapshot, loaded_at: Timestamp, metrics: &Arc<Metrics>) -> Self {
        snapshot.add_series(metrics);
        Self(Arc::new(InForce {
            snapshot: ArcSwap::from_pointee(snapshot),
            state: ArcSwap::from_pointee(ReloadState::initial(loaded_at)),
            metrics: Arc::clone(metrics),
        }))
    }

    /// Returns the snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Puts the next snapshot into force. Requests in flight keep theirs. Metric series of removed servers are dropped.
    pub fn replace(&self, next: Snapshot) {
        next.add_series(&self.0.metrics);
        let next = Arc::new(next);
        let before = self.0.snapshot.swap(Arc::clone(&next));
        before.upstreams.remove_series(&next.upstreams, &self.0.metrics.upstreams);
    }

    /// Returns the reload state.
    pub fn state(&self) -> Arc<ReloadState> {
        self.0.state.load_full()
    }

    /// Sets the reload state; called by the reload.
    pub fn set_state(&self, state: ReloadState) {
        self.0.state.store(Arc::new(state));
    }
}
