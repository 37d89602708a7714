//! State of the model: the vault's log, the session store, the gateways, and at most one request in flight.
//!
//! Ages saturate, so that the state space is finite without a limit on the length of a run.

/// `Lease::length` in ticks (src/auth/session/lease.rs). A tick is the pause between two reads of the log: a quarter of the
/// lease in the code, a third here, which finds the same with a third of the states.
pub(crate) const LEASE: u8 = 3;
/// Maximum sleep in ticks since the last proof that is no pause (`Pauses::gap`, src/auth/session/pauses.rs).
pub(crate) const HALF_LEASE: u8 = LEASE / 2;
/// Failed reads that end a pause (`FAILURES`).
pub(crate) const FAILURES: u8 = 2;
/// Number of confirmations for one request (`CONFIRMATIONS`, src/auth/session/authenticate.rs): two here, since a third finds
/// nothing that a second does not.
pub(crate) const CONFIRMATIONS: u8 = 2;

/// Contents of the session's key in the session store, as `Lookup` (src/session/mod.rs).
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Entry {
    Absent,
    Live,
    Tombstone,
}

/// The session store.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) entry: Entry,
    pub(crate) is_writable: bool,
    /// A tombstone was lost.
    pub(crate) lost_tombstone: bool,
}

impl Store {
    /// `SessionStore::revoke`. Returns whether the store accepted it.
    pub(crate) fn revoke(&mut self) -> bool {
        if self.is_writable {
            self.entry = Entry::Tombstone;
        }
        self.is_writable
    }

    /// `SessionStore::fill`.
    pub(crate) fn fill(&mut self, only_absent: bool) {
        if self.is_writable && (self.entry == Entry::Absent || !only_absent) {
            self.entry = Entry::Live;
        }
    }

    /// Loses an acknowledged write, or everything.
    pub(crate) fn lose(&mut self, entry: Entry) {
        self.lost_tombstone |= self.entry == Entry::Tombstone;
        self.entry = entry;
    }
}

/// Row of the session in the revocation log.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Row {
    Absent,
    /// Written by a transaction that is still open: it has its number already.
    Open,
    Committed,
}

/// Process that ends the session.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Revoker {
    Gateway(usize),
    /// Another gateway, which no fault concerns.
    Other,
    /// It has no session store, and so writes no tombstone.
    CommandLine,
}

/// `Auth::revoke` (src/auth/session/revoke.rs), from the first statement to the response.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Revocation {
    None,
    Written(Revoker),
    /// Committed by a gateway that has not applied it yet.
    Committed(usize),
    /// `since`: ticks since the response. `is_complete`: `Propagation::Complete`.
    Acknowledged {
        since: u8,
        is_complete: bool,
    },
}

/// A read of the log in flight (`feed::step`). Its result is that of the moment at which it was sent.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Read {
    /// Ticks since it was sent.
    pub(crate) age: u8,
    /// Ticks of these that the gateway slept, up to one more than `HALF_LEASE`.
    pub(crate) slept: u8,
    /// It was sent after the last pause.
    pub(crate) is_after_pause: bool,
    pub(crate) has_row: bool,
    /// Its connection died during a pause.
    pub(crate) is_broken: bool,
}

/// One gateway process.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Gateway {
    /// The session is in the revocation list (`LiveSessions`).
    pub(crate) is_listed: bool,
    /// `Slot::confirm` was called.
    pub(crate) is_confirmed: bool,
    /// `Lease::unproven_for`; `None` before the first proof.
    pub(crate) unproven: Option<u8>,
    /// Ticks slept since the last proof was sent, up to one more than `HALF_LEASE`.
    pub(crate) slept: u8,
    /// `Pauses::is_waking`: a pause was noticed, and is not over.
    pub(crate) is_waking: bool,
    /// Ticks awake since that pause.
    pub(crate) awake: u8,
    /// Failed reads since that pause (`Failures`).
    pub(crate) failures: u8,
    pub(crate) read: Option<Read>,
    /// The feed's kept connection died during a pause.
    pub(crate) has_broken_connection: bool,
    /// `PendingTombstones` contains the session.
    pub(crate) has_pending_tombstone: bool,
    /// The cursor has passed the row without seeing it.
    pub(crate) has_skipped_row: bool,
    pub(crate) reaches_vault: bool,
    pub(crate) reaches_store: bool,
    pub(crate) is_paused: bool,
    /// Ghost: the vault was away from this gateway, and no read has succeeded since.
    pub(crate) was_cut_off: bool,
}

impl Gateway {
    /// A process that has just started and has read the log once, or not yet.
    pub(crate) const fn started(unproven: Option<u8>) -> Self {
        Self {
            is_listed: false,
            is_confirmed: false,
            unproven,
            slept: 0,
            is_waking: false,
            awake: 0,
            failures: 0,
            read: None,
            has_broken_connection: false,
            has_pending_tombstone: false,
            has_skipped_row: false,
            reaches_vault: true,
            reaches_store: true,
            is_paused: false,
            was_cut_off: false,
        }
    }

    /// `Lease::is_held`.
    pub(crate) fn holds_lease(&self) -> bool {
        self.unproven.is_some_and(|ticks| ticks < LEASE)
    }
}

/// Evidence for the session, as `ConfirmedBy` (src/auth/session/authenticate.rs).
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum ConfirmedBy {
    /// The vault, now or earlier, under the lease.
    Vault,
    SessionStore,
}

/// End of a request.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Outcome {
    Forwarded(ConfirmedBy),
    /// 401.
    Revoked,
    /// 503.
    Undecided,
}

/// Part of the check that waits.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Caller {
    /// `Auth::confirm`.
    Confirm,
    /// `Auth::recheck_lease`.
    RecheckLease,
}

/// Stage of a request. A reply has the contents of the moment of the query, which is the worst case.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Stage {
    /// `Pauses::until_awake`.
    Waking(Caller),
    /// `SessionStore::check`; `None`: an error or a timeout. `lease_held`: at the time of the query.
    StoreReplied {
        caller: Caller,
        lease_held: bool,
        reply: Option<Entry>,
    },
    /// `Auth::look_up_in_vault`: whether the session is live; `None`: the lookup failed. `stays_good`: then an earlier confirmation
    /// counts.
    VaultReplied {
        is_live: Option<bool>,
        stays_good: bool,
    },
    /// `Auth::authenticate` returned; the connection to the app is being made.
    Admitted,
    Done(Outcome),
}

/// The request in flight.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) gateway: usize,
    pub(crate) stage: Stage,
    /// A pause was noticed since the session store was asked.
    pub(crate) is_old: bool,
    /// Confirmations that did not hold after their waits.
    pub(crate) attempts: u8,
}

/// State of everything.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) row: Row,
    pub(crate) revocation: Revocation,
    pub(crate) store: Store,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) request: Option<Request>,
    /// Number of faults still to come.
    pub(crate) faults: u8,
}
