//! The process: build, configuration and readiness.

use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge};

use super::make::{Each, Maker, label};

label! {
    /// Outcome of a reload.
    Reload "outcome" {
        /// A new configuration is in force.
        Applied "applied",
        /// The files have not changed.
        Unchanged "unchanged",
        /// The new configuration is invalid; the old one stays in force.
        Rejected "rejected",
    }
}

label! {
    /// Outcome of an upgrade.
    Upgrade "outcome" {
        /// The new process serves.
        HandedOver "handed_over",
        /// This process continues to serve.
        Failed "failed",
    }
}

/// The process.
#[derive(Debug)]
pub struct Process {
    /// Start of serving, in seconds since the epoch.
    pub started: Gauge,
    /// 1 while the gateway is ready for requests.
    pub ready: IntGauge,
    /// Number of the configuration in force: 1 at the start, incremented by each reload.
    pub config_generation: IntGauge,
    /// Number derived from the configuration's text: equal for equal files.
    pub config_hash: Gauge,
    /// Time at which that configuration was loaded.
    pub config_loaded: Gauge,
    /// Reloads.
    pub config_reloads: Each<Reload, IntCounter>,
    /// 1 while the file on disk has problems.
    pub config_rejected: IntGauge,
    /// 1 while the file sets something that needs a restart.
    pub config_restart_needed: IntGauge,
    /// Expiry of each certificate.
    pub certificate_expiry: GaugeVec,
    /// Upgrades.
    pub upgrades: Each<Upgrade, IntCounter>,
    /// Suppressed log lines.
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
                "When a certificate that is served ends, seconds since the epoch; no series without one.",
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
