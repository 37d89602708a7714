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
            "Always 1; the version and the revision of the build.",
            &["version", "revision"],
        );
        let revision = option_env!("DOORWARD_REVISION").unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let made = Self {
            started: make.real(
                "doorward_start_timestamp_seconds",
                "Time at which this gateway began to serve, seconds since the epoch.",
            ),
            ready: make
                .gauge("doorward_ready", "1 while this gateway is ready for requests, as /readyz reports."),
            config_generation: make.gauge(
                "doorward_config_generation",
                "The configuration in force: 1 at the start, one more with each reload.",
            ),
            config_hash: make.real(
                "doorward_config_hash",
                "The first 48 bits of the SHA-256 of the file in force: equal on gateways with the same file.",
            ),
            config_loaded: make.real(
                "doorward_config_loaded_timestamp_seconds",
                "Time at which the configuration in force was loaded, seconds since the epoch.",
            ),
            config_reloads: make.each("doorward_config_reloads_total", "Reloads by outcome."),
            config_rejected: make.gauge(
                "doorward_config_rejected",
                "1 while the file on disk has problems and an older one is in force; see the log.",
            ),
            config_restart_needed: make.gauge(
                "doorward_config_restart_needed",
                "1 while the file changes a key that needs a restart; the log names it.",
            ),
            certificate_expiry: make.reals(
                "doorward_certificate_expiry_timestamp_seconds",
                "Expiry of a served certificate, seconds since the epoch; no series without TLS.",
                &["certificate"],
            ),
            upgrades: make.each("doorward_upgrades_total", "Upgrades by outcome."),
            log_lines_suppressed: make.counter(
                "doorward_log_lines_suppressed_total",
                "Log lines suppressed in a flood of one reason, or dropped because the log is read too slowly.",
            ),
        };
        made.config_generation.set(1);
        made
    }
}
