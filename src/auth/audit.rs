//! The audit trail of a gateway: events that change nothing in the vault, and the chain.
//!
//! A change writes its row in its own transaction. A refused attempt changes nothing: its row is written here, in the
//! background, many in one commit. Strangers cause these, so their number is bounded ([`failures`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Auth, Settings};
use crate::clock::Monotonic;
use crate::id::{SessionId, UserId};
use crate::metrics::AuditEvents;
use crate::request_id;
use crate::vault::origin::Actor;
use crate::vault::{ChainKey, ChainPoint, NewAuditEvent, Outcome, VaultError};

pub(super) mod failures;

use failures::Failure;

/// Time for which refused attempts are gathered, so that they share a commit.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// Pause between two attempts to write while the vault does not respond.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Maximum time for writing when the gateway stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval of linking: the time for which a row can be altered or removed without a trace.
const LINK_INTERVAL: Duration = Duration::from_secs(1);
/// Rows linked in one transaction, some ten milliseconds of the vault's time.
const LINK_BATCH: u32 = 500;
/// Interval of deleting rows at the end of their time, in batches so small that nothing waits behind one.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
const PRUNE_BATCH: u32 = 1000;

impl Auth {
    /// Records a refused attempt to prove who somebody is. `cause` is a stable code; `name` is the login name as typed, where
    /// no user is known.
    pub(crate) fn record_failure(&self, cause: &str, user: Option<UserId>, name: Option<&str>) {
        let (request_id, address) = request_id::with_client().unzip();
        let name = name.map(|name| self.failures.name(name));
        let failure = Failure { cause: cause.to_owned(), user, name, address };
        let request_id = request_id.map(|id| id.as_str().to_owned());
        self.failures.add(failure, request_id, self.parts.clock.monotonic());
    }

    /// Records an event of the gateway itself. It is written in the background.
    pub fn record_event(&self, event: &'static str, cause: String) {
        self.failures.push(NewAuditEvent {
            event,
            outcome: Outcome::Success,
            actor: Actor::Gateway.as_str().to_owned(),
            user: None,
            name: None,
            session: None,
            address: None,
            cause: Some(cause),
            request_id: None,
            times: 1,
        });
    }

    /// Records an unusual pattern of a session. It is written in the background.
    pub(crate) fn record_pattern(&self, pattern: &str, user: UserId, session: SessionId, address: IpAddr) {
        let request_id = request_id::with_client().map(|(id, _)| id.as_str().to_owned());
        self.failures.push(NewAuditEvent {
            event: "unusual_pattern",
            outcome: Outcome::Success,
            actor: Actor::Gateway.as_str().to_owned(),
            user: Some(user),
            name: None,
            session: Some(session),
            address: Some(address),
            cause: Some(pattern.to_owned()),
            request_id,
            times: 1,
        });
    }

    /// Writes what is waiting. Returns `false` when the vault does not respond; it stays waiting then.
    async fn write_failures(&self, now: Monotonic) -> bool {
        let (events, summaries) = self.failures.take(now);
        if events.is_empty() {
            return true;
        }
        let written = self.at_vault(self.parts.vault.trail.record(&events)).await;
        let counted = &self.parts.metrics.audit.events;
        match written {
            Ok(()) => {
                counted.of(AuditEvents::Recorded).inc_by((events.len() - summaries) as u64);
                let summed: u64 =
                    events.iter().rev().take(summaries).map(|event| u64::from(event.times)).sum();
                counted.of(AuditEvents::Summarized).inc_by(summed);
                true
            }
            Err(error) => {
                tracing::debug!(%error, events = events.len(), "audit events are written later");
                let lost = self.failures.put_back(events);
                counted.of(AuditEvents::Lost).inc_by(lost);
                false
            }
        }
    }

