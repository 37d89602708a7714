//! A wrapper around any vault that times and counts every query.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    AccountLink, Audit, AuditEvent, AuditQuery, AuditTrail, Chain, ChainKey, ClaimedMail, Connections,
    Cursor, EndReason, Ended, Factors, Grant, Identities, ImportMode, Imported, KeyTable, Keys, Link, Linked,
    LinkedEvent, LogPage, Mail, MailOutcome, NewAccountUser, NewAuditEvent, NewKey, NewLink, NewMail,
    NewPendingSignIn, NewProviderSession, NewSession, NewTotp, NewUser, OtherWays, Outbox, Passkey,
    PasskeyUse, PasswordCount, Presented, ProviderAccount, ProviderLogout, Recheck, Rechecked, RemovedFactor,
    RevocationLog, Rotation, Scope, SessionPage, SessionRow, SessionUse, Sessions, SignOutHint, SpentToken,
    Statement, TryRate, User, UserChange, UserFactors, UserKey, Users, Vault, VaultError,
};
use crate::clock::{Clock, Timestamp};
use crate::id::{FactorId, MailId, SessionId, UserId};
use crate::identity::Login;
use crate::metrics::{Metrics, Statement as Query};
use crate::secret::Secret;

/// Wraps a vault so that every query is timed and counted.
pub fn metered(vault: &Vault, metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>) -> Vault {
    fn one<T: ?Sized>(inner: &Arc<T>, metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>) -> Arc<Metered<T>> {
        Arc::new(Metered { inner: Arc::clone(inner), metrics: Arc::clone(metrics), clock: Arc::clone(clock) })
    }
    Vault {
        users: one(&vault.users, metrics, clock),
        identities: one(&vault.identities, metrics, clock),
        factors: one(&vault.factors, metrics, clock),
        mail: one(&vault.mail, metrics, clock),
        sessions: one(&vault.sessions, metrics, clock),
        log: one(&vault.log, metrics, clock),
        keys: one(&vault.keys, metrics, clock),
        audit: one(&vault.audit, metrics, clock),
        trail: one(&vault.trail, metrics, clock),
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
        statement: Query,
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
        self.timed(Query::CreateUser, self.inner.create(new)).await
    }

    async fn import(&self, users: &[NewUser], mode: ImportMode) -> Result<Vec<Imported>, VaultError> {
        self.timed(Query::ImportUsers, self.inner.import(users, mode)).await
    }

    async fn count_passwords(&self) -> Result<Vec<PasswordCount>, VaultError> {
        self.timed(Query::CountPasswords, self.inner.count_passwords()).await
    }

    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError> {
        self.timed(Query::FindUser, self.inner.find(key)).await
    }

    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError> {
        self.timed(Query::ListUsers, self.inner.list(after, limit)).await
    }

    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError> {
        self.timed(Query::ChangeUser, self.inner.change(id, change)).await
    }
}

#[async_trait]
impl Identities for Metered<dyn Identities> {
    async fn owner(&self, account: &ProviderAccount) -> Result<Option<User>, VaultError> {
        self.timed(Query::FindIdentity, self.inner.owner(account)).await
    }

    async fn create(
        &self,
        account: &ProviderAccount,
        user: &NewAccountUser,
        statement: &Statement,
    ) -> Result<(), VaultError> {
        self.timed(Query::ChangeIdentity, self.inner.create(account, user, statement)).await
    }

    async fn apply(&self, account: &ProviderAccount, statement: &Statement) -> Result<Ended, VaultError> {
        self.timed(Query::ChangeIdentity, self.inner.apply(account, statement)).await
    }

    async fn link(&self, account: &ProviderAccount, user: UserId) -> Result<(), VaultError> {
        self.timed(Query::ChangeIdentity, self.inner.link(account, user)).await
    }

    async fn unlink(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: Option<SessionId>,
    ) -> Result<Ended, VaultError> {
        self.timed(Query::ChangeIdentity, self.inner.unlink(account, user, keep)).await
    }

    async fn unlink_own(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: SessionId,
        others: &OtherWays,
    ) -> Result<Ended, VaultError> {
        self.timed(Query::ChangeIdentity, self.inner.unlink_own(account, user, keep, others)).await
    }

    async fn of_user(&self, user: UserId) -> Result<Vec<AccountLink>, VaultError> {
        self.timed(Query::ListIdentities, self.inner.of_user(user)).await
    }

    async fn open(&self, session: &NewSession, part: &NewProviderSession) -> Result<Grant, VaultError> {
        self.timed(Query::OpenSession, self.inner.open(session, part)).await
    }

    async fn has_rechecks(&self) -> Result<bool, VaultError> {
        self.timed(Query::Recheck, self.inner.has_rechecks()).await
    }

