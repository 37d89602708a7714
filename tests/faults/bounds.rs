//! Bounds of the promises, with what a busy machine adds.

use std::time::Duration;

use crate::history::{Micros, micros};

/// `sessions.vault_outage_grace` of the gateways under test.
pub(crate) const VAULT_OUTAGE_GRACE: Duration = Duration::from_secs(60);
/// `tokens.refresh_grace` of the gateways under test.
pub(crate) const REFRESH_GRACE: Duration = Duration::from_secs(60);
/// `sessions.stream_lease` of the gateways under test.
pub(crate) const STREAM_LEASE: Duration = Duration::from_secs(5);

/// Bounds that the checker applies. Every one is a time after an acknowledgement, unless said otherwise.
pub(crate) struct Bounds {
    /// Revocation at a gateway that reaches the vault. Milliseconds on a quiet machine; more than the quarter of the
    /// lease after which the log is read without an announcement.
    pub(crate) vault: Micros,
    /// `vault.lease`.
    pub(crate) lease: Micros,
    pub(crate) grace: Micros,
    pub(crate) stream_lease: Micros,
    pub(crate) refresh_grace: Micros,
    /// Time that a busy machine may take for what costs microseconds.
    pub(crate) slack: Micros,
    /// The same for an event on its way through the app, the gateway and the client.
    pub(crate) stream_slack: Micros,
    /// Time in which an operation without a response may still take effect: a statement waits at most as long.
    pub(crate) unanswered: Micros,
    /// Maximum time of a 503 while Postgres does not answer.
    pub(crate) refusal: Micros,
    /// `vault.statement_timeout`: maximum time of a 503 while it answers slowly, with what two busy cores add.
    pub(crate) statement: Micros,
    /// Whether the times that docs/faults.md states are checked too.
    pub(crate) is_strict: bool,
}

/// Time that a starved machine adds to every bound in `make test`. The order of things is checked there, and `make test-faults`
/// checks the times, with nothing else on the machine.
const STARVED: Duration = Duration::from_secs(10);

impl Bounds {
    /// Bounds for a machine that may be busy with other things.
    pub(crate) fn of_a_busy_machine() -> Self {
        let strict = Self::default();
        let starved = micros(STARVED);
        Self {
            vault: strict.vault + starved,
            slack: strict.slack + starved,
            stream_slack: strict.stream_slack + starved,
            unanswered: strict.unanswered + starved,
            refusal: strict.refusal + starved,
            is_strict: false,
            ..strict
        }
    }
}

/// The promise is one second; two busy cores add another.
const REFUSAL: Duration = Duration::from_secs(2);

/// The default of two seconds, and one for busy cores.
const STATEMENT: Duration = Duration::from_secs(3);

impl Default for Bounds {
    fn default() -> Self {
        Self {
            vault: micros(Duration::from_millis(500)),
            lease: micros(Duration::from_secs(1)),
            grace: micros(VAULT_OUTAGE_GRACE),
            stream_lease: micros(STREAM_LEASE),
            refresh_grace: micros(REFRESH_GRACE),
            slack: micros(Duration::from_millis(200)),
            stream_slack: micros(Duration::from_secs(1)),
            unanswered: micros(Duration::from_secs(6)),
            refusal: micros(REFUSAL),
            statement: micros(STATEMENT),
            is_strict: true,
        }
    }
}
