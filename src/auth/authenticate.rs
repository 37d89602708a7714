//! The check: is this access token good, and does its session live? (design section 4)

use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::live::{Registration, Slot};
use super::verified::{Digest, Known};
use super::{Auth, Settings};
use crate::clock::Timestamp;
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::Identity;
use crate::session::{Lookup, Record};
use crate::token::access::{self, AccessTokenError, LEEWAY};
use crate::token::sha256;
use crate::vault::VaultError;

/// A request that has passed the check, entered under its session.
#[derive(Debug)]
pub struct Admission {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Keeps it entered; ask it for the second look.
    pub registration: Registration,
}

/// What the vault said at the first sight of a session on this replica.
#[derive(Clone, Debug)]
pub(super) enum FirstSight {
    Live,
    Ended,
    Unknowable,
    Busy,
}

/// Questions about sessions that the vault answers at once for this replica. More would queue there anyway, and
/// take their places from logins and refreshes.
const VAULT_QUESTIONS: usize = 32;

/// How long a question may wait for its place: longer than a busy vault takes for a queue of them, shorter than
/// clients wait for an answer.
const QUESTION_WAIT: Duration = Duration::from_secs(1);

impl Auth {
    /// The check of one token for one request.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`, `TokenRevoked`; `StoreUnavailable` when it cannot be decided.
    pub async fn authenticate(
        &self,
        token: &str,
        fresh: bool,
        control: &Arc<Control>,
        settings: &Settings,
    ) -> Result<Admission, Refusal> {
        let digest = sha256(token.as_bytes());
        let known = self.verify(token, digest, settings)?;
        let subject = &known.verified.subject;
        // Entered before anything about the session is read: from now on a revocation finds this request.
        let registration = known.slot.register(control, subject.user_id, subject.rights);
        self.look(&known)?;
        self.confirm(&known, digest, fresh, settings).await?;
        // The last wait is over: what came meanwhile is refused, and what comes later finds the entry.
        self.look(&known)?;
        let identity = match known.identity.get() {
            Some(identity) => Arc::clone(identity),
            None => {
                let login = known.slot.login().ok_or(Refusal::StoreUnavailable)?.clone();
                let (user, session) = (subject.user_id, subject.session_id);
                let made =
                    Identity::attest(user, session, login, subject.roles.clone(), known.verified.expires_at);
                Arc::clone(known.identity.get_or_init(|| Arc::new(made)))
            }
        };
        Ok(Admission { identity, registration })
    }

    /// A look at the set: is the session revoked, are the rights still those of the token?
    fn look(&self, known: &Known) -> Result<(), Refusal> {
        let subject = &known.verified.subject;
        if known.slot.is_revoked() {
            return Err(Refusal::TokenRevoked);
        }
        if !self.live.has_rights(subject.user_id, subject.rights) {
            return Err(Refusal::TokenExpired);
        }
        Ok(())
    }

    /// Signature and claims: remembered, or checked now.
    fn verify(&self, token: &str, digest: Digest, settings: &Settings) -> Result<Arc<Known>, Refusal> {
        let counted = &self.parts.metrics.verifications;
        let now = self.vault_now();
        let keys = self.parts.keys.current();
        if let Some(known) = self.verified.find(&digest) {
            if known.verified.expires_at + LEEWAY <= now {
                self.verified.forget(&digest);
                return Err(Refusal::TokenExpired);
            }
            // A verification belongs to its keys: under others it is made again, not refused.
            if known.keys_version == keys.version() {
                counted.remembered.inc();
                return Ok(known);
            }
        }
        let verified = access::verify(token, &settings.profile, now, &keys).map_err(|error| {
            counted.refused.inc();
            match error {
                AccessTokenError::Invalid => Refusal::TokenInvalid,
                AccessTokenError::Expired => Refusal::TokenExpired,
                // The keys are as current as the lease: without it this may be a key we have not heard of.
                AccessTokenError::UnknownKey if self.knows_all_keys() => Refusal::TokenInvalid,
                AccessTokenError::UnknownKey => Refusal::StoreUnavailable,
            }
        })?;
        counted.checked.inc();
        let slot = self.live.slot(verified.subject.session_id);
        let (keys_version, identity) = (keys.version(), std::sync::OnceLock::new());
        let known = Arc::new(Known { verified, keys_version, slot, identity });
        self.verified.keep(digest, Arc::clone(&known));
        Ok(known)
    }

