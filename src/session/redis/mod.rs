//! The session store shared by every replica: records and tombstones in Redis.
//!
//! Redis may be away, slow or emptied at any time: every method then fails, at once or within a tenth of a second, and
//! the caller asks the vault. Nothing here waits for a connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::AbortHandle;

use self::connect::{Connector, Next};
use self::current::Current;
use self::fault::Fault;
use super::{Lookup, Record, SessionStore, SessionStoreError};
use crate::config::RedisUrl;
use crate::id::{Random, SessionId};
use crate::metrics::Metrics;

mod backoff;
mod commands;
mod connect;
mod current;
mod fault;
mod journal;
mod key;
mod link;
mod look;
mod net;
mod record;
mod sentinel;
mod supervisor;

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Which servers.
    pub url: RedisUrl,
    /// Who their certificates must be signed by (PEM); without it, whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// What every key begins with.
    pub key_prefix: String,
}

/// The session store in Redis.
pub struct RedisStore {
    current: Arc<Current>,
    key_prefix: String,
    random: Arc<dyn Random>,
    supervisor: AbortHandle,
    /// Another way to connect, for the supervisor to take.
    next: Arc<Next>,
}

/// Credentials, or an authority for certificates, that were found good enough to connect with.
pub struct Renewal {
    next: Arc<Next>,
    connector: Connector,
}

impl RedisStore {
    /// Begins to connect, on the current runtime, and returns at once: Redis may be away.
    ///
    /// # Errors
    /// When it cannot even be tried: an unreadable `ca_file`.
    pub fn start(
        options: RedisOptions,
        random: Arc<dyn Random>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SessionStoreError> {
        let current = Arc::new(Current::new(metrics));
        let key_prefix = options.key_prefix.clone();
        let next = Arc::new(Next::default());
        let connector = Connector::new(options)?.replaced_by(Arc::clone(&next));
        let supervising = supervisor::supervise(Arc::clone(&current), connector, Arc::clone(&random));
        let supervisor = tokio::spawn(supervising).abort_handle();
        Ok(Self { current, key_prefix, random, supervisor, next })
    }

    /// Reads what the options name. The servers, the database and the prefix are those of the running store.
    ///
    /// # Errors
    /// For a `ca_file` that is none.
    pub fn renewal(&self, options: RedisOptions) -> Result<Renewal, SessionStoreError> {
        Ok(Renewal { next: Arc::clone(&self.next), connector: Connector::new(options)? })
    }

    fn key(&self, id: SessionId) -> String {
        key::session(&self.key_prefix, id)
    }
}

impl Renewal {
    /// From now on connections are made with it; one that is open stays until it breaks.
    pub fn begin(self) {
        self.next.set(self.connector);
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError> {
        let live = self.current.live()?;
        let outcome = commands::check(&live.link, &self.key(id)).await;
        Ok(self.current.judge(&live, outcome)?)
    }

    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let random = self.random.as_ref();
        let outcome = commands::fill(&live.link, &self.key(id), &record, keep, random).await;
        Ok(self.current.judge_write(&live, outcome)?)
    }

    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let outcome = commands::extend(&live.link, &self.key(id), keep).await;
        Ok(self.current.judge_write(&live, outcome)?)
    }

    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let live = self.current.live()?;
        let outcome = commands::revoke(&live.link, &self.key(id), keep).await;
        Ok(self.current.judge_write(&live, outcome)?)
    }

    fn vouches_alone(&self) -> bool {
        true
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
