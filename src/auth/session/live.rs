//! Sessions in use and the revocation list, in one table, so that a revocation finds every request of its session.
//!
//! A request registers with its session's [`Slot`] *before* any session state is read, and checks the slot *after* its
//! last wait. A revocation marks the slot first and then cuts the registered requests. In either order one of them sees
//! the other: the request finds the mark, or the revocation finds the request.
//!
//! ```text
//!  request:     register(slot) ... read stores ... slot revoked? -> forward ... headers arrive, slot revoked?
//!  revocation:  set insert -> mark slot -> cut every registered request
//! ```

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use crate::auth::session::control::{Control, Cut, Progress};
use crate::auth::session::requests::Requests;
use crate::auth::session::session_end::SessionEnd;
use crate::clock::{Monotonic, Timestamp};
use crate::guard;
use crate::id::{SessionId, UserId};
use crate::identity::RightsVersion;

mod slots;

use slots::{OfSession, Others, Slots};

/// Number of shards: enough that two cores seldom contend for one lock.
const SHARDS: usize = 64;

/// State of one session on this gateway, shared by its cached tokens and its requests.
#[derive(Debug)]
pub(crate) struct Slot {
    id: SessionId,
    revoked: AtomicBool,
    /// Whether the session is in the list of busy sessions. Changed only while `requests` is locked.
    listed: AtomicBool,
    /// Monotonic milliseconds plus one; 0 = never.
    confirmed: AtomicU64,
    end: SessionEnd,
    /// First half of the owner's id, once a store has named the owner; 0 before. Tokens bind session and user already.
    owner: AtomicU64,
    requests: Mutex<Requests>,
    table: Weak<LiveSessions>,
}

impl Slot {
    /// Returns whether the session is in the revocation list.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// Records that a store has confirmed the session as live.
    pub(crate) fn confirm(&self, now: Monotonic) {
        self.confirmed.fetch_max(now.millis() + 1, Ordering::AcqRel);
    }

    /// Returns the time since the last confirmation; `None` before the first.
    pub(crate) fn confirmed_for(&self, now: Monotonic) -> Option<Duration> {
        match self.confirmed.load(Ordering::Acquire) {
            0 => None,
            at => Some(now.since(Monotonic::from_millis(at - 1))),
        }
    }

    /// Returns the end of the session.
    pub(crate) const fn end(&self) -> &SessionEnd {
        &self.end
    }

    /// Returns whether a store has said that the session belongs to `user`.
    pub(crate) fn belongs_to(&self, user: UserId) -> bool {
        self.owner.load(Ordering::Acquire) == half(user)
    }

    pub(crate) fn set_owner(&self, user: UserId) {
        // The value is the same for all callers that read it from a store.
        self.owner.store(half(user), Ordering::Release);
    }

    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    /// Registers a request until the registration is dropped. Check the slot afterwards.
    pub(crate) fn register(
        self: &Arc<Self>,
        control: &Arc<Control>,
        user_id: UserId,
        rights: RightsVersion,
    ) -> Registration {
        control.set_admission(user_id, rights);
        let (key, was_listed) = {
            let mut requests = lock(&self.requests);
            let key = requests.insert(Arc::clone(control));
            (key, self.listed.swap(true, Ordering::Relaxed))
        };
        if !was_listed && let Some(table) = self.table.upgrade() {
            lock(table.busy_of(self.id)).push(Arc::downgrade(self));
        }
        Registration { slot: Arc::clone(self), key }
    }

    fn revoke_and_cut(&self) {
        self.revoked.store(true, Ordering::SeqCst);
        if !guard::is_off("recheck") {
            self.cut(Cut::Revoked);
        }
    }

    fn cut(&self, cause: Cut) {
        for control in lock(&self.requests).iter() {
            control.cut(cause);
        }
    }

    fn cut_streams(&self, cause: Cut) {
        for control in lock(&self.requests).iter().filter(|control| control.progress() == Progress::Open) {
            control.cut(cause);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.shard(self.id).slots.remove(self);
        }
    }
}

/// A request registered under its session.
#[derive(Debug)]
pub struct Registration {
    slot: Arc<Slot>,
    key: usize,
}

impl Registration {
    /// Returns the id of the request's session.
    pub fn session_id(&self) -> SessionId {
        self.slot.id
    }

    pub(crate) const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Re-checks the revocation list.
    pub fn is_revoked(&self) -> bool {
        self.slot.is_revoked()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.slot.requests).remove(self.key);
    }
}

/// The sessions this gateway serves, and the revocation list.
#[derive(Debug)]
pub struct LiveSessions {
    shards: Vec<Mutex<Shard>>,
    /// Sessions with a request since the last scan, each listed once ([`Slot::listed`]). A scan of busy sessions
    /// then costs nothing for idle ones.
    busy: Vec<Mutex<Vec<Weak<Slot>>>>,
    rights: RwLock<HashMap<UserId, (RightsVersion, Timestamp)>>,
    /// Number of entries in `rights`. It is nearly always 0, and then no lock is taken.
    rights_changed: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    revoked: HashMap<SessionId, Timestamp>,
    slots: Slots<Slot>,
}

