//! Gauges: updated before each scrape and at intervals.

use std::time::Duration;

use super::{Auth, Mode, Settings};
use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::metrics::Pool;
use crate::vault::REVOCATION_LIFE;

impl Auth {
    /// Updates the gauges.
    pub fn observe(&self) {
        let (metrics, now) = (&self.parts.metrics, self.parts.clock.monotonic());
        let (entries, bytes, max_bytes) = self.verified.size();
        metrics.tokens.cache_entries.set(count(entries));
        metrics.tokens.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        metrics.tokens.cache_max_bytes.set(i64::try_from(max_bytes).unwrap_or(i64::MAX));
        let age = self.lease.unproven_for(now);
        metrics.revocation.feed_age.set(age.map_or(-1.0, |age| age.as_secs_f64()));
        metrics.revocation.lease_held.set(i64::from(self.lease.is_held(now)));
        metrics.revocation.set.set(count(self.live.revoked()));
        metrics.session_store.tombstones_waiting.set(count(self.tombstones.len()));
        if !self.parts.sessions.is_shared() {
            // The store is in this process, so no connection can fail.
            metrics.session_store.up.set(1);
        }
        let connections = self.parts.vault.audit.connections();
        metrics.vault.pool.of(Pool::InUse).set(count(connections.in_use));
        metrics.vault.pool.of(Pool::Idle).set(count(connections.idle));
        metrics.vault.pool_max.set(count(connections.max));
        metrics.vault.pool_waiting.set(count(connections.waiting));
        let keys = self.parts.keys.current();
        let (access, refresh) = keys.active_since(self.vault_now());
        for (key_use, since) in [("access", access), ("refresh", refresh)] {
            let since = since.map_or(0.0, |since| since.millis() as f64 / 1000.0);
            metrics.tokens.key_active.with_label_values(&[key_use]).set(since);
        }
    }

    /// Adds the time that has passed to the counter of the current mode.
    pub async fn count_mode_time(&self, passed: Duration, settings: &Settings) {
        let counted = &self.parts.metrics.revocation;
        match self.mode(settings).await {
            Mode::Current => {}
            Mode::WithoutVault => counted.without_vault.inc_by(passed.as_secs_f64()),
            Mode::Undecided => counted.undecided.inc_by(passed.as_secs_f64()),
        }
    }

    /// Records the delay of revocations that have just been entered into the set for the first time.
    pub(super) fn observe_revocations(&self, new: &[(SessionId, Timestamp)]) {
        let now = self.vault_now();
        for (_, until) in new {
            // A revocation row is kept for this long from when it was written.
            let delay = now.since(*until - REVOCATION_LIFE);
            self.parts.metrics.revocation.delay.observe(delay.as_secs_f64());
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
