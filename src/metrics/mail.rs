//! Mails.

use prometheus::{IntCounter, IntGauge};

use super::make::{Each, Maker, label};

label! {
    /// Result of an attempt to send a mail.
    MailResult "result" {
        /// The server has it.
        Sent "sent",
        /// It is tried again.
        Failed "failed",
        /// It is not sent: the server refuses it for good, or its time has passed.
        GivenUp "given_up",
    }
}

/// Mails.
#[derive(Debug)]
pub struct Mails {
    /// Attempts of this gateway.
    pub attempts: Each<MailResult, IntCounter>,
    /// Messages in the vault that are not sent yet.
    pub waiting: IntGauge,
    /// Age of the oldest of them in seconds.
    pub oldest: IntGauge,
}

impl Mails {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            attempts: make.each("doorward_mail_attempts_total", "Attempts to send a mail, by result."),
            waiting: make
                .gauge("doorward_mail_waiting", "Mails in the vault that are not sent yet, of all gateways."),
            oldest: make.gauge(
                "doorward_mail_oldest_seconds",
                "Age of the oldest mail that is not sent yet, in seconds; 0 without one.",
            ),
        }
    }
}
