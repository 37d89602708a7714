//! What a configuration in force has people look at: how long its certificates are good, and its warnings.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::metrics::Metrics;

/// Counts and says it, when it comes into force.
pub(super) fn tell(config: &Config, metrics: &Metrics, now: Timestamp) {
    let expiry = &metrics.process.certificate_expiry;
    // Those that are shown no more have no series.
    expiry.reset();
    for shown in config.server.tls.iter().flat_map(|tls| &tls.certificates) {
        let Some(name) = shown.hosts.first().or_else(|| shown.certificate.names().first()) else { continue };
        // Of two of one name, the one that ends first is worth the alert.
        let ends = shown.certificate.ends().millis() as f64 / 1000.0;
        let known = expiry.with_label_values(&[name.as_str()]);
        if known.get() == 0.0 || ends < known.get() {
            known.set(ends);
        }
    }
    for warning in config.warnings(now) {
        tracing::warn!(reason = "configuration_warning", key = warning.key, "{}", warning.message);
    }
}
