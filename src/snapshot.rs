//! The snapshot: one checked configuration, compiled. A request loads it once and keeps it to its end; a reload
//! replaces it whole.

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

mod reload_state;
mod tls;
pub mod upstreams;

pub use reload_state::ReloadState;
pub use tls::Tls;
use upstreams::Upstreams;

/// Why a checked configuration cannot be compiled: what only the files it names, or the system, could tell.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// TLS cannot be set up.
    #[error("server.tls: TLS cannot be set up: {0}")]
    Tls(String),
}

/// Everything the configuration decides about a request.
#[derive(Debug)]
pub struct Snapshot {
    /// `[server]`
    pub server: Server,
    /// Which route answers.
    pub routes: RouteTable,
    /// Which headers cross.
    pub headers: HeaderPolicy,
    /// What pages look like.
    pub brand: Brand,
    /// The names of our cookies.
    pub cookies: Names,
    /// `[browser]`
    pub browser: Browser,
    /// Whose hosts share them; `None` = each host has its own.
    pub cookie_domain: Option<String>,
    /// How the use cases behave.
    pub settings: Settings,
    /// `[log]`
    pub log: Log,
    /// Where requests go.
    pub upstreams: Upstreams,
    /// What is shown in handshakes, where there are any.
    pub tls: Option<Tls>,
    /// SHA-256 of what opens `/admin/…`, where anything does.
    pub admin: Option<[u8; 32]>,
    /// What browsers are told over TLS (RFC 6797).
    pub hsts: Option<HeaderValue>,
}

impl Snapshot {
    /// Compiles a checked configuration. What the `previous` one has found out, and still counts, is carried over.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn new(config: &Config, previous: Option<&Self>) -> Result<Self, SnapshotError> {
        let tls = config.server.tls.as_ref();
        let hsts = tls.map(|tls| tls.hsts.as_secs()).filter(|seconds| *seconds > 0);
        let previous_tls = previous.and_then(|previous| previous.tls.as_ref());
        let http2 = config.server.limits.http2_streams > 0;
        Ok(Self {
            server: config.server.clone(),
            routes: RouteTable::new(&config.server.auth_prefix, &config.routes),
            headers: HeaderPolicy::new(&config.identity_headers),
            brand: Brand::new(&config.brand, &config.server.auth_prefix),
            cookies: if config.browser.cookie_domain.is_some() { cookies::SHARED } else { cookies::HOST },
            browser: config.browser.clone(),
            cookie_domain: config.browser.cookie_domain.clone(),
            settings: Settings::new(config),
            log: config.log.clone(),
            upstreams: Upstreams::new(&config.upstreams, previous.map(|previous| &previous.upstreams)),
            admin: config.admin.token.as_ref().map(|token| sha256(token.expose().as_bytes())),
            tls: tls.map(|tls| Tls::new(tls, http2, previous_tls)).transpose()?,
            hsts: hsts.map(|seconds| {
                HeaderValue::from_str(&format!("max-age={seconds}")).expect("digits are a header value")
            }),
        })
    }

    /// `[server.limits]`
    pub const fn limits(&self) -> &Limits {
        &self.server.limits
    }
}

/// The snapshot in force.
#[derive(Debug, Clone)]
pub struct Current(Arc<InForce>);

#[derive(Debug)]
struct InForce {
    snapshot: ArcSwap<Snapshot>,
    state: ArcSwap<ReloadState>,
    metrics: Arc<Metrics>,
}

impl Current {
    /// Starts with one.
    pub fn new(snapshot: Snapshot, loaded_at: Timestamp, metrics: &Arc<Metrics>) -> Self {
        snapshot.upstreams.enter(metrics);
        Self(Arc::new(InForce {
            snapshot: ArcSwap::from_pointee(snapshot),
            state: ArcSwap::from_pointee(ReloadState::begun(loaded_at)),
            metrics: Arc::clone(metrics),
        }))
    }

    /// The one in force now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Puts the next one into force. Requests under way keep theirs; series of what is no longer configured are taken out.
    pub fn replace(&self, next: Snapshot) {
        next.upstreams.enter(&self.0.metrics);
        let next = Arc::new(next);
        let before = self.0.snapshot.swap(Arc::clone(&next));
        before.upstreams.leave(&next.upstreams, &self.0.metrics.upstreams);
    }

    /// What is known of it.
    pub fn state(&self) -> Arc<ReloadState> {
        self.0.state.load_full()
    }

    /// For the one who reloads.
    pub fn set_state(&self, state: ReloadState) {
        self.0.state.store(Arc::new(state));
    }
}
