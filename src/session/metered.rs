//! The session store, with each operation timed and counted: whichever backend answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Lookup, Record, SessionStore, SessionStoreError};
use crate::clock::Clock;
use crate::id::SessionId;
use crate::metrics::{Label as _, Metrics, Operation};

/// A session store whose every operation is timed and counted.
pub struct Metered {
    inner: Arc<dyn SessionStore>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl Metered {
    /// Around `inner`.
    pub fn new(inner: Arc<dyn SessionStore>, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, metrics, clock }
    }

    async fn timed<A>(
        &self,
        operation: Operation,
        asked: impl Future<Output = Result<A, SessionStoreError>>,
        result: impl FnOnce(&A) -> &'static str,
    ) -> Result<A, SessionStoreError> {
        let began = self.clock.monotonic();
        let answer = asked.await;
        let took = self.clock.monotonic().since(began);
        let counted = &self.metrics.session_store;
        counted.seconds.of(operation).observe(took.as_secs_f64());
        let result = answer.as_ref().map_or("error", result);
        counted.operations.with_label_values(&[operation.as_str(), result]).inc();
        answer
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

    fn vouches_alone(&self) -> bool {
        self.inner.vouches_alone()
    }
}
