//! The check: is this access token good, and does its session live? (design section 4)

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::auth::session::control::Control;
use crate::auth::session::live::{Registration, Slot};
use crate::auth::tokens::verified::{Basis, CachedToken};
use crate::auth::{Auth, Settings};
use crate::clock::{Monotonic, Timestamp};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::{ClientKind, Identity};
use crate::metrics::{Source, Verification};
use crate::session::{Lookup, Record};
use crate::token::access::{self, AccessTokenError, LEEWAY, Verified};
use crate::token::{Digest, sha256};
use crate::vault::{Grant, VaultError};

/// A request that has passed the check, entered under its session.
#[derive(Debug)]
pub struct Admission {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Keeps it entered; ask it for the second look.
    pub registration: Registration,
}

/// Whose word a session was confirmed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConfirmedBy {
    /// The vault's, now or earlier: good while the set is current.
    OfVault,
    /// The session store's: good for a while without the set, too.
    OfSessionStore,
}

/// What the vault said at the first sight of a session on this replica.
#[derive(Clone, Debug)]
pub(crate) enum FirstSight {
    Live,
    Ended,
    Unknowable,
    Busy,
}

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
        let last = control.last_token();
        let (digest, is_last) =
            last.map_or_else(|| (sha256(token.as_bytes()), false), |last| last.digest(token));
        let known = self.verify(token, digest, settings)?;
        let subject = &known.verified.subject;
        // Entered before anything about the session is read: from now on a revocation finds this request.
        let registration = known.slot.register(control, subject.user_id, subject.rights);
        self.look(&known)?;
        let mut word = self.confirm(&known, digest, fresh, settings).await?;
        // The last wait is over: what came meanwhile is refused, and what comes later finds the entry.
        self.look(&known)?;
        // And the set it was looked for in is still current, however long the wait was.
        let mut now = self.parts.clock.monotonic();
        if word == ConfirmedBy::OfVault && !self.lease.is_held(now) {
            // It ran out meanwhile, and the vault's word with it: the session store may say it as well.
            word = self.confirm(&known, digest, fresh, settings).await?;
            self.look(&known)?;
            now = self.parts.clock.monotonic();
        }
        let vouched = word == ConfirmedBy::OfSessionStore && self.may_vouch_alone(now, settings);
        if !(self.lease.is_held(now) || vouched) {
            return Err(Refusal::StoreUnavailable);
        }
        self.note_use(&known.slot, now, settings);
        let identity = match known.identity.get() {
            Some(identity) => Arc::clone(identity),
            None => {
                let login = known.slot.login_of(subject.user_id).ok_or(Refusal::StoreUnavailable)?.clone();
                let (user, session) = (subject.user_id, subject.session_id);
                let made =
                    Identity::attest(user, session, login, subject.roles.clone(), known.verified.expires_at);
                Arc::clone(known.identity.get_or_init(|| Arc::new(made)))
            }
        };
        if let Some(last) = last.filter(|_| !is_last) {
            last.keep(token, digest);
        }
        Ok(Admission { identity, registration })
    }

    /// Whether a request let in a while ago may still be sent on: its session may have been revoked where this replica
    /// could not hear of it.
    ///
    /// # Errors
    /// `TokenRevoked`; `StoreUnavailable` when it cannot be decided any more.
    pub async fn still_good(&self, registration: &Registration, settings: &Settings) -> Result<(), Refusal> {
        let now = self.parts.clock.monotonic();
        if self.lease.is_held(now) {
            return Ok(());
        }
        if !self.may_vouch_alone(now, settings) {
            return Err(Refusal::StoreUnavailable);
        }
        match self.parts.sessions.check(registration.session_id()).await {
            Ok(Lookup::Live(_)) => Ok(()),
            Ok(Lookup::Tombstone) => Err(Refusal::TokenRevoked),
            Ok(Lookup::Absent) | Err(_) => Err(Refusal::StoreUnavailable),
        }
    }

    /// A look at the set: is the session revoked, are the rights still those of the token?
    fn look(&self, known: &CachedToken) -> Result<(), Refusal> {
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
    fn verify(&self, token: &str, digest: Digest, settings: &Settings) -> Result<Arc<CachedToken>, Refusal> {
        let counted = &self.parts.metrics.tokens;
        let now = self.vault_now();
        let keys = self.parts.keys.current();
        if let Some(known) = self.verified.find(&digest) {
            if known.verified.expires_at + LEEWAY <= now {
                self.verified.forget(&digest);
                return Err(Refusal::TokenExpired);
            }
            // Under other keys, or after a reload for another issuer, it is made again, not refused.
            if known.basis == Basis::of(&keys, settings) {
                counted.cache_hits.inc();
                return Ok(known);
            }
        }
        counted.cache_misses.inc();
        let verified = access::verify(token, &settings.profile, now, &keys).map_err(|error| {
            counted.verifications.of(Verification::Refused).inc();
            match error {
                AccessTokenError::Invalid => Refusal::TokenInvalid,
                AccessTokenError::Expired => Refusal::TokenExpired,
                // The keys are as current as the lease: without it this may be a key we have not heard of.
                AccessTokenError::UnknownKey if self.knows_all_keys() => Refusal::TokenInvalid,
                AccessTokenError::UnknownKey => Refusal::StoreUnavailable,
            }
        })?;
        counted.verifications.of(Verification::Good).inc();
        let slot = self.live.slot(verified.subject.session_id);
        let (basis, identity) = (Basis::of(&keys, settings), std::sync::OnceLock::new());
        let known = Arc::new(CachedToken { verified, basis, slot, identity });
        self.verified.keep(digest, Arc::clone(&known));
        Ok(known)
    }

    /// Whether the session lives, from the nearest place that may say so.
    async fn confirm(
        &self,
        known: &CachedToken,
        digest: Digest,
        fresh: bool,
        settings: &Settings,
    ) -> Result<ConfirmedBy, Refusal> {
        let (slot, user) = (&known.slot, known.verified.subject.user_id);
        let now = self.parts.clock.monotonic();
        let lease_held = self.lease.is_held(now);
        // A slot past the end it knows of is not believed: use elsewhere may have moved it, the vault says.
        let ended = slot.end().at().is_some_and(|end| end <= self.vault_now());
        // Nor is one whose user is another than the token's.
        let usable = lease_held && !ended && slot.login_of(user).is_some();
        let confirmed = slot.confirmed_for(now).filter(|_| usable);
        if !fresh && confirmed.is_some_and(|age| age < settings.revalidate_after) {
            return Ok(self.remembered());
        }
        if !lease_held && !self.may_vouch_alone(now, settings) {
            // Once an outage; the feed says when it is over.
            if !self.undecided.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    reason = "undecided",
                    "the vault is away and nobody may vouch in its stead: signed-in requests are answered 503"
                );
            }
            return Err(Refusal::StoreUnavailable);
        }
        // Confirmed once and the set current: good without being asked for again, where nobody can answer.
        let mut stays_good = confirmed.is_some() && !fresh;
        match self.parts.sessions.check(slot.id()).await {
            // Somebody else's: the vault decides about a token that says otherwise.
            Ok(Lookup::Live(record)) if record.user_id != user => stays_good = false,
            Ok(Lookup::Live(record)) => {
                if slot.end().at().is_none() {
                    slot.end().learn_record(&record);
                }
                if slot.login_of(user).is_none()
                    && let Some(login) = self.logins.of(user)
                {
                    slot.set_owner(user, login);
                }
                // A record tells that the session was not revoked. Whether it was idle for too long it knows only until
                // the end it was written with.
                let lives = slot.end().at().is_some_and(|end| end > self.vault_now());
                if slot.login_of(user).is_some() && lives {
                    self.parts.metrics.tokens.confirmations.of(Source::SessionStore).inc();
                    slot.confirm(now);
                    return Ok(ConfirmedBy::OfSessionStore);
                }
            }
            Ok(Lookup::Tombstone) if !lease_held => return Err(Refusal::TokenRevoked),
            // Written before the log was read here, as a rule; but the vault is the truth, and it can be asked.
            Ok(Lookup::Tombstone) => stays_good = false,
            Ok(Lookup::Absent) => {}
            Err(_) if stays_good => return Ok(self.remembered()),
            // Said once by the store itself, when it is lost and when it is back.
            Err(error) => tracing::debug!(%error, "asking the vault instead"),
        }
        if !lease_held {
            return Err(Refusal::StoreUnavailable);
        }
        match self.first_sight(known, digest, stays_good, settings).await {
            Err(Refusal::Overloaded | Refusal::StoreUnavailable) if stays_good => Ok(self.remembered()),
            answer => answer.map(|()| ConfirmedBy::OfVault),
        }
    }

    /// Nobody was asked, or nobody could answer: what the vault said before is good while the set is current.
    fn remembered(&self) -> ConfirmedBy {
        self.parts.metrics.tokens.confirmations.of(Source::Local).inc();
        ConfirmedBy::OfVault
    }

    /// Whether the session store's word alone counts, the vault being lost for now.
    pub(crate) fn may_vouch_alone(&self, now: Monotonic, settings: &Settings) -> bool {
        let lost_for = self.lease.unproven_for(now);
        self.parts.sessions.vouches_alone() && lost_for.is_some_and(|span| span < settings.vault_outage_grace)
    }

    /// Asks the vault, once for all who present this token now, and fills the session store. Only a caller that is
    /// served without the answer as well (`in_passing`) does not queue for a lookup; those that queue share a lookup
    /// of their own.
    async fn first_sight(
        &self,
        known: &CachedToken,
        digest: Digest,
        in_passing: bool,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let (id, user) = (known.verified.subject.session_id, known.verified.subject.user_id);
        let slot = Arc::clone(&known.slot);
        let now = self.parts.clock.monotonic();
        let until = known.verified.expires_at + LEEWAY;
        let overdue = slot.end().overdue(id, self.vault_now(), settings);
        let (vault, sessions) = (self.parts.vault.clone(), Arc::clone(&self.parts.sessions));
        let (questions, logins) = (Arc::clone(&self.questions), Arc::clone(&self.logins));
        let answer = self.flights.join((digest, in_passing), move || async move {
            let place = if in_passing { questions.place_at_once(now) } else { questions.place(now).await };
            let Some(_place) = place else { return FirstSight::Busy };
            if let Some(overdue) = overdue {
                match vault.sessions.touch(&[overdue]).await {
                    Ok(told) => slot.end().settle(id, &told),
                    Err(error) => {
                        tracing::debug!(%error, "the use of a session is written later");
                        return FirstSight::Unknowable;
                    }
                }
            }
            match vault.sessions.find(id).await {
                Ok(Some(row)) if row.live && row.grant.user_id == user => {
                    logins.keep(user, row.grant.login.clone());
                    learn(&slot, &row.grant);
                    fill(sessions.as_ref(), id, &row.grant, until).await;
                    slot.confirm(now);
                    FirstSight::Live
                }
                Ok(_) => {
                    slot.end().is_over();
                    FirstSight::Ended
                }
                Err(VaultError::Unavailable(cause)) => {
                    tracing::warn!(
                        reason = "session_unanswered",
                        cause,
                        "the vault does not answer about a session"
                    );
                    FirstSight::Unknowable
                }
                Err(error) => {
                    tracing::error!(
                        reason = "session_unanswerable",
                        cause = %error,
                        "the vault cannot answer about a session"
                    );
                    FirstSight::Unknowable
                }
            }
        });
        let Some(answer) = answer.await else {
            // It panicked, in a task of its own: each request it fails counts it, as one that panics itself does.
            self.parts.metrics.requests.panics.inc();
            return Err(Refusal::Internal);
        };
        match answer {
            FirstSight::Live => {
                self.parts.metrics.tokens.confirmations.of(Source::Vault).inc();
                Ok(())
            }
            FirstSight::Ended => Err(Refusal::TokenRevoked),
            FirstSight::Busy => Err(Refusal::Overloaded),
            FirstSight::Unknowable => Err(Refusal::StoreUnavailable),
        }
    }

    /// Remembers a session that the vault has just granted, and the token signed for it here: its first request
    /// asks nobody. `asked` is from before the vault decided.
    pub(crate) fn remember(
        &self,
        token: &str,
        verified: Verified,
        grant: &Grant,
        basis: Basis,
        asked: Monotonic,
    ) {
        self.logins.keep(grant.user_id, grant.login.clone());
        let slot = self.live.slot(grant.session_id);
        learn(&slot, grant);
        slot.confirm(asked);
        let known = CachedToken { verified, basis, slot, identity: std::sync::OnceLock::new() };
        self.verified.keep(sha256(token.as_bytes()), Arc::new(known));
    }
}

/// What a grant of the vault says about its session.
pub(crate) fn learn(slot: &Slot, grant: &Grant) {
    slot.set_owner(grant.user_id, grant.login.clone());
    slot.end().learn(grant);
}

/// Puts a session on the guest list. A store that does not take it costs only the next look.
pub(crate) async fn fill(
    sessions: &dyn crate::session::SessionStore,
    id: SessionId,
    grant: &Grant,
    until: Timestamp,
) {
    // By the vault's clock, which made both.
    let keep = until.since(grant.now);
    let idle = Some((grant.ends_at, ClientKind::of(&grant.client_id)));
    let record = Record { user_id: grant.user_id, expires_at: grant.expires_at, idle };
    let filled = match sessions.fill(id, record, keep).await {
        Ok(()) => sessions.extend(id, keep).await,
        Err(error) => Err(error),
    };
    if let Err(error) = filled {
        // Said once by the store itself, when it is lost and when it is back.
        tracing::debug!(%error, "a session was not put on the guest list");
    }
}
