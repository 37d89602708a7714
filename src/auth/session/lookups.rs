//! Lookups of sessions in the vault: in order of arrival, many in one statement.
//!
//! A gateway that starts while Redis has lost its data must ask the vault about every session in use. One statement for
//! each would keep the vault from serving logins and refreshes, or leave most requests without a response. Here up to
//! [`BATCH`] sessions share a statement, and statements begin at least [`PAUSE`] apart. A lookup without others before it
//! begins at once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::auth::answered;
use crate::auth::session::granted::{fill, learn};
use crate::auth::session::live::Slot;
use crate::clock::{Clock, Timestamp};
use crate::id::{SessionId, UserId};
use crate::identity::Login;
use crate::session::SessionStore;
use crate::vault::{SessionRow, SessionUse, Vault, VaultError};

/// Maximum number of sessions in one statement. More would delay the first of them.
const BATCH: usize = 256;

/// Minimum time from the begin of one statement to that of the next: 12,800 sessions a second for each gateway, with
/// 50 statements.
const PAUSE: Duration = Duration::from_millis(20);

/// Maximum number of statements at a time: one that hangs does not hold up the others.
const MAX_STATEMENTS: usize = 4;

/// Maximum number of waiting sessions: 0.64 s at full speed. More would get their response after [`MAX_WAIT`].
const MAX_WAITING: usize = 8192;

/// Number of waiting sessions beyond which a caller that can be served without the response does not join.
const MAX_WAITING_IN_PASSING: usize = BATCH / 2;

/// Maximum wait for a response: shorter than clients wait for one.
const MAX_WAIT: Duration = Duration::from_millis(900);

/// Result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VaultLookup {
    /// The session is live and belongs to this user.
    Live(UserId, Login),
    /// It has ended, or never existed.
    Ended,
    /// The vault did not respond, or not yet.
    Unavailable,
    /// Too many sessions are waiting.
    Busy,
}

/// A session to be looked up.
pub(crate) struct Wanted {
    pub(crate) slot: Arc<Slot>,
    /// Time until which the session store keeps the record: the end of the token.
    pub(crate) until: Timestamp,
    /// Use that must be written first, or the vault would report the session as ended.
    pub(crate) overdue: Option<SessionUse>,
}

/// Stage of a lookup.
enum Stage {
    Waiting,
    /// Its statement was sent.
    Asked,
    /// The vault has confirmed it. The session store is being written, which has time limits of its own.
    Confirmed,
    Done(VaultLookup),
}

type Sender = watch::Sender<Stage>;
type Receiver = watch::Receiver<Stage>;

struct Waiting {
    wanted: Wanted,
    result: Sender,
}

struct Queue {
    waiting: VecDeque<Waiting>,
    /// Sessions that wait or are being looked up.
    results: HashMap<SessionId, Receiver>,
    is_running: bool,
    /// Time before which no statement begins.
    next_at: Instant,
}

/// The waiting lookups.
pub(crate) struct Lookups {
    queue: Mutex<Queue>,
    statements: Arc<Semaphore>,
    vault: Vault,
    sessions: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    vault_lost: watch::Receiver<bool>,
}

