//! The process: what it is, what configuration it runs, and whether it should be given requests.

use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge};

use super::make::{Each, Maker, label};

label! {
    /// What a reload came to.
    Reload "outcome" {
        /// A new configuration is in force.
        Applied "applied",
        /// The files are as they were.
        Unchanged "unchanged",
        /// The old one is in force.
        Rejected "rejected",
    }
}

label! {
    /// What an upgrade came to.
    Upgrade "outcome" {
        /// Another process serves.
        HandedOver "handed_over",
        /// This one goes on.
        Failed "failed",
    }
}

/// The process.
#[derive(Debug)]
pub struct Process {
    /// When it began to serve, seconds since the epoch.
    pub started: Gauge,
    /// Whether it should be given requests.
    pub ready: IntGauge,
    /// 1 at the start, one more with each reload.
    pub config_generation: IntGauge,
    /// A number made of its text: the same where the same is in force.
    pub config_hash: Gauge,
    /// When that configuration was loaded.
    pub config_loaded: Gauge,
    /// Reloads.
    pub config_reloads: Each<Reload, IntCounter>,
    /// 1 while the file on disk has problems.
    pub config_rejected: IntGauge,
    /// 1 while the file sets something that needs a restart.
    pub config_restart_needed: IntGauge,
    /// When each certificate ends.
    pub certificate_expiry: GaugeVec,
    /// Upgrades.
    pub upgrades: Each<Upgrade, IntCounter>,
    /// Log lines left out in a flood.
    pub log_lines_suppressed: IntCounter,
}

impl Process {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let build = make.gauges(
            "doorward_build_info",
            "Always 1; the version and the revision it was built from.",
            &["version", "revision"],
        );
        let revision = option_env!("DOORWARD_REVISION").unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let made = Self {
            started: make.real(
                "doorward_start_timestamp_seconds",
                "When this gateway began to serve, seconds since the epoch.",
            ),
            ready: make
                .gauge("doorward_ready", "1 while this gateway should be given requests, as /readyz says."),
            config_generation: make.gauge(
                "doorward_config_generation",
                "The configuration in force: 1 at the start, one more with each reload.",
            ),
            config_hash: make.real(
                "doorward_config_hash",
                "The first 48 bits of the SHA-256 of the file in force: equal where the same file is.",
            ),
            config_loaded: make.real(
                "doorward_config_loaded_timestamp_seconds",
                "When the configuration in force was loaded, seconds since the epoch.",
            ),
            config_reloads: make.each("doorward_config_reloads_total", "Reloads by outcome."),
            config_rejected: make.gauge(
                "doorward_config_rejected",
                "1 while the file on disk has problems and an older one is in force; the log says which.",
            ),
            config_restart_needed: make.gauge(
                "doorward_config_restart_needed",
                "1 while the file sets something that only a restart applies; the log names it.",
            ),
            certificate_expiry: make.reals(
                "doorward_certificate_expiry_timestamp_seconds",
                "When a certificate of server.tls ends, seconds since the epoch.",
                &["certificate"],
            ),
            upgrades: make.each("doorward_upgrades_total", "Upgrades by outcome."),
            log_lines_suppressed: make.counter(
                "doorward_log_lines_suppressed_total",
                "Log lines left out: a flood of the same, or nobody reads the log fast enough.",
            ),
        };
        made.config_generation.set(1);
        made
    }
}