    /// Writes what is waiting before the gateway ends.
    pub async fn settle_audit(&self) {
        self.failures.close();
        let writing = self.write_failures(self.parts.clock.monotonic());
        if tokio::time::timeout(STOP_TIMEOUT, writing).await != Ok(true) {
            let lost = self.failures.lost();
            self.parts.metrics.audit.events.of(AuditEvents::Lost).inc_by(lost);
            tracing::warn!(
                reason = "audit_events_lost",
                events = lost,
                "refused attempts of the last seconds are not in the audit trail: the vault does not respond"
            );
        }
    }
}

/// Writes refused attempts; never returns.
pub async fn write_audit(auth: Arc<Auth>) {
    loop {
        auth.failures.added().await;
        tokio::time::sleep(GATHER_TIME).await;
        while !auth.write_failures(auth.parts.clock.monotonic()).await {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Links the rows of the audit trail, and deletes those whose time is over; never returns.
pub async fn keep_audit(auth: Arc<Auth>, settings: impl Fn() -> Settings) {
    let key = ChainKey::new(&auth.parts.master.derive(ChainKey::DERIVATION));
    let mut keeper = Keeper { last: None, is_broken: false };
    let mut pruned_at: Option<Monotonic> = None;
    loop {
        tokio::time::sleep(LINK_INTERVAL).await;
        let now = auth.parts.clock.monotonic();
        let linked = auth.link_audit(&key, &mut keeper).await;
        let mut result = linked;
        if result.is_ok() && pruned_at.is_none_or(|at| now.since(at) >= PRUNE_INTERVAL) {
            pruned_at = Some(now);
            result = auth.prune_audit(&key, settings().audit_retention).await;
        }
        keeper.report(&auth, result);
    }
}

/// State of the job that keeps the chain.
struct Keeper {
    /// Last head that this gateway has seen.
    last: Option<ChainPoint>,
    /// The message about a break was written.
    is_broken: bool,
}

impl Keeper {
    /// Writes the first failure of each kind to the log.
    fn report(&mut self, auth: &Auth, result: Result<(), VaultError>) {
        let broken = &auth.parts.metrics.audit.broken;
        match result {
            Err(VaultError::Damaged(cause)) => {
                broken.set(1);
                if !std::mem::replace(&mut self.is_broken, true) {
                    tracing::error!(
                        reason = "audit_chain_broken",
                        cause,
                        "the audit trail was altered outside of doorward: its rows are not linked until it is restored"
                    );
                }
            }
            Err(error) => tracing::debug!(%error, "audit rows are linked later"),
            Ok(()) if self.is_broken => {}
            Ok(()) => broken.set(0),
        }
    }

    /// Notes the head that was read. It never goes back, unless somebody has put back an older one.
    fn see(&mut self, auth: &Auth, head: ChainPoint) {
        let went_back = self.last.is_some_and(|last| {
            head.position < last.position || head.position == last.position && head.digest != last.digest
        });
        if went_back {
            self.is_broken = true;
            auth.parts.metrics.audit.broken.set(1);
            tracing::error!(
                reason = "audit_chain_went_back",
                head = %head,
                last = self.last.map(tracing::field::display),
                "the audit trail ends before a row that this gateway has linked: an older state of the vault was put back"
            );
        }
        self.last = Some(head);
    }
}

impl Auth {
    async fn link_audit(&self, key: &ChainKey, keeper: &mut Keeper) -> Result<(), VaultError> {
        while self.vault_at_hand().is_ok() {
            let linked = self.at_vault(self.parts.vault.trail.link(key, LINK_BATCH)).await?;
            self.parts.metrics.audit.linked.inc_by(linked.rows);
            if let Some(head) = linked.head {
                keeper.see(self, head);
            }
            if linked.rows < u64::from(LINK_BATCH) {
                break;
            }
        }
        Ok(())
    }

    async fn prune_audit(&self, key: &ChainKey, keep: Duration) -> Result<(), VaultError> {
        while self.vault_at_hand().is_ok() {
            let pruned = self.at_vault(self.parts.vault.trail.prune(key, keep, PRUNE_BATCH)).await?;
            if pruned < u64::from(PRUNE_BATCH) {
                break;
            }
        }
        Ok(())
    }
}
