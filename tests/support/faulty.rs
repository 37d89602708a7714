//! Real stores with injected delays, errors and panics. Every call still reaches the real store; nothing is mocked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use doorward::clock::Timestamp;
use doorward::id::{SessionId, UserId};
use doorward::identity::Login;
use doorward::server::Stores;
use doorward::session::attempts::{Attempt, BucketKey, Charged};
use doorward::session::{Lookup, Record, SessionStore, SessionStoreError};
use doorward::vault::{
    Cursor, EndReason, Ended, Grant, ImportMode, Imported, KeyTable, Keys, LogPage, NewKey, NewSession,
    NewUser, PasswordCount, Presented, RevocationLog, Rotation, Scope, SessionPage, SessionRow, SessionUse,
    Sessions, User, UserChange, UserKey, Users, VaultError,
};
use tokio::sync::{Semaphore, watch};

/// A method of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    CreateUser,
    FindUser,
    ListUsers,
    ChangeUser,
    OpenSession,
    Rotate,
    Renew,
    Touch,
    FindSession,
    ListSessions,
    Revoke,
    ReadLog,
    LoadKeys,
    AddKeys,
    Check,
    Fill,
    Extend,
    Tombstone,
    Charge,
    Refund,
    Forget,
}

impl Op {
    /// All operations that query the vault.
    pub(crate) const VAULT: [Self; 14] = [
        Self::CreateUser,
        Self::FindUser,
        Self::ListUsers,
        Self::ChangeUser,
        Self::OpenSession,
        Self::Rotate,
        Self::Renew,
        Self::Touch,
        Self::FindSession,
        Self::ListSessions,
        Self::Revoke,
        Self::ReadLog,
        Self::LoadKeys,
        Self::AddKeys,
    ];
    /// All operations that query the session store.
    pub(crate) const SESSION_STORE: [Self; 7] =
        [Self::Check, Self::Fill, Self::Extend, Self::Tombstone, Self::Charge, Self::Refund, Self::Forget];
}

/// A barrier that holds one call.
pub(crate) struct Gate {
    arrived: watch::Sender<bool>,
    open: Semaphore,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { arrived: watch::Sender::new(false), open: Semaphore::new(0) })
    }

    async fn pass(&self) {
        self.arrived.send_replace(true);
        // Closing the semaphore opens the gate.
        let _ = self.open.acquire().await;
    }

    /// Resolves when a call waits at this gate.
    pub(crate) async fn until_reached(&self) {
        let mut arrived = self.arrived.subscribe();
        let reached = tokio::time::timeout(Duration::from_secs(30), arrived.wait_for(|there| *there)).await;
        reached.expect("the call comes to the gate").expect("the gate is there");
    }

    /// Lets the call continue.
    pub(crate) fn open(&self) {
        self.open.close();
    }
}

enum Fault {
    /// Fails every call from now on.
    Fail,
    /// Panics in the next call.
    Panic,
    /// Holds the next call before it reaches the real store.
    Before(Arc<Gate>),
    /// Holds every call from now on before it reaches the real store.
    BeforeEach(Arc<Gate>),
    /// Holds the next call after the real store has responded.
    After(Arc<Gate>),
}

/// Controls the faults of one gateway's stores.
#[derive(Default)]
pub(crate) struct Faults {
    faults: Mutex<HashMap<Op, Fault>>,
    calls: Mutex<HashMap<Op, usize>>,
    real: OnceLock<Stores>,
}

impl Faults {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Wraps the stores, for [`super::Setup`].
    pub(crate) fn wrap(self: &Arc<Self>) -> Box<dyn FnOnce(Stores) -> Stores + Send> {
        let faults = Arc::clone(self);
        Box::new(move |real| {
            let stores = Arc::new(Faulty { real: real.clone(), faults: Arc::clone(&faults) });
            let mut vault = real.vault.clone();
            vault.users = stores.clone();
            vault.sessions = stores.clone();
            vault.log = stores.clone();
            vault.keys = stores.clone();
            assert!(faults.real.set(real.clone()).is_ok(), "for one gateway");
            Stores { vault, sessions: stores, ..real }
        })
    }

    /// Fails these operations until [`Faults::heal`].
    pub(crate) fn fail(&self, ops: &[Op]) {
        let mut faults = self.faults.lock().expect("not poisoned");
        faults.extend(ops.iter().map(|op| (*op, Fault::Fail)));
    }

    /// Panics in the next call of `op`.
    pub(crate) fn panic(&self, op: Op) {
        self.faults.lock().expect("not poisoned").insert(op, Fault::Panic);
    }

    /// Holds the next call before it reaches the real store.
    pub(crate) fn hold_before(&self, op: Op) -> Arc<Gate> {
        let gate = Gate::new();
        self.faults.lock().expect("not poisoned").insert(op, Fault::Before(Arc::clone(&gate)));
        gate
    }

    /// Holds every call before it reaches the real store, until the gate is opened.
    pub(crate) fn hold_every(&self, op: Op) -> Arc<Gate> {
        let gate = Gate::new();
        self.faults.lock().expect("not poisoned").insert(op, Fault::BeforeEach(Arc::clone(&gate)));
        gate
    }

    /// Holds the next call after the real store has responded.
    pub(crate) fn hold_after(&self, op: Op) -> Arc<Gate> {
        let gate = Gate::new();
        self.faults.lock().expect("not poisoned").insert(op, Fault::After(Arc::clone(&gate)));
        gate
    }

    /// Removes all faults.
    pub(crate) fn heal(&self) {
        self.faults.lock().expect("not poisoned").clear();
    }

