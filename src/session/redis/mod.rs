//! The session store shared by every gateway: records and tombstones in Redis.
//!
//! Redis may be away, slow or emptied at any time. Every method then fails at once or within `sessions.timeout` (100 ms),
//! and the caller queries the vault. While the vault is away, it is given more time. No method waits for a connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::AbortHandle;

use self::connect::{Connector, Next};
use self::current::Current;
use self::fault::Fault;
use self::patience::Patience;
use super::attempts::{Attempt, BucketKey, Charged};
use super::{Lookup, Record, SessionStore, SessionStoreError};
use crate::config::RedisUrl;
use crate::id::{Random, SessionId};
use crate::metrics::Metrics;

mod attempts;
mod backoff;
mod commands;
mod connect;
mod current;
mod fault;
mod journal;
mod key;
mod link;
mod net;
mod patience;
mod record;
mod sentinel;
mod server_info;
mod supervisor;

/// Settings of the connection to Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Servers and credentials.
    pub url: RedisUrl,
    /// CA certificates (PEM) that the server certificates must chain to; without it, the system trust store.
    pub ca_file: Option<PathBuf>,
    /// Prefix of every key.
    pub key_prefix: String,
    /// Timeout of a command while the vault can be queried instead.
    pub timeout: Duration,
}

/// The session store in Redis.
pub struct RedisStore {
    current: Arc<Current>,
    patience: Arc<Patience>,
    key_prefix: String,
    random: Arc<dyn Random>,
    supervisor: AbortHandle,
    /// Replacement connector for the supervisor.
    next: Arc<Next>,
}

/// A checked connector with new credentials or CA certificates.
pub struct Renewal {
    next: Arc<Next>,
    connector: Connector,
}

impl RedisStore {
    /// Starts connecting on the current runtime and returns at once, as Redis may be away.
    ///
    /// # Errors
    /// When connecting is impossible: an unreadable `ca_file`.
    pub fn start(
        options: RedisOptions,
        random: Arc<dyn Random>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SessionStoreError> {
        let current = Arc::new(Current::new(metrics));
        let (key_prefix, patience) = (options.key_prefix.clone(), Arc::new(Patience::new(options.timeout)));
        let next = Arc::new(Next::default());
        let connector = Connector::new(options)?.with_next(Arc::clone(&next));
        let supervising = supervisor::supervise(
            Arc::clone(&current),
            Arc::clone(&patience),
            connector,
            Arc::clone(&random),
        );
        let supervisor = tokio::spawn(supervising).abort_handle();
        Ok(Self { current, patience, key_prefix, random, supervisor, next })
    }

    /// Builds a connector with new credentials. Servers, database and prefix stay those of the running store.
    ///
    /// # Errors
    /// For an invalid `ca_file`.
    pub fn renewal(&self, options: RedisOptions) -> Result<Renewal, SessionStoreError> {
        Ok(Renewal { next: Arc::clone(&self.next), connector: Connector::new(options)? })
    }

    fn key(&self, id: SessionId) -> String {
        key::session(&self.key_prefix, id)
    }
}

impl Renewal {
    /// Uses it for new connections. An open connection stays until it ends.
    pub fn begin(self) {
        self.next.set(self.connector);
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError> {
        let live = self.current.live()?;
        let outcome = commands::check(&live.link, &self.key(id), self.patience.timeout()).await;
        Ok(self.current.record_outcome(&live, outcome)?)
    }

    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let (timeout, random) = (self.patience.timeout(), self.random.as_ref());
        let outcome = commands::fill(&live.link, &self.key(id), &record, keep, timeout, random).await;
        Ok(self.current.record_write(&live, outcome)?)
    }

    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let outcome = commands::extend(&live.link, &self.key(id), keep, self.patience.timeout()).await;
        Ok(self.current.record_write(&live, outcome)?)
    }

    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let outcome = commands::revoke(&live.link, &self.key(id), keep, self.patience.timeout()).await;
        Ok(self.current.record_write(&live, outcome)?)
    }

    async fn charge(&self, attempt: &Attempt) -> Result<Charged, SessionStoreError> {
        let live = self.current.live()?;
        let outcome = attempts::charge(&live.link, &self.key_prefix, attempt, self.patience.sign_in()).await;
        Ok(self.current.record_script(&live, outcome)?)
    }

    async fn refund(&self, attempt: &Attempt) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let outcome = attempts::refund(&live.link, &self.key_prefix, attempt, self.patience.sign_in()).await;
        Ok(self.current.record_script(&live, outcome)?)
    }

    async fn forget(&self, accounts: &[BucketKey], buckets: &[BucketKey]) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let (timeout, random) = (self.patience.sign_in(), self.random.as_ref());
        let keys = (accounts, buckets);
        let outcome = attempts::forget(&live.link, &self.key_prefix, keys, timeout, random).await;
        Ok(self.current.record_script(&live, outcome)?)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn set_only_source(&self, is_only_source: bool) {
        self.patience.set_only_source(is_only_source);
    }
}

impl From<Fault> for SessionStoreError {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}
