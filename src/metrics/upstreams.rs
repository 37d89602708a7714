//! The apps behind us. `server` is as it stands in the configuration: a name's addresses add no series.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::make::{Each, Label as _, Maker, SLOW, label};

label! {
    /// What an address failed at when it was put last.
    Ejection "cause" {
        /// Connects.
        Connect "connect",
        /// Answers that did not come.
        Timeout "timeout",
        /// Answers that say the app is not there, or none.
        Status "status",
        /// Active checks.
        Check "check",
    }
}

label! {
    /// What an active check found.
    Checked "result" {
        /// As it should be.
        Ok "ok",
        /// Not so.
        Failed "failed",
    }
}

/// What is counted of one server: at hand without a look-up, and of no effect once its series are taken out.
#[derive(Debug)]
pub struct UpstreamSeries {
    /// From forwarding to the header of the answer; all servers of its upstream.
    pub seconds: Histogram,
    /// Connects that failed; all servers of its upstream.
    pub connect_failures: IntCounter,
    /// Addresses its name stands for.
    pub addresses: IntGauge,
    /// Those that are given requests first.
    pub addresses_healthy: IntGauge,
    /// Addresses put last for a while.
    pub ejections: Each<Ejection, IntCounter>,
    /// Active checks.
    pub checks: Each<Checked, IntCounter>,
}

/// The apps behind us.
#[derive(Debug)]
pub struct Upstreams {
    /// From forwarding to the header of the answer, by upstream.
    seconds: HistogramVec,
    /// Connects that failed, by upstream.
    connect_failures: IntCounterVec,
    /// Addresses each server's name stands for, by upstream and server.
    addresses: IntGaugeVec,
    /// Those that are given requests first.
    addresses_healthy: IntGaugeVec,
    /// Addresses put last for a while, by upstream, server and cause (`connect`, `timeout`, `status`, `check`).
    ejections: IntCounterVec,
    /// Active checks, by upstream, server and result (`ok`, `failed`).
    checks: IntCounterVec,
}

impl Upstreams {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            seconds: make.histograms(
                "doorward_upstream_seconds",
                "Seconds from forwarding a request to the header of the app's answer.",
                "upstream",
                SLOW,
            ),
            connect_failures: make.counters(
                "doorward_upstream_connect_failures_total",
                "Connects to an upstream's servers that failed: is the app running?",
                &["upstream"],
            ),
            addresses: make.gauges(
                "doorward_upstream_addresses",
                "Addresses that a server's name stands for; 0: it does not resolve.",
                &["upstream", "server"],
            ),
            addresses_healthy: make.gauges(
                "doorward_upstream_addresses_healthy",
                "Addresses of a server that are given requests first.",
                &["upstream", "server"],
            ),
            ejections: make.counters(
                "doorward_upstream_ejections_total",
                "Addresses of a server put last for a while, by what they failed at.",
                &["upstream", "server", "cause"],
            ),
            checks: make.counters(
                "doorward_upstream_checks_total",
                "Active health checks of a server, by result.",
                &["upstream", "server", "result"],
            ),
        }
    }

    /// The series of one server, there from now on.
    pub fn server(&self, upstream: &str, server: &str) -> UpstreamSeries {
        UpstreamSeries {
            seconds: self.seconds.with_label_values(&[upstream]),
            connect_failures: self.connect_failures.with_label_values(&[upstream]),
            addresses: self.addresses.with_label_values(&[upstream, server]),
            addresses_healthy: self.addresses_healthy.with_label_values(&[upstream, server]),
            ejections: Each::new(|cause| self.ejections.with_label_values(&[upstream, server, cause])),
            checks: Each::new(|result| self.checks.with_label_values(&[upstream, server, result])),
        }
    }

    /// Takes out the series of a server that is no longer configured.
    pub fn forget_server(&self, upstream: &str, server: &str) {
        // What is not there need not be taken out.
        let _ = self.addresses.remove_label_values(&[upstream, server]);
        let _ = self.addresses_healthy.remove_label_values(&[upstream, server]);
        for cause in Ejection::ALL {
            let _ = self.ejections.remove_label_values(&[upstream, server, cause.as_str()]);
        }
        for result in Checked::ALL {
            let _ = self.checks.remove_label_values(&[upstream, server, result.as_str()]);
        }
    }

    /// Takes out the series of a whole upstream that is no longer configured, beside those of its servers.
    pub fn forget(&self, upstream: &str) {
        let _ = self.seconds.remove_label_values(&[upstream]);
        let _ = self.connect_failures.remove_label_values(&[upstream]);
    }
}
