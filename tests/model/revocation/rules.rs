//! Rules and faults: the parameters of the model.

/// A rule of the code that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The list is checked after a request's last wait (`Auth::check_revocation`, `Context::recheck`).
    RecheckList,
    /// The lease is checked again when the connection to the app is made (`Auth::recheck_lease`).
    RecheckLease,
    /// The lease counts from the sending of the read, not from its return (`Lease::renew`).
    LeaseFromSending,
    /// A cursor is a snapshot, so a row that commits late is not skipped (src/vault/postgres/log.rs).
    CursorIsSnapshot,
    /// A record is written only where nothing is: `SET NX` (`SessionStore::fill`).
    FillOnlyAbsent,
    /// The tombstone is written before the response (`Auth::apply_revocation`).
    TombstoneFirst,
    /// An absent record is no sign of an end (`Lookup::Absent`).
    AbsentIsUndecided,
    /// After a pause, and without the lease, the session store confirms nothing until the vault has had its chance to answer
    /// (`Pauses::is_waking`, X01).
    PauseRule,
    /// A pause is noticed when it matters, not by a timer: a request may go on before the timer (`Pauses::observe`).
    PauseIsComputed,
    /// The read that ends a pause was sent after it (`Failures::record`).
    ReadAfterPause,
    /// The first failed read ends no pause: its connection may have died during the pause (`FAILURES`).
    SecondFailure,
    /// After the reply of the session store, `Auth::recheck_lease` checks pause and grace again.
    RecheckAfterReply,
    /// A reply counts only if no pause was noticed since the query, be it over or not.
    ReplyAfterPause,
    /// The clock of lease and pauses runs while the machine is suspended (`CLOCK_BOOTTIME`, src/clock.rs).
    ClockRunsOn,
    /// Sleep adds up since the last proof was sent, so that several short sleeps are a pause (`Pauses::observe`).
    SleepAddsUp,
}

/// The model. `off` is the guard that is switched off.
#[derive(Clone, Debug)]
pub(crate) struct Revocations {
    pub(crate) gateways: usize,
    pub(crate) faults: u8,
    /// `Settings::vault_outage_grace` in ticks: longer than the lease.
    pub(crate) outage_grace: u8,
    /// Kinds of faults.
    pub(crate) kinds: &'static [Fault],
    pub(crate) off: Option<Guard>,
}

impl Revocations {
    pub(super) fn has(&self, guard: Guard) -> bool {
        self.off != Some(guard)
    }
}

/// Kind of fault. Faults are counted, repairs are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A gateway is cut off from the vault.
    CutVault,
    /// A gateway is cut off from the session store.
    CutStore,
    /// A gateway stops, and goes on later: SIGSTOP, a suspended machine, a starved container.
    Pause,
    /// The feed's connection dies during a pause, though the vault can be reached.
    BreakConnection,
    /// A gateway is killed, and a new process starts.
    Kill,
    /// The session store loses everything.
    Flush,
    /// The session store loses an acknowledged tombstone, and has the record instead.
    FailOver,
    /// The session store refuses writes.
    RefuseWrites,
}

/// Faults of the session store.
pub(crate) const STORE: &[Fault] = &[Fault::CutStore, Fault::Flush, Fault::FailOver, Fault::RefuseWrites];

/// All faults.
pub(crate) const ALL: &[Fault] = &[
    Fault::CutVault,
    Fault::CutStore,
    Fault::Pause,
    Fault::BreakConnection,
    Fault::Kill,
    Fault::Flush,
    Fault::FailOver,
    Fault::RefuseWrites,
];
