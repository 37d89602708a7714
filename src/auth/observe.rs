//! What is looked at rather than counted: brought up to date before each scrape, and once in a while.

use std::time::Duration;

use super::{Auth, Mode, Settings};
use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::metrics::Pool;
use crate::vault::REVOCATION_LIFE;

impl Auth {
    /// Brings the gauges up to date.
    pub fn observe(&self) {
        let (metrics, now) = (&self.parts.metrics, self.parts.clock.monotonic());
        let (entries, bytes, most) = self.verified.size();
        metrics.tokens.cache_entries.set(count(entries));
        metrics.tokens.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        metrics.tokens.cache_max_bytes.set(i64::try_from(most).unwrap_or(i64::MAX));
        let age = self.lease.unproven_for(now);
        metrics.revocation.feed_age.set(age.map_or(-1.0, |age| age.as_secs_f64()));
        metrics.revocation.lease_held.set(i64::from(self.lease.is_held(now)));
        metrics.revocation.set.set(count(self.live.revoked()));
        metrics.session_store.tombstones_waiting.set(count(self.owed.len()));
        if !self.parts.sessions.vouches_alone() {
            // In this process: there is nothing between it and us.
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

    /// Counts the time that has passed under what it stood for.
    pub async fn keep_time(&self, passed: Duration, settings: &Settings) {
        let counted = &self.parts.metrics.revocation;
        match self.standing(settings).await {
            Mode::Current => {}
            Mode::WithoutVault => counted.without_vault.inc_by(passed.as_secs_f64()),
            Mode::Undecided => counted.undecided.inc_by(passed.as_secs_f64()),
        }
    }

    /// Revocations have just been entered into the set that were not there before.
    pub(super) fn observe_revocations(&self, new: &[(SessionId, Timestamp)]) {
        let now = self.vault_now();
        for (_, until) in new {
            // A row matters for this long from when it was written.
            let delay = now.since(*until - REVOCATION_LIFE);
            self.parts.metrics.revocation.delay.observe(delay.as_secs_f64());
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