    async fn claim(&self, session: SessionId, hold: Duration) -> Result<Option<Recheck>, VaultError> {
        self.timed(Query::Recheck, self.inner.claim(session, hold)).await
    }

    async fn settle(&self, session: SessionId, outcome: &Rechecked) -> Result<(), VaultError> {
        self.timed(Query::Recheck, self.inner.settle(session, outcome)).await
    }

    async fn log_out(&self, logout: &ProviderLogout) -> Result<Option<Ended>, VaultError> {
        self.timed(Query::Revoke, self.inner.log_out(logout)).await
    }

    async fn take_refresh(&self, ended: &[SessionId], limit: u32) -> Result<Vec<SpentToken>, VaultError> {
        self.timed(Query::Recheck, self.inner.take_refresh(ended, limit)).await
    }

    async fn hint(&self, session: SessionId) -> Result<Option<SignOutHint>, VaultError> {
        self.timed(Query::FindSession, self.inner.hint(session)).await
    }
}

#[async_trait]
impl Factors for Metered<dyn Factors> {
    async fn of_user(&self, user: UserId) -> Result<UserFactors, VaultError> {
        self.timed(Query::FindFactors, self.inner.of_user(user)).await
    }

    async fn add_totp(&self, new: &NewTotp) -> Result<(), VaultError> {
        self.timed(Query::ChangeFactor, self.inner.add_totp(new)).await
    }

    async fn use_totp(&self, user: UserId, id: FactorId, step: i64) -> Result<bool, VaultError> {
        self.timed(Query::UseFactor, self.inner.use_totp(user, id, step)).await
    }

    async fn add_passkey(&self, new: &Passkey) -> Result<(), VaultError> {
        self.timed(Query::ChangeFactor, self.inner.add_passkey(new)).await
    }

    async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, VaultError> {
        self.timed(Query::FindFactors, self.inner.passkey(credential_id)).await
    }

    async fn use_passkey(&self, used: &PasskeyUse) -> Result<bool, VaultError> {
        self.timed(Query::UseFactor, self.inner.use_passkey(used)).await
    }

    async fn set_recovery_codes(&self, user: UserId, digests: &[[u8; 32]]) -> Result<(), VaultError> {
        self.timed(Query::ChangeFactor, self.inner.set_recovery_codes(user, digests)).await
    }

    async fn use_recovery_code(&self, user: UserId, digest: [u8; 32]) -> Result<bool, VaultError> {
        self.timed(Query::UseFactor, self.inner.use_recovery_code(user, digest)).await
    }

    async fn remove(
        &self,
        user: UserId,
        factor: &RemovedFactor,
        keep: Option<SessionId>,
        needs_one: bool,
    ) -> Result<Ended, VaultError> {
        self.timed(Query::ChangeFactor, self.inner.remove(user, factor, keep, needs_one)).await
    }

    async fn charge_try(&self, user: UserId, rate: TryRate) -> Result<Option<Duration>, VaultError> {
        self.timed(Query::UseFactor, self.inner.charge_try(user, rate)).await
    }

    async fn forget_tries(&self, user: UserId) -> Result<(), VaultError> {
        self.timed(Query::UseFactor, self.inner.forget_tries(user)).await
    }

    async fn require(&self, user: UserId, grace: Duration) -> Result<Duration, VaultError> {
        self.timed(Query::ChangeFactor, self.inner.require(user, grace)).await
    }

    async fn begin(&self, pending: &NewPendingSignIn) -> Result<(), VaultError> {
        self.timed(Query::PendingSignIn, self.inner.begin(pending)).await
    }

    async fn pending(&self, digest: [u8; 32]) -> Result<Option<(UserId, Vec<u8>)>, VaultError> {
        self.timed(Query::PendingSignIn, self.inner.pending(digest)).await
    }

    async fn finish(&self, digest: [u8; 32]) -> Result<bool, VaultError> {
        self.timed(Query::PendingSignIn, self.inner.finish(digest)).await
    }
}

#[async_trait]
impl Mail for Metered<dyn Mail> {
    async fn add_link(&self, link: &NewLink, mail: Option<&NewMail>) -> Result<bool, VaultError> {
        self.timed(Query::MailLink, self.inner.add_link(link, mail)).await
    }

    async fn link(&self, digest: [u8; 32]) -> Result<Option<Link>, VaultError> {
        self.timed(Query::MailLink, self.inner.link(digest)).await
    }

    async fn set_password_by_link(
        &self,
        digest: [u8; 32],
        new: &Secret<String>,
        mail: Option<&NewMail>,
    ) -> Result<Option<Ended>, VaultError> {
        self.timed(Query::ChangeUser, self.inner.set_password_by_link(digest, new, mail)).await
    }

