//! Reports on a configuration in force: the expiry of its certificates, and its warnings.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::metrics::Metrics;

/// Sets the metrics and logs the warnings when a configuration comes into force.
pub(super) fn report(config: &Config, metrics: &Metrics, now: Timestamp) {
    let expiry = &metrics.process.certificate_expiry;
    // Certificates that are no longer served have no series.
    expiry.reset();
    for shown in config.server.tls.iter().flat_map(|tls| &tls.certificates) {
        let Some(name) = shown.hosts.first().or_else(|| shown.certificate.names().first()) else { continue };
        // If two have the same name, the alert is about the one that expires first.
        let ends = shown.certificate.ends().millis() as f64 / 1000.0;
        let gauge = expiry.with_label_values(&[name.as_str()]);
        if gauge.get() == 0.0 || ends < gauge.get() {
            gauge.set(ends);
        }
    }
    for warning in config.warnings(now) {
        tracing::warn!(reason = "configuration_warning", key = warning.key, "{}", warning.message);
    }
}