impl LiveSessions {
    /// Creates an empty table.
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            busy: (0..SHARDS).map(|_| Mutex::default()).collect(),
            rights: RwLock::default(),
            rights_changed: AtomicUsize::new(0),
        }
    }

    fn shard(&self, id: SessionId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[shard_index(id)])
    }

    fn busy_of(&self, id: SessionId) -> &Mutex<Vec<Weak<Slot>>> {
        &self.busy[shard_index(id)]
    }

    /// Returns the slot of a session and creates it if needed. A new slot is marked revoked if the set contains the
    /// session.
    pub(crate) fn slot(self: &Arc<Self>, id: SessionId) -> Arc<Slot> {
        // Dropped after the guard below.
        let mut others = Others::new();
        let mut shard = self.shard(id);
        if let Some(slot) = shard.slots.get(id, &mut others) {
            return slot;
        }
        let slot = Arc::new(Slot {
            id,
            revoked: AtomicBool::new(shard.revoked.contains_key(&id)),
            listed: AtomicBool::new(false),
            confirmed: AtomicU64::new(0),
            end: SessionEnd::default(),
            owner: AtomicU64::new(0),
            requests: Mutex::default(),
            table: Arc::downgrade(self),
        });
        shard.slots.insert(&slot);
        slot
    }

    /// Enters a revocation and cuts all requests of the session. Returns whether it is new in the set.
    pub(crate) fn revoke(&self, id: SessionId, until: Timestamp) -> bool {
        let mut others = Others::new();
        let (slot, is_new) = {
            let mut shard = self.shard(id);
            let is_new = !shard.revoked.contains_key(&id);
            let entry = shard.revoked.entry(id).or_insert(until);
            *entry = (*entry).max(until);
            (shard.slots.get(id, &mut others), is_new)
        };
        // Outside the shard's lock: dropping the last handle of a slot locks the shard again.
        if let Some(slot) = slot {
            slot.revoke_and_cut();
        }
        is_new
    }

    /// Enters a change of rights. Tokens of an older version are refused until refreshed, and requests and streams
    /// admitted with one are cut.
    pub(crate) fn change_rights(&self, user: UserId, rights: RightsVersion, until: Timestamp) {
        {
            let mut all = self.rights.write().unwrap_or_else(PoisonError::into_inner);
            let entry = all.entry(user).or_insert((rights, until));
            *entry = (entry.0.max(rights), entry.1.max(until));
            self.rights_changed.store(all.len(), Ordering::SeqCst);
        }
        // Changes of rights are rare, so every request is scanned. A request that registers now finds the entry above.
        for slot in self.busy() {
            for control in lock(&slot.requests).iter() {
                if control.was_admitted_with_less(user, rights) {
                    control.cut(Cut::RolesChanged);
                }
            }
        }
    }

    /// Returns whether this version of the user's rights is still valid.
    pub(crate) fn has_rights(&self, user: UserId, rights: RightsVersion) -> bool {
        guard::is_off("epoch") || self.rights_changed.load(Ordering::SeqCst) == 0 || {
            let all = self.rights.read().unwrap_or_else(PoisonError::into_inner);
            all.get(&user).is_none_or(|&(needed, _)| rights >= needed)
        }
    }

    /// Drops entries that no token needs any more.
    pub(crate) fn prune(&self, now: Timestamp) {
        for shard in &self.shards {
            lock(shard).revoked.retain(|_, until| *until > now);
        }
        let mut all = self.rights.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, until)| *until > now);
        self.rights_changed.store(all.len(), Ordering::SeqCst);
    }

    /// Returns the number of sessions with a slot.
    pub(crate) fn slot_count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).slots.len()).sum()
    }

    /// Returns the number of sessions in the revocation list.
    pub(crate) fn revoked(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).revoked.len()).sum()
    }

    /// Returns the sessions with at least one request or stream now. Idle sessions leave the list until their next
    /// request.
    pub(crate) fn busy(&self) -> Vec<Arc<Slot>> {
        let mut busy = Vec::new();
        for listed in &self.busy {
            lock(listed).retain(|slot| {
                let Some(slot) = slot.upgrade() else { return false };
                let requests = lock(&slot.requests);
                let is_busy = !requests.is_empty();
                slot.listed.store(is_busy, Ordering::Relaxed);
                drop(requests);
                if is_busy {
                    busy.push(slot);
                }
                is_busy
            });
        }
        busy
    }

    /// Cuts every request of one session, without revoking it.
    pub(crate) fn cut(slot: &Slot, cause: Cut) {
        slot.cut(cause);
    }

    /// Cuts the WebSockets and event streams of one session, without revoking it.
    pub(crate) fn cut_streams(slot: &Slot, cause: Cut) {
        slot.cut_streams(cause);
    }
}

impl OfSession for Slot {
    fn session_id(&self) -> SessionId {
        self.id
    }
}

/// Returns the first half of a user's id. Ids are random.
fn half(user: UserId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *user.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the shard of a session. Ids are random, so any byte spreads them.
fn shard_index(id: SessionId) -> usize {
    usize::from(id.as_bytes()[0]) % SHARDS
}

/// Locks and ignores poisoning. Every critical section is a single step on one map, so a panic leaves nothing
/// half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
