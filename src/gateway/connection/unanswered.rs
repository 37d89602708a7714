//! Requests refused without a response of the gateway: Pingora refused them, or no response can be sent.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::LogAccess;
use crate::error::Refusal;
use crate::metrics::Metrics;
use crate::snapshot::Current;

/// Metric and log of such requests on one connection.
pub(crate) struct UnansweredRequests {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) current: Current,
    pub(crate) client: Option<IpAddr>,
}

impl UnansweredRequests {
    /// Counts and logs a refused request.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let code = refusal.code();
        self.metrics.requests.finished.with_label_values(&["-", code, "none"]).inc();
        if self.current.load().log.access != LogAccess::None {
            let client = self.client.map(tracing::field::display);
            tracing::info!(reason = "request_unanswered", code, client, "request refused without a response");
        }
    }
}
