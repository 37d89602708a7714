//! A wrapper around any vault that times and counts every query.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Audit, AuditEvent, Connections, Cursor, EndReason, Ended, Grant, KeyTable, Keys, LogPage, NewKey,
    NewSession, NewUser, Presented, RevocationLog, Rotation, Scope, SessionPage, SessionRow, SessionUse,
    Sessions, User, UserChange, UserKey, Users, Vault, VaultError,
};
use crate::clock::{Clock, Timestamp};
use crate::id::{SessionId, UserId};
use crate::identity::Login;
use crate::metrics::{Metrics, Statement};

/// Wraps a vault so that every query is timed and counted.
pub fn metered(vault: &Vault, metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>) -> Vault {
    fn one<T: ?Sized>(inner: &Arc<T>, metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>) -> Arc<Metered<T>> {
        Arc::new(Metered { inner: Arc::clone(inner), metrics: Arc::clone(metrics), clock: Arc::clone(clock) })
    }
    Vault {
        users: one(&vault.users, metrics, clock),
        sessions: one(&vault.sessions, metrics, clock),
        log: one(&vault.log, metrics, clock),
        keys: one(&vault.keys, metrics, clock),
        audit: one(&vault.audit, metrics, clock),
    }
}

struct Metered<T: ?Sized> {
    inner: Arc<T>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl<T: ?Sized> Metered<T> {
    async fn timed<A>(
        &self,
        statement: Statement,
        query: impl Future<Output = Result<A, VaultError>>,
    ) -> Result<A, VaultError> {
        let began = self.clock.monotonic();
        let result = query.await;
        let took = self.clock.monotonic().since(began);
        self.metrics.vault.seconds.of(statement).observe(took.as_secs_f64());
        // The other errors are results.
        if let Err(VaultError::Unavailable(_) | VaultError::Damaged(_)) = &result {
            self.metrics.vault.errors.of(statement).inc();
        }
        result
    }
}

#[async_trait]
impl Users for Metered<dyn Users> {
    async fn create(&self, new: &NewUser) -> Result<(), VaultError> {
        self.timed(Statement::CreateUser, self.inner.create(new)).await
    }

    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError> {
        self.timed(Statement::FindUser, self.inner.find(key)).await
    }

    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError> {
        self.timed(Statement::ListUsers, self.inner.list(after, limit)).await
    }

    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError> {
        self.timed(Statement::ChangeUser, self.inner.change(id, change)).await
    }
}

#[async_trait]
impl Sessions for Metered<dyn Sessions> {
    async fn open(&self, session: &NewSession) -> Result<Grant, VaultError> {
        self.timed(Statement::OpenSession, self.inner.open(session)).await
    }

    async fn rotate(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        self.timed(Statement::Rotate, self.inner.rotate(presented)).await
    }

    async fn renew(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        self.timed(Statement::Renew, self.inner.renew(presented)).await
    }

    async fn touch(&self, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, VaultError> {
        self.timed(Statement::Touch, self.inner.touch(uses)).await
    }

    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError> {
        self.timed(Statement::FindSession, self.inner.find(id)).await
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<SessionRow>, VaultError> {
        self.timed(Statement::FindSession, self.inner.find_many(ids)).await
    }

    async fn list(&self, user: Option<UserId>, page: SessionPage) -> Result<Vec<SessionRow>, VaultError> {
        self.timed(Statement::ListSessions, self.inner.list(user, page)).await
    }

    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError> {
        self.timed(Statement::Revoke, self.inner.revoke(scope, reason)).await
    }
}

#[async_trait]
impl RevocationLog for Metered<dyn RevocationLog> {
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.timed(Statement::ReadLog, self.inner.read(after)).await
    }

    async fn wait_for_change(&self) {
        self.inner.wait_for_change().await;
    }
}

#[async_trait]
impl Keys for Metered<dyn Keys> {
    async fn load(&self) -> Result<KeyTable, VaultError> {
        self.timed(Statement::LoadKeys, self.inner.load()).await
    }

    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError> {
        self.timed(Statement::AddKeys, self.inner.add(keys, only_first)).await
    }
}

#[async_trait]
impl Audit for Metered<dyn Audit> {
    async fn recent(&self, limit: u32) -> Result<Vec<AuditEvent>, VaultError> {
        self.timed(Statement::Audit, self.inner.recent(limit)).await
    }

    async fn sweep(&self, limit: u32) -> Result<u64, VaultError> {
        self.timed(Statement::Sweep, self.inner.sweep(limit)).await
    }

    async fn schema(&self) -> Result<u32, VaultError> {
        self.timed(Statement::Audit, self.inner.schema()).await
    }

    async fn settle(&self) -> Result<(), VaultError> {
        self.inner.settle().await
    }

    async fn backup(&self, to: &Path) -> Result<(), VaultError> {
        self.inner.backup(to).await
    }

    fn connections(&self) -> Connections {
        self.inner.connections()
    }
}
