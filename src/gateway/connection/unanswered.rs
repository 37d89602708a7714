//! ClientConnection that are refused without a response of ours: by the transport, or because none can be sent.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::LogAccess;
use crate::error::Refusal;
use crate::metrics::Metrics;
use crate::snapshot::Current;

/// Counts and logs them, for one connection.
pub(crate) struct UnansweredRequests {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) current: Current,
    pub(crate) client: Option<IpAddr>,
}

impl UnansweredRequests {
    /// Counts and logs one.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let code = refusal.code();
        self.metrics.requests.finished.with_label_values(&["-", code, "none"]).inc();
        if self.current.load().log.access != LogAccess::None {
            let client = self.client.map(tracing::field::display);
            tracing::info!(
                reason = "request_unanswered",
                code,
                client,
                "a request was refused without an answer"
            );
        }
    }
}
