//! The apps behind us. `server` is as it stands in the configuration: a name's addresses add no series.

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use super::make::{Maker, SLOW};

/// The apps behind us.
#[derive(Debug)]
pub struct Upstreams {
    /// From forwarding to the header of the answer, by upstream.
    pub seconds: HistogramVec,
    /// Connects that failed, by upstream.
    pub connect_failures: IntCounterVec,
    /// Addresses each server's name stands for, by upstream and server.
    pub addresses: IntGaugeVec,
    /// Those that are given requests first.
    pub addresses_healthy: IntGaugeVec,
    /// Addresses put last for a while, by upstream, server and cause (`connect`, `timeout`, `status`, `check`).
    pub ejections: IntCounterVec,
    /// Active checks, by upstream, server and result (`ok`, `failed`).
    pub checks: IntCounterVec,
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
}
