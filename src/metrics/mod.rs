//! Metrics: one registry per gateway, fixed label sets, never user input as a label value.
//!
//! `docs/metrics.md` is the contract; a test below compares it with the code.

use prometheus::{Encoder, Registry, TextEncoder};

mod audit;
mod mail;
mod make;
mod outbound;
mod process;
mod providers;
mod requests;
mod revocation;
mod stores;
mod tokens;
mod upstreams;

pub use audit::{AuditEvents, AuditTrail};
pub use mail::{MailResult, Mails};
pub use make::{Each, Label};
pub use outbound::{BreachedLookup, OutboundRequests, Outcome, Purpose};
pub use process::{Process, Reload, Upgrade};
pub use providers::Providers;
pub use requests::{AuthenticationFailure, ConnectionLimit, Handshake, Pattern, Requests, Stream};
pub use revocation::Revocation;
pub use stores::{Breaker, Connect, Operation, Pool, SessionStore, Statement, Vault};
pub use tokens::{GrantKind, HashKind, Reuse, Source, ThrottleScope, Tokens, UnusualPattern, Verification};
pub use upstreams::{Checked, Ejection, UpstreamSeries, Upstreams};

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters, gauges and histograms of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests, connections and streams.
    pub requests: Requests,
    /// Upstreams.
    pub upstreams: Upstreams,
    /// Logins, tokens and the local cache.
    pub tokens: Tokens,
    /// Identity providers.
    pub providers: Providers,
    /// The revocation list and its age.
    pub revocation: Revocation,
    /// The session store.
    pub session_store: SessionStore,
    /// The vault.
    pub vault: Vault,
    /// The audit trail.
    pub audit: AuditTrail,
    /// Requests to other people's servers.
    pub outbound: OutboundRequests,
    /// Mails.
    pub mails: Mails,
    /// The process.
    pub process: Process,
}

impl Metrics {
    /// Creates a registry with all metrics at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let make = make::Maker(&registry);
        make.process();
        Self {
            requests: Requests::new(&make),
            upstreams: Upstreams::new(&make),
            tokens: Tokens::new(&make),
            providers: Providers::new(&make),
            revocation: Revocation::new(&make),
            session_store: SessionStore::new(&make),
            vault: Vault::new(&make),
            audit: AuditTrail::new(&make),
            outbound: OutboundRequests::new(&make),
            mails: Mails::new(&make),
            process: Process::new(&make),
            registry,
        }
    }

    /// Formats all metrics in the Prometheus text format.
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 * 1024);
        // Writing to memory does not fail, and an encoder error would only affect this one scrape.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_gateways_count_separately() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.requests.panics.inc();
        assert_eq!(other.requests.panics.get(), 0);
        assert!(String::from_utf8(one.text()).unwrap().contains("doorward_panics_total 1"));
    }

    /// Uses every label once whose values come from the configuration.
    fn with_names(metrics: &Metrics) {
        metrics.requests.finished.with_label_values(&["app", "forwarded", "2xx"]).inc();
        metrics.requests.seconds.with_label_values(&["app"]).observe(1.0);
        metrics.upstreams.server("app", "http://a:1");
        metrics.tokens.key_active.with_label_values(&["access"]).set(1.0);
        metrics.providers.add("sso");
        metrics.process.certificate_expiry.with_label_values(&["app.example.com"]).set(1.0);
    }

    #[test]
    fn metrics_page_lists_each_metric_with_type_and_labels() {
        let metrics = Metrics::new();
        with_names(&metrics);
        let page = include_str!("../../docs/metrics.md");
        let written: BTreeSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `doorward_"))
            .map(|row| {
                let cells: Vec<&str> = row.split('|').map(str::trim).collect();
                let name = cells[0].trim_end_matches('`');
                format!("doorward_{name} {} {}", cells[1], cells[2].replace(['`', ' '], ""))
            })
            .collect();
        let made: BTreeSet<String> = metrics
            .registry
            .gather()
            .iter()
            .filter(|family| family.name().starts_with("doorward_"))
            .map(|family| {
                let labels = family.get_metric()[0].get_label();
                let mut labels: Vec<&str> = labels.iter().map(|pair| pair.name()).collect();
                labels.sort_unstable();
                let kind = format!("{:?}", family.get_field_type()).to_lowercase();
                format!("{} {kind} {}", family.name(), labels.join(","))
            })
            .collect();
        let sorted = |all: &BTreeSet<String>| -> BTreeSet<String> {
            let row = |row: &String| {
                let (head, labels) = row.rsplit_once(' ').unwrap();
                let mut labels: Vec<&str> = labels.split(',').collect();
                labels.sort_unstable();
                format!("{head} {}", labels.join(","))
            };
            all.iter().map(row).collect()
        };
        assert_eq!(sorted(&written), sorted(&made));
    }

    #[test]
    fn removed_server_has_no_series_and_none_come_back() {
        let metrics = Metrics::new();
        let [kept, gone] = ["http://a", "http://b"].map(|server| metrics.upstreams.server("app", server));
        let series = || String::from_utf8(metrics.text()).unwrap();
        assert!(
            series().contains(
                r#"doorward_upstream_ejections_total{cause="timeout",server="http://b",upstream="app"} 0"#
            ),
            "{}",
            series()
        );
        metrics.upstreams.forget_server("app", "http://b");
        for server in [&kept, &gone] {
            server.ejections.of(Ejection::Timeout).inc();
            server.checks.of(Checked::Failed).inc();
            server.addresses.set(1);
            server.seconds.observe(0.1);
        }
        assert!(!series().contains("http://b"), "{}", series());
        assert!(series().contains(r#"doorward_upstream_seconds_count{upstream="app"} 2"#), "{}", series());
        metrics.upstreams.forget_server("app", "http://a");
        metrics.upstreams.forget("app");
        assert!(!series().contains("doorward_upstream"), "{}", series());
    }

    #[test]
    fn counters_start_at_zero_with_every_value() {
        let text = String::from_utf8(Metrics::new().text()).unwrap();
        for line in [
            r#"doorward_security_events_total{pattern="forged_token"} 0"#,
            r#"doorward_session_store_operations_total{operation="check",result="absent"} 0"#,
            r#"doorward_logins_total{outcome="credentials_wrong"} 0"#,
            r#"doorward_vault_errors_total{statement="rotate"} 0"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}");
        }
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
