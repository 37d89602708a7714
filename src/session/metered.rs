//! Metrics around a session store of any backend.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::attempts::{Attempt, BucketKey, Charged};
use super::{Lookup, Record, SessionStore, SessionStoreError};
use crate::clock::Clock;
use crate::id::SessionId;
use crate::metrics::{Label as _, Metrics, Operation};

/// A session store that times and counts every operation.
pub struct Metered {
    inner: Arc<dyn SessionStore>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl Metered {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn SessionStore>, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, metrics, clock }
    }

    async fn timed<A>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<A, SessionStoreError>>,
        result: impl FnOnce(&A) -> &'static str,
    ) -> Result<A, SessionStoreError> {
        let started = self.clock.monotonic();
        let outcome = work.await;
        let took = self.clock.monotonic().since(started);
        let counted = &self.metrics.session_store;
        counted.seconds.of(operation).observe(took.as_secs_f64());
        let result = outcome.as_ref().map_or("error", result);
        counted.operations.with_label_values(&[operation.as_str(), result]).inc();
        outcome
    }
}

#[async_trait]
impl SessionStore for Metered {
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError> {
        self.timed(Operation::Check, self.inner.check(id), |found| match found {
            Lookup::Live(_) => "live",
            Lookup::Tombstone => "tombstone",
            Lookup::Absent => "absent",
        })
        .await
    }

    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError> {
        self.timed(Operation::Fill, self.inner.fill(id, record, keep), |()| "ok").await
    }

    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        self.timed(Operation::Extend, self.inner.extend(id, keep), |()| "ok").await
    }

    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        self.timed(Operation::Revoke, self.inner.revoke(id, keep), |()| "ok").await
    }

    async fn charge(&self, attempt: &Attempt) -> Result<Charged, SessionStoreError> {
        self.timed(Operation::Charge, self.inner.charge(attempt), |charged| match charged {
            Charged::Allowed(_) => "ok",
            Charged::Full { .. } => "full",
        })
        .await
    }

    async fn refund(&self, attempt: &Attempt) -> Result<(), SessionStoreError> {
        self.timed(Operation::Refund, self.inner.refund(attempt), |()| "ok").await
    }

    async fn forget(&self, accounts: &[BucketKey], buckets: &[BucketKey]) -> Result<(), SessionStoreError> {
        self.timed(Operation::Forget, self.inner.forget(accounts, buckets), |()| "ok").await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn set_only_source(&self, is_only_source: bool) {
        self.inner.set_only_source(is_only_source);
    }
}
