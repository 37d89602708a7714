//! The snapshot: one checked configuration, compiled. A request loads it once and keeps it to its end; a reload
//! replaces it whole.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::Settings;
use crate::config::{Config, Limits, Server};
use crate::policy::RouteTable;
use crate::policy::headers::HeaderPolicy;

pub mod upstreams;

use upstreams::Upstreams;

/// Everything the configuration decides about a request.
#[derive(Debug)]
pub struct Snapshot {
    /// `[server]`
    pub server: Server,
    /// Which route answers.
    pub routes: RouteTable,
    /// Which headers cross.
    pub headers: HeaderPolicy,
    /// How the use cases behave.
    pub settings: Settings,
    /// Where requests go.
    pub upstreams: Upstreams,
}

impl Snapshot {
    /// Compiles a checked configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            server: config.server.clone(),
            routes: RouteTable::new(&config.server.auth_prefix, &config.routes),
            headers: HeaderPolicy::new(&config.identity_headers),
            settings: Settings::new(config),
            upstreams: Upstreams::new(&config.upstreams),
        }
    }

    /// `[server.limits]`
    pub const fn limits(&self) -> &Limits {
        &self.server.limits
    }
}

/// The snapshot in force.
#[derive(Debug, Clone)]
pub struct Current(Arc<ArcSwap<Snapshot>>);

impl Current {
    /// Starts with one.
    pub fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }

    /// The one in force now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}