    /// Number of calls so far.
    pub(crate) fn calls(&self, op: Op) -> usize {
        self.calls.lock().expect("not poisoned").get(&op).copied().unwrap_or(0)
    }

    /// The wrapped stores, without faults.
    pub(crate) fn real(&self) -> &Stores {
        self.real.get().expect("the gateway was started with these")
    }

    fn next(&self, op: Op) -> Option<Fault> {
        *self.calls.lock().expect("not poisoned").entry(op).or_default() += 1;
        let mut faults = self.faults.lock().expect("not poisoned");
        match faults.get(&op) {
            Some(Fault::Fail) => Some(Fault::Fail),
            Some(Fault::BeforeEach(gate)) => Some(Fault::BeforeEach(Arc::clone(gate))),
            _ => faults.remove(&op),
        }
    }

    async fn run<T, E>(
        &self,
        op: Op,
        unavailable: impl FnOnce(String) -> E,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.next(op) {
            None => work.await,
            Some(Fault::Fail) => Err(unavailable("as told".to_owned())),
            Some(Fault::Panic) => panic!("as told, in {op:?}"),
            Some(Fault::Before(gate) | Fault::BeforeEach(gate)) => {
                gate.pass().await;
                work.await
            }
            Some(Fault::After(gate)) => {
                let done = work.await;
                gate.pass().await;
                done
            }
        }
    }
}

struct Faulty {
    real: Stores,
    faults: Arc<Faults>,
}

impl Faulty {
    async fn vault<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, VaultError>>,
    ) -> Result<T, VaultError> {
        self.faults.run(op, VaultError::Unavailable, work).await
    }

    async fn store<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, SessionStoreError>>,
    ) -> Result<T, SessionStoreError> {
        self.faults.run(op, SessionStoreError, work).await
    }
}

#[async_trait]
impl Users for Faulty {
    async fn create(&self, new: &NewUser) -> Result<(), VaultError> {
        self.vault(Op::CreateUser, self.real.vault.users.create(new)).await
    }

    async fn import(&self, users: &[NewUser], mode: ImportMode) -> Result<Vec<Imported>, VaultError> {
        self.vault(Op::CreateUser, self.real.vault.users.import(users, mode)).await
    }

    async fn count_passwords(&self) -> Result<Vec<PasswordCount>, VaultError> {
        self.vault(Op::ListUsers, self.real.vault.users.count_passwords()).await
    }

    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError> {
        self.vault(Op::FindUser, self.real.vault.users.find(key)).await
    }

    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError> {
        self.vault(Op::ListUsers, self.real.vault.users.list(after, limit)).await
    }

    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError> {
        self.vault(Op::ChangeUser, self.real.vault.users.change(id, change)).await
    }
}

#[async_trait]
impl Sessions for Faulty {
    async fn open(&self, session: &NewSession) -> Result<Grant, VaultError> {
        self.vault(Op::OpenSession, self.real.vault.sessions.open(session)).await
    }

    async fn replace(&self, old: SessionId, new: &NewSession) -> Result<(Grant, Ended), VaultError> {
        self.vault(Op::OpenSession, self.real.vault.sessions.replace(old, new)).await
    }

    async fn rotate(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        self.vault(Op::Rotate, self.real.vault.sessions.rotate(presented)).await
    }

    async fn renew(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        self.vault(Op::Renew, self.real.vault.sessions.renew(presented)).await
    }

    async fn touch(&self, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, VaultError> {
        self.vault(Op::Touch, self.real.vault.sessions.touch(uses)).await
    }

    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError> {
        self.vault(Op::FindSession, self.real.vault.sessions.find(id)).await
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<SessionRow>, VaultError> {
        self.vault(Op::FindSession, self.real.vault.sessions.find_many(ids)).await
    }

    async fn list(&self, user: Option<UserId>, page: SessionPage) -> Result<Vec<SessionRow>, VaultError> {
        self.vault(Op::ListSessions, self.real.vault.sessions.list(user, page)).await
    }

    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError> {
        self.vault(Op::Revoke, self.real.vault.sessions.revoke(scope, reason)).await
    }
}

#[async_trait]
impl RevocationLog for Faulty {
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.vault(Op::ReadLog, self.real.vault.log.read(after)).await
    }

    async fn wait_for_change(&self) {
        self.real.vault.log.wait_for_change().await;
    }
}

#[async_trait]
impl Keys for Faulty {
    async fn load(&self) -> Result<KeyTable, VaultError> {
        self.vault(Op::LoadKeys, self.real.vault.keys.load()).await
    }

    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError> {
        self.vault(Op::AddKeys, self.real.vault.keys.add(keys, only_first)).await
    }
}

#[async_trait]
impl SessionStore for Faulty {
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError> {
        self.store(Op::Check, self.real.sessions.check(id)).await
    }

    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError> {
        self.store(Op::Fill, self.real.sessions.fill(id, record, keep)).await
    }

    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        self.store(Op::Extend, self.real.sessions.extend(id, keep)).await
    }

    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        self.store(Op::Tombstone, self.real.sessions.revoke(id, keep)).await
    }

    async fn charge(&self, attempt: &Attempt) -> Result<Charged, SessionStoreError> {
        self.store(Op::Charge, self.real.sessions.charge(attempt)).await
    }

    async fn refund(&self, attempt: &Attempt) -> Result<(), SessionStoreError> {
        self.store(Op::Refund, self.real.sessions.refund(attempt)).await
    }

    async fn forget(&self, accounts: &[BucketKey], buckets: &[BucketKey]) -> Result<(), SessionStoreError> {
        self.store(Op::Forget, self.real.sessions.forget(accounts, buckets)).await
    }

    fn is_shared(&self) -> bool {
        self.real.sessions.is_shared()
    }
}
