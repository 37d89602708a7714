//! The audit trail.

use prometheus::{IntCounter, IntGauge};

use super::make::{Each, Maker, label};

label! {
    /// Fate of an event that was written in the background.
    AuditEvents "result" {
        /// It is in a row of its own, or in one with equal ones.
        Recorded "recorded",
        /// It is counted in a summary.
        Summarized "summarized",
        /// It was not written.
        Lost "lost",
    }
}

/// The audit trail.
#[derive(Debug)]
pub struct AuditTrail {
    /// Events that were written in the background.
    pub events: Each<AuditEvents, IntCounter>,
    /// Rows linked into the chain by this gateway.
    pub linked: IntCounter,
    /// 1 while the chain is broken.
    pub broken: IntGauge,
}

impl AuditTrail {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            events: make.each(
                "doorward_audit_events_total",
                "Refused attempts and events of the gateway for the audit trail, by result.",
            ),
            linked: make.counter(
                "doorward_audit_linked_total",
                "Rows of the audit trail linked into its chain by this gateway.",
            ),
            broken: make
                .gauge("doorward_audit_broken", "1 when the audit trail was altered outside of doorward."),
        }
    }
}