    async fn verify_email_by_link(&self, digest: [u8; 32]) -> Result<Option<Ended>, VaultError> {
        self.timed(Query::ChangeUser, self.inner.verify_email_by_link(digest)).await
    }

    async fn change_user(
        &self,
        id: UserId,
        change: &UserChange,
        mail: &NewMail,
    ) -> Result<Ended, VaultError> {
        self.timed(Query::ChangeUser, self.inner.change_user(id, change, mail)).await
    }

    async fn add(&self, mail: &NewMail) -> Result<(), VaultError> {
        self.timed(Query::Outbox, self.inner.add(mail)).await
    }

    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<ClaimedMail>, VaultError> {
        self.timed(Query::Outbox, self.inner.claim(limit, lease)).await
    }

    async fn settle(&self, id: MailId, attempt: u32, outcome: MailOutcome) -> Result<(), VaultError> {
        self.timed(Query::Outbox, self.inner.settle(id, attempt, outcome)).await
    }

    async fn outbox(&self) -> Result<Outbox, VaultError> {
        self.timed(Query::Outbox, self.inner.outbox()).await
    }
}

#[async_trait]
impl Sessions for Metered<dyn Sessions> {
    async fn open(&self, session: &NewSession) -> Result<Grant, VaultError> {
        self.timed(Query::OpenSession, self.inner.open(session)).await
    }

    async fn replace(&self, old: SessionId, new: &NewSession) -> Result<(Grant, Ended), VaultError> {
        self.timed(Query::OpenSession, self.inner.replace(old, new)).await
    }

    async fn rotate(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        self.timed(Query::Rotate, self.inner.rotate(presented)).await
    }

    async fn renew(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        self.timed(Query::Renew, self.inner.renew(presented)).await
    }

    async fn touch(&self, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, VaultError> {
        self.timed(Query::Touch, self.inner.touch(uses)).await
    }

    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError> {
        self.timed(Query::FindSession, self.inner.find(id)).await
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<SessionRow>, VaultError> {
        self.timed(Query::FindSession, self.inner.find_many(ids)).await
    }

    async fn list(&self, user: Option<UserId>, page: SessionPage) -> Result<Vec<SessionRow>, VaultError> {
        self.timed(Query::ListSessions, self.inner.list(user, page)).await
    }

    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError> {
        self.timed(Query::Revoke, self.inner.revoke(scope, reason)).await
    }
}

#[async_trait]
impl RevocationLog for Metered<dyn RevocationLog> {
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.timed(Query::ReadLog, self.inner.read(after)).await
    }

    async fn wait_for_change(&self) {
        self.inner.wait_for_change().await;
    }
}

#[async_trait]
impl Keys for Metered<dyn Keys> {
    async fn load(&self) -> Result<KeyTable, VaultError> {
        self.timed(Query::LoadKeys, self.inner.load()).await
    }

    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError> {
        self.timed(Query::AddKeys, self.inner.add(keys, only_first)).await
    }
}

#[async_trait]
impl Audit for Metered<dyn Audit> {
    async fn sweep(&self, limit: u32) -> Result<u64, VaultError> {
        self.timed(Query::Sweep, self.inner.sweep(limit)).await
    }

    async fn schema(&self) -> Result<u32, VaultError> {
        self.timed(Query::Audit, self.inner.schema()).await
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

#[async_trait]
impl AuditTrail for Metered<dyn AuditTrail> {
    async fn record(&self, events: &[NewAuditEvent]) -> Result<(), VaultError> {
        self.timed(Query::RecordAudit, self.inner.record(events)).await
    }

    async fn page(&self, query: &AuditQuery) -> Result<Vec<AuditEvent>, VaultError> {
        self.timed(Query::Audit, self.inner.page(query)).await
    }

    async fn logins(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, VaultError> {
        self.timed(Query::Audit, self.inner.logins(user, limit)).await
    }

    async fn link(&self, key: &ChainKey, limit: u32) -> Result<Linked, VaultError> {
        self.timed(Query::LinkAudit, self.inner.link(key, limit)).await
    }

    async fn prune(&self, key: &ChainKey, keep: Duration, limit: u32) -> Result<u64, VaultError> {
        self.timed(Query::LinkAudit, self.inner.prune(key, keep, limit)).await
    }

    async fn chain(&self) -> Result<Chain, VaultError> {
        self.timed(Query::Audit, self.inner.chain()).await
    }

    async fn linked(&self, after: u64, limit: u32) -> Result<Vec<LinkedEvent>, VaultError> {
        self.timed(Query::Audit, self.inner.linked(after, limit)).await
    }
}