    /// Whether the session lives, from the nearest place that may say so.
    async fn confirm(
        &self,
        known: &Known,
        digest: Digest,
        fresh: bool,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let slot = &known.slot;
        let now = self.parts.clock.monotonic();
        let lease_held = self.lease.is_held(now);
        // A slot past the end it knows of is not believed: a refresh elsewhere may have moved it, the vault says.
        let ended = slot.ends_at().is_some_and(|end| end <= self.vault_now());
        let confirmed = slot.confirmed_for(now).filter(|_| lease_held && !ended && slot.login().is_some());
        if !fresh && confirmed.is_some_and(|age| age < settings.recheck) {
            return Ok(());
        }
        let counted = &self.parts.metrics.confirmations;
        if !lease_held && !self.may_vouch_alone(now, settings) {
            return Err(Refusal::StoreUnavailable);
        }
        match self.parts.sessions.check(slot.id()).await {
            Ok(Lookup::Live(record)) => {
                if record.user_id != known.verified.subject.user_id {
                    return Err(Refusal::TokenInvalid);
                }
                if slot.ends_at().is_none() {
                    slot.set_ends_at(record.expires_at);
                }
                if slot.login().is_some() && !ended {
                    counted.with_label_values(&["session_store"]).inc();
                    slot.confirm(now);
                    return Ok(());
                }
            }
            Ok(Lookup::Tombstone) => return Err(Refusal::TokenRevoked),
            Ok(Lookup::Absent) => {}
            // Confirmed once and the set current: as good as asking again.
            Err(_) if confirmed.is_some() && !fresh => return Ok(()),
            Err(error) => tracing::warn!(%error, "asking the vault instead"),
        }
        if !lease_held {
            return Err(Refusal::StoreUnavailable);
        }
        counted.with_label_values(&["vault"]).inc();
        self.first_sight(known, digest).await
    }

    /// Whether the session store's word alone counts, the vault being lost for now.
    fn may_vouch_alone(&self, now: crate::clock::Monotonic, settings: &Settings) -> bool {
        let lost_for = self.lease.unproven_for(now);
        self.parts.sessions.vouches_alone()
            && lost_for.is_some_and(|span| span < settings.serve_without_vault)
    }

    /// Asks the vault, once for all who present this token now, and fills the session store.
    async fn first_sight(&self, known: &Known, digest: Digest) -> Result<(), Refusal> {
        let (id, user) = (known.verified.subject.session_id, known.verified.subject.user_id);
        let slot = Arc::clone(&known.slot);
        let now = self.parts.clock.monotonic();
        let until = known.verified.expires_at + LEEWAY;
        let (vault, sessions) = (self.parts.vault.clone(), Arc::clone(&self.parts.sessions));
        let places = Arc::clone(&self.questions);
        let answer = self.flights.join(digest, move || async move {
            let Ok(Ok(_place)) = tokio::time::timeout(QUESTION_WAIT, places.acquire_owned()).await else {
                return FirstSight::Busy;
            };
            match vault.sessions.find(id).await {
                Ok(Some(row)) if row.live && row.grant.user_id == user => {
                    learn(&slot, &row.grant);
                    fill(sessions.as_ref(), id, &row.grant, until).await;
                    slot.confirm(now);
                    FirstSight::Live
                }
                Ok(_) => FirstSight::Ended,
                Err(VaultError::Unavailable(reason)) => {
                    tracing::warn!(reason, "the vault does not answer about a session");
                    FirstSight::Unknowable
                }
                Err(error) => {
                    tracing::error!(%error, "the vault cannot answer about a session");
                    FirstSight::Unknowable
                }
            }
        });
        let Some(answer) = answer.await else {
            // It panicked, in a task of its own: each request it fails counts it, as one that panics itself does.
            self.parts.metrics.panics.inc();
            return Err(Refusal::Internal);
        };
        match answer {
            FirstSight::Live => Ok(()),
            FirstSight::Ended => Err(Refusal::TokenRevoked),
            FirstSight::Busy => Err(Refusal::Overloaded),
            FirstSight::Unknowable => Err(Refusal::StoreUnavailable),
        }
    }

    /// Places for [`VAULT_QUESTIONS`].
    pub(super) fn question_places() -> Arc<tokio::sync::Semaphore> {
        Arc::new(tokio::sync::Semaphore::new(VAULT_QUESTIONS))
    }
}

/// What a grant of the vault says about its session.
pub(super) fn learn(slot: &Slot, grant: &crate::vault::Grant) {
    slot.set_login(grant.login.clone());
    slot.set_ends_at(grant.ends_at);
}

/// Puts a session on the guest list. A store that does not take it costs only the next look.
pub(super) async fn fill(
    sessions: &dyn crate::session::SessionStore,
    id: SessionId,
    grant: &crate::vault::Grant,
    until: Timestamp,
) {
    // By the vault's clock, which made both.
    let keep = until.since(grant.now);
    let record = Record { user_id: grant.user_id, expires_at: grant.expires_at };
    let filled = match sessions.fill(id, record, keep).await {
        Ok(()) => sessions.extend(id, keep).await,
        Err(error) => Err(error),
    };
    if let Err(error) = filled {
        tracing::warn!(%error, "a session was not put on the guest list");
    }
}
