//! What the gateway counts: one registry per gateway, fixed label sets, never user input as a label.

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters, gauges and histograms of one gateway.
pub struct Metrics {
    registry: Registry,
    /// Finished requests by outcome (a stable code, or `forwarded`, `answered`, `aborted`, `cut`) and status class.
    pub requests: IntCounterVec,
    /// Requests being handled.
    pub requests_in_flight: IntGauge,
    /// Panics caught in a request.
    pub panics: IntCounter,
    /// What was added before forwarding: from the header read to the decision.
    pub decision_seconds: Histogram,
    /// Logins by outcome.
    pub logins: IntCounterVec,
    /// Refreshes by outcome.
    pub refreshes: IntCounterVec,
    /// Sessions ended through this replica, by reason.
    pub revocations: IntCounterVec,
    /// What confirmed a session: the local slot, the session store, the vault.
    pub confirmations: IntCounterVec,
    /// Streams and requests cut because their session ended, by cause.
    pub cuts: IntCounterVec,
    /// Access tokens looked at.
    pub verifications: Verifications,
    /// 1 while the revocation set is proven current.
    pub lease_held: IntGauge,
    /// Sessions in the revocation set.
    pub revocation_set: IntGauge,
    /// Failed reads of the revocation log.
    pub feed_errors: IntCounter,
    /// Password hashes waiting for a thread.
    pub hash_queue: IntGauge,
    /// Connection attempts to upstream servers that failed.
    pub connect_failures: IntCounter,
    /// Connections open on the public listener.
    pub connections: IntGauge,
    /// Connections refused at the limit, by limit.
    pub connections_refused: IntCounterVec,
    /// Build information.
    pub build_info: IntGaugeVec,
    /// When this gateway began to serve, in seconds since the epoch.
    pub started: Gauge,
}

/// Access tokens looked at, by result: counted on every request, so each is looked up once, here.
pub struct Verifications {
    /// Found good before, under the same keys.
    pub remembered: IntCounter,
    /// Found good now.
    pub checked: IntCounter,
    /// Not found good.
    pub refused: IntCounter,
}

impl Verifications {
    fn new(counted: &IntCounterVec) -> Self {
        let of = |result| counted.with_label_values(&[result]);
        Self { remembered: of("remembered"), checked: of("checked"), refused: of("refused") }
    }
}

impl Metrics {
    /// A registry with everything in it, at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            requests: counters(
                &registry,
                "doorward_requests_total",
                "Finished requests by outcome and status class.",
                &["outcome", "class"],
            ),
            requests_in_flight: gauge(&registry, "doorward_requests_in_flight", "Requests being handled."),
            panics: counter(
                &registry,
                "doorward_panics_total",
                "Panics caught in a request or a background job; each is a defect: report it.",
            ),
            decision_seconds: histogram(
                &registry,
                "doorward_decision_seconds",
                "Seconds from a request's header being read to the decision about it.",
            ),
            logins: counters(&registry, "doorward_logins_total", "Logins by outcome.", &["outcome"]),
            refreshes: counters(&registry, "doorward_refreshes_total", "Refreshes by outcome.", &["outcome"]),
            revocations: counters(
                &registry,
                "doorward_sessions_ended_total",
                "Sessions ended through this replica, by reason.",
                &["reason"],
            ),
            confirmations: counters(
                &registry,
                "doorward_session_confirmations_total",
                "Sessions confirmed, by what confirmed them.",
                &["source"],
            ),
            cuts: counters(
                &registry,
                "doorward_requests_cut_total",
                "Requests and streams cut short, by cause.",
                &["cause"],
            ),
            verifications: Verifications::new(&counters(
                &registry,
                "doorward_token_verifications_total",
                "Access tokens looked at, by result.",
                &["result"],
            )),
            lease_held: gauge(
                &registry,
                "doorward_lease_held",
                "1 while the revocation set is proven current; at 0 look at the vault.",
            ),
            revocation_set: gauge(
                &registry,
                "doorward_revocation_set_sessions",
                "Sessions in the revocation set.",
            ),
            feed_errors: counter(
                &registry,
                "doorward_feed_errors_total",
                "Failed reads of the revocation log; look at the vault.",
            ),
            hash_queue: gauge(
                &registry,
                "doorward_hash_queue_logins",
                "Logins waiting for a hashing thread.",
            ),
            connect_failures: counter(
                &registry,
                "doorward_upstream_connect_failures_total",
                "Connects to upstream servers that failed.",
            ),
            connections: gauge(
                &registry,
                "doorward_connections_open",
                "Connections open on the public listener.",
            ),
            connections_refused: counters(
                &registry,
                "doorward_connections_refused_total",
                "Connections refused, by the limit they met.",
                &["limit"],
            ),
            build_info: {
                let made = IntGaugeVec::new(
                    Opts::new("doorward_build_info", "Always 1; the version."),
                    &["version"],
                );
                register(&registry, made)
            },
            started: register(
                &registry,
                Gauge::new(
                    "doorward_start_time_seconds",
                    "When this gateway began to serve, seconds since the epoch.",
                ),
            ),
            registry,
        };
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// Everything, in the Prometheus text format.
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8192);
        // Writing into memory does not fail, and an encoder error would only cost this one scrape.
        if TextEncoder::new().encode(&self.registry.gather(), &mut out).is_err() {
            out.clear();
        }
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<M>,
) -> M {
    let metric = made.expect("metric names and labels are constants, tested below");
    registry.register(Box::new(metric.clone())).expect("each metric is registered once, tested below");
    metric
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name, help))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

fn histogram(registry: &Registry, name: &str, help: &str) -> Histogram {
    // From a cache hit (tens of microseconds) to a vault that is about to time out.
    let buckets = vec![0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5];
    register(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gateways_have_their_own_counts() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.panics.inc();
        assert_eq!(other.panics.get(), 0);
        assert!(String::from_utf8(one.text()).unwrap().contains("doorward_panics_total 1"));
    }
}