impl Lookups {
    pub(crate) fn new(
        vault: &Vault,
        sessions: &Arc<dyn SessionStore>,
        clock: &Arc<dyn Clock>,
        vault_lost: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let queue = Queue {
            waiting: VecDeque::new(),
            results: HashMap::new(),
            is_running: false,
            next_at: Instant::now(),
        };
        Arc::new(Self {
            queue: Mutex::new(queue),
            statements: Arc::new(Semaphore::new(MAX_STATEMENTS)),
            vault: vault.clone(),
            sessions: Arc::clone(sessions),
            clock: Arc::clone(clock),
            vault_lost,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a session up, together with other callers that wait for it. With `in_passing` the caller can be served
    /// without the result, and joins only a short queue. `None` when the lookup panicked.
    pub(crate) async fn look_up(self: &Arc<Self>, wanted: Wanted, in_passing: bool) -> Option<VaultLookup> {
        let Some(mut result) = self.join(wanted, in_passing) else { return Some(VaultLookup::Busy) };
        let answered = result.wait_for(|stage| matches!(stage, Stage::Confirmed | Stage::Done(_)));
        if let Ok(Err(_)) = timeout(MAX_WAIT, answered).await {
            // The sender is gone.
            return None;
        }
        match &*result.borrow() {
            Stage::Waiting => return Some(VaultLookup::Busy),
            Stage::Asked => return Some(VaultLookup::Unavailable),
            Stage::Confirmed | Stage::Done(_) => {}
        }
        // A confirmed session is not refused because the session store is slow.
        let done = result.wait_for(|stage| matches!(stage, Stage::Done(_))).await.ok()?;
        if let Stage::Done(lookup) = &*done { Some(lookup.clone()) } else { None }
    }

    /// Adds a session to the queue, if there is room.
    fn join(self: &Arc<Self>, wanted: Wanted, in_passing: bool) -> Option<Receiver> {
        let id = wanted.slot.id();
        let mut queue = self.queue();
        let max = if in_passing { MAX_WAITING_IN_PASSING } else { MAX_WAITING };
        let is_full = queue.waiting.len() >= max;
        // One whose sender is gone belongs to a lookup that panicked.
        let known = queue.results.get(&id).filter(|result| result.has_changed().is_ok());
        if let Some(result) = known {
            let must_wait = matches!(*result.borrow(), Stage::Waiting);
            return (!in_passing || !must_wait || !is_full).then(|| result.clone());
        }
        if is_full {
            return None;
        }
        let (sender, receiver) = watch::channel(Stage::Waiting);
        queue.waiting.push_back(Waiting { wanted, result: sender });
        queue.results.insert(id, receiver.clone());
        if !std::mem::replace(&mut queue.is_running, true) {
            tokio::spawn(Arc::clone(self).run());
        }
        Some(receiver)
    }

    /// Looks sessions up until none waits.
    async fn run(self: Arc<Self>) {
        loop {
            let Ok(permit) = Arc::clone(&self.statements).acquire_owned().await else { return };
            let next_at = self.queue().next_at;
            sleep_until(next_at).await;
            let Some(batch) = self.take() else { return };
            let forget = Forget {
                lookups: Arc::clone(&self),
                ids: batch.iter().map(|one| one.wanted.slot.id()).collect(),
            };
            let this = Arc::clone(&self);
            // In a task of its own: a panic ends only this batch, and its callers learn of it.
            tokio::spawn(async move {
                this.look_up_all(batch).await;
                drop((forget, permit));
            });
        }
    }

    /// Takes the sessions that have waited longest. Those with use to write are not taken together with others, which
    /// need not wait for a lock on a row; where both wait, those of the first's kind go first.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        let writes = queue.waiting.front().map(|first| first.wanted.overdue.is_some());
        let count = queue.waiting.len().min(2 * BATCH);
        let (mut batch, mut others) = (Vec::new(), Vec::new());
        for next in queue.waiting.drain(..count) {
            let is_alike = Some(next.wanted.overdue.is_some()) == writes;
            if is_alike && batch.len() < BATCH { batch.push(next) } else { others.push(next) }
        }
        for other in others.into_iter().rev() {
            queue.waiting.push_front(other);
        }
        queue.is_running = !batch.is_empty();
        if queue.is_running {
            queue.next_at = Instant::now() + PAUSE;
        }
        queue.is_running.then_some(batch)
    }

    /// Gives the callers their result. Removed first: a later caller starts a new lookup.
    fn finish(&self, id: SessionId, sender: &Sender, result: VaultLookup) {
        self.queue().results.remove(&id);
        sender.send_replace(Stage::Done(result));
    }

    async fn look_up_all(self: Arc<Self>, batch: Vec<Waiting>) {
        let requested_at = self.clock.monotonic();
        let rows = match self.find(&batch).await {
            Ok(rows) => rows,
            Err(error) => {
                let sessions = batch.len();
                if let VaultError::Unavailable(cause) = error {
                    tracing::warn!(
                        reason = "session_unanswered",
                        cause,
                        sessions,
                        "the vault does not respond to a session lookup"
                    );
                } else {
                    tracing::error!(
                        reason = "session_unanswerable",
                        cause = %error,
                        sessions,
                        "a session lookup in the vault failed"
                    );
                }
                for Waiting { wanted, result } in batch {
                    self.finish(wanted.slot.id(), &result, VaultLookup::Unavailable);
                }
                return;
            }
        };
        // The session store writes those of a batch together.
        let mut fills = JoinSet::new();
        for Waiting { wanted, result } in batch {
            let (slot, id) = (&wanted.slot, wanted.slot.id());
            let Some(row) = rows.get(&id).filter(|row| row.live) else {
                slot.end().mark_ended();
                self.finish(id, &result, VaultLookup::Ended);
                continue;
            };
            let grant = row.grant.clone();
            learn(slot, &grant);
            slot.confirm(requested_at);
            result.send_replace(Stage::Confirmed);
            let this = Arc::clone(&self);
            fills.spawn(async move {
                fill(this.sessions.as_ref(), id, &grant, wanted.until).await;
                this.finish(id, &result, VaultLookup::Live(grant.user_id, grant.login));
            });
        }
        // A panic in one must not abort the others.
        while fills.join_next().await.is_some() {}
    }

    async fn find(&self, batch: &[Waiting]) -> Result<HashMap<SessionId, SessionRow>, VaultError> {
        for waiting in batch {
            waiting.result.send_replace(Stage::Asked);
        }
        let overdue: Vec<_> = batch.iter().filter_map(|waiting| waiting.wanted.overdue).collect();
        if !overdue.is_empty() {
            let ends = answered(self.vault_lost.clone(), self.vault.sessions.touch(&overdue)).await?;
            let written = batch.iter().filter_map(|waiting| {
                waiting.wanted.overdue.as_ref().map(|overdue| (&waiting.wanted.slot, overdue))
            });
            for (slot, overdue) in written {
                slot.end().settle(overdue, &ends);
            }
        }
        let ids: Vec<_> = batch.iter().map(|waiting| waiting.wanted.slot.id()).collect();
        let rows = answered(self.vault_lost.clone(), self.vault.sessions.find_many(&ids)).await?;
        Ok(rows.into_iter().map(|row| (row.grant.session_id, row)).collect())
    }
}

/// Removes the sessions of a batch from the table, however the batch ends.
struct Forget {
    lookups: Arc<Lookups>,
    ids: Vec<SessionId>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        let mut queue = self.lookups.queue();
        for id in &self.ids {
            // A result that still has a sender belongs to a later lookup.
            if queue.results.get(id).is_some_and(|result| result.has_changed().is_err()) {
                queue.results.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
