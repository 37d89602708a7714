//! Upstreams. `server` is the name in the configuration: the addresses of a name add no series.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::make::{Each, Label as _, Maker, SLOW, label};

label! {
    /// Failure for which an address was ejected.
    Ejection "cause" {
        /// Failed connects.
        Connect "connect",
        /// Response timeouts.
        Timeout "timeout",
        /// Responses that mean the app is unavailable, or none.
        Status "status",
        /// Failed active checks.
        Check "check",
    }
}

label! {
    /// Result of an active check.
    Checked "result" {
        /// The check succeeded.
        Ok "ok",
        /// The check failed.
        Failed "failed",
    }
}

/// Metrics of one server: reached without a lookup, and without effect after its series are removed.
#[derive(Debug)]
pub struct UpstreamSeries {
    /// Time from forwarding to the response header, for all servers of the upstream.
    pub seconds: Histogram,
    /// Failed connects, for all servers of the upstream.
    pub connect_failures: IntCounter,
    /// Number of addresses of the server's name.
    pub addresses: IntGauge,
    /// Number of healthy addresses.
    pub addresses_healthy: IntGauge,
    /// Ejections.
    pub ejections: Each<Ejection, IntCounter>,
    /// Active checks.
    pub checks: Each<Checked, IntCounter>,
}

/// Metrics of all upstreams.
#[derive(Debug)]
pub struct Upstreams {
    /// Time from forwarding to the response header, by upstream.
    seconds: HistogramVec,
    /// Failed connects, by upstream.
    connect_failures: IntCounterVec,
    /// Number of addresses of each server's name, by upstream and server.
    addresses: IntGaugeVec,
    /// Number of healthy addresses.
    addresses_healthy: IntGaugeVec,
    /// Ejections, by upstream, server and cause (`connect`, `timeout`, `status`, `check`).
    ejections: IntCounterVec,
    /// Active checks, by upstream, server and result (`ok`, `failed`).
    checks: IntCounterVec,
}

impl Upstreams {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            seconds: make.histograms(
                "doorward_upstream_seconds",
                "Seconds from forwarding a request to the header of the app's response.",
                "upstream",
                SLOW,
            ),
            connect_failures: make.counters(
                "doorward_upstream_connect_failures_total",
                "Failed connects to an upstream's servers; check whether the app is running.",
                &["upstream"],
            ),
            addresses: make.gauges(
                "doorward_upstream_addresses",
                "Addresses that a server's name resolves to; 0: it does not resolve.",
                &["upstream", "server"],
            ),
            addresses_healthy: make.gauges(
                "doorward_upstream_addresses_healthy",
                "Healthy addresses of a server.",
                &["upstream", "server"],
            ),
            ejections: make.counters(
                "doorward_upstream_ejections_total",
                "Ejections of a server's addresses, by cause.",
                &["upstream", "server", "cause"],
            ),
            checks: make.counters(
                "doorward_upstream_checks_total",
                "Active health checks of a server, by result.",
                &["upstream", "server", "result"],
            ),
        }
    }

    /// Returns the metrics of one server; its series exist from now on.
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

    /// Removes the series of a server that is no longer configured.
    pub fn forget_server(&self, upstream: &str, server: &str) {
        // An error means that the series does not exist.
        let _ = self.addresses.remove_label_values(&[upstream, server]);
        let _ = self.addresses_healthy.remove_label_values(&[upstream, server]);
        for cause in Ejection::ALL {
            let _ = self.ejections.remove_label_values(&[upstream, server, cause.as_str()]);
        }
        for result in Checked::ALL {
            let _ = self.checks.remove_label_values(&[upstream, server, result.as_str()]);
        }
    }

    /// Removes the series of an upstream that is no longer configured, except those of its servers.
    pub fn forget(&self, upstream: &str) {
        let _ = self.seconds.remove_label_values(&[upstream]);
        let _ = self.connect_failures.remove_label_values(&[upstream]);
    }
}
