//! The revocation list and its age.

use prometheus::{Counter, Gauge, Histogram, IntCounter, IntGauge};

use super::make::{DELAYS, Maker};

/// The revocation list and its age.
#[derive(Debug)]
pub struct Revocation {
    /// Time from the write in the vault to the application here.
    pub delay: Histogram,
    /// Number of sessions in the set.
    pub set: IntGauge,
    /// 1 while the set is confirmed current.
    pub lease_held: IntGauge,
    /// Seconds since the last confirmation; -1 before the first.
    pub feed_age: Gauge,
    /// Failed reads of the log.
    pub feed_errors: IntCounter,
    /// Seconds in which only the session store confirmed sessions.
    pub without_vault: Counter,
    /// Seconds in which sessions could not be checked.
    pub undecided: Counter,
}

impl Revocation {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let made = Self {
            delay: make.histogram(
                "doorward_revocation_delay_seconds",
                "Seconds from the write of a revocation in the vault to its effect on this gateway.",
                DELAYS,
            ),
            set: make.gauge("doorward_revocation_set_sessions", "Sessions in the revocation list."),
            lease_held: make.gauge(
                "doorward_lease_held",
                "1 while the revocation list is current; at 0 check the vault.",
            ),
            feed_age: make.real(
                "doorward_feed_age_seconds",
                "Seconds since the revocation list was last confirmed current; -1 before the first time.",
            ),
            feed_errors: make.counter(
                "doorward_feed_errors_total",
                "Failed reads of the revocation log; check the vault.",
            ),
            without_vault: make.seconds(
                "doorward_degraded_seconds_total",
                "Seconds in which the session store alone confirmed sessions; check the vault.",
            ),
            undecided: make.seconds(
                "doorward_undecided_seconds_total",
                "Seconds in which signed-in requests got 503; check the vault.",
            ),
        };
        made.feed_age.set(-1.0);
        made
    }
}
