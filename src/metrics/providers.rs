//! Identity providers. `provider` is the name in the configuration.

use prometheus::{HistogramVec, IntCounterVec};

use super::make::{DELAYS, Maker, SLOW};

/// Identity providers.
#[derive(Debug)]
pub struct Providers {
    /// Callbacks, and starts that failed, by provider and outcome: `ok` or a stable code.
    pub sign_ins: IntCounterVec,
    /// Duration of a callback, with the requests to the provider.
    pub sign_in_seconds: HistogramVec,
    /// Rechecks by provider and outcome: `confirmed`, `ended`, `undecided`.
    pub rechecks: IntCounterVec,
    /// Duration of a recheck, with the wait for a free place.
    pub recheck_seconds: HistogramVec,
    /// Logouts that a provider announced, by provider and outcome: `ok` or a stable code.
    pub logouts: IntCounterVec,
}

impl Providers {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            sign_ins: make.counters(
                "doorward_provider_sign_ins_total",
                "Sign-ins at an identity provider, by provider and outcome.",
                &["provider", "outcome"],
            ),
            sign_in_seconds: make.histograms(
                "doorward_provider_sign_in_seconds",
                "Duration of a callback with its requests to the provider, in seconds.",
                "provider",
                SLOW,
            ),
            rechecks: make.counters(
                "doorward_provider_rechecks_total",
                "Sessions rechecked at an identity provider, by provider and outcome.",
                &["provider", "outcome"],
            ),
            recheck_seconds: make.histograms(
                "doorward_provider_recheck_seconds",
                "Duration of a recheck with its wait for a free place, in seconds.",
                "provider",
                DELAYS,
            ),
            logouts: make.counters(
                "doorward_provider_logouts_total",
                "Back-channel logouts of an identity provider, by provider and outcome.",
                &["provider", "outcome"],
            ),
        }
    }

    /// Adds the series of a provider, at zero.
    pub fn add(&self, provider: &str) {
        for outcome in ["ok", "provider_away", "provider_failed", "provider_denied"] {
            self.sign_ins.with_label_values(&[provider, outcome]);
        }
        for outcome in ["confirmed", "ended", "undecided"] {
            self.rechecks.with_label_values(&[provider, outcome]);
        }
        for outcome in ["ok", "logout_token_invalid"] {
            self.logouts.with_label_values(&[provider, outcome]);
        }
        self.sign_in_seconds.with_label_values(&[provider]);
        self.recheck_seconds.with_label_values(&[provider]);
    }
}
