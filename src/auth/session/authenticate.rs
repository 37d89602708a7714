//! Authentication of a request: verifies the access token and checks that its session is live (docs/design.md, Sessions and revocation).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::auth::session::control::Control;
use crate::auth::session::granted::learn;
use crate::auth::session::live::Registration;
use crate::auth::session::lookups::{VaultLookup, Wanted};
use crate::auth::tokens::named::Named;
use crate::auth::tokens::verified::{Basis, CachedToken};
use crate::auth::{Auth, Settings};
use crate::clock::Monotonic;
use crate::error::Refusal;
use crate::guard;
use crate::identity::{Identity, Login};
use crate::metrics::{Source, Verification};
use crate::session::Lookup;
use crate::token::access::{self, AccessTokenError, LEEWAY, Verified};
use crate::vault::Grant;

/// A request that has passed the check and is registered under its session.
#[derive(Debug)]
pub struct Admission {
    /// The authenticated user.
    pub identity: Arc<Identity>,
    /// Keeps the request registered; used for the re-check of the revocation list.
    pub registration: Registration,
}

/// Source that confirmed a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConfirmedBy {
    /// The vault, now or earlier. Valid while the revocation list is current.
    Vault,
    /// The session store. Valid for a limited time even without a current set.
    SessionStore,
}

/// Maximum number of confirmations for one request. A second one is needed when the lease ran out during the first, a
/// third when this process was stopped too. More would wait longer than a client does.
const CONFIRMATIONS: usize = 3;

impl Auth {
    /// Checks one token for one request.
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
        let cached = match self.verify(token, settings) {
            // After a pause the key may exist and not be loaded yet.
            Err(Refusal::StoreUnavailable) => {
                self.lease_when_awake().await;
                self.verify(token, settings)?
            }
            verified => verified?,
        };
        // Registered before any session state is read: from now on a revocation finds this request.
        let registration = cached.slot.register(control, cached.user_id, cached.rights);
        self.check_revocation(&cached)?;
        let now = self.confirm_until_now(&cached, fresh, settings).await?;
        self.queue_use(&cached.slot, now, cached.generation, settings);
        let login = self.login_of(&cached).ok_or(Refusal::StoreUnavailable)?;
        let named = (login, cached.named.attributes().cloned());
        let (user, session) = (cached.user_id, cached.slot.id());
        let identity =
            Identity::attest(user, session, named, cached.roles.clone(), cached.proof, cached.expires_at);
        Ok(Admission { identity: Arc::new(identity), registration })
    }

    /// Confirms the session and returns the time at which the confirmation holds; no wait follows it. A revocation
    /// during the waits is refused here; a later one finds the registration.
    async fn confirm_until_now(
        &self,
        cached: &CachedToken,
        fresh: bool,
        settings: &Settings,
    ) -> Result<Monotonic, Refusal> {
        for _ in 0..CONFIRMATIONS {
            let pauses = self.pauses.noticed();
            let confirmed_by = self.confirm(cached, fresh, settings).await?;
            if !guard::is_off("recheck") {
                self.check_revocation(cached)?;
            }
            // The revocation list must still be current after the waits. Without it the vault's confirmation no longer
            // counts, but the session store may confirm.
            let now = self.parts.clock.monotonic();
            if self.lease.is_held(now) {
                return Ok(now);
            }
            // A pause makes the store's reply old, even if it is over.
            let by_store = confirmed_by == ConfirmedBy::SessionStore && self.pauses.observe(now) == pauses;
            if by_store && self.store_may_confirm(now, settings) {
                return Ok(now);
            }
        }
        Err(Refusal::StoreUnavailable)
    }

    /// Returns the current time, and whether the lease is held then. After a pause it first waits until the vault has
    /// had its chance to answer.
    pub(crate) async fn lease_when_awake(&self) -> (Monotonic, bool) {
        let now = self.parts.clock.monotonic();
        if self.lease.is_held(now) {
            return (now, true);
        }
        self.pauses.until_awake(now).await;
        let now = self.parts.clock.monotonic();
        (now, self.lease.is_held(now))
    }

    /// Checks whether an admitted request may still be forwarded. Its session may have been revoked while this gateway
    /// could not read the log.
    ///
    /// # Errors
    /// `TokenRevoked`; `StoreUnavailable` when it cannot be decided any more.
    pub async fn recheck_lease(
        &self,
        registration: &Registration,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        for _ in 0..CONFIRMATIONS {
            let (now, lease_held) = self.lease_when_awake().await;
            if registration.is_revoked() {
                return Err(Refusal::TokenRevoked);
            }
            if lease_held {
                return Ok(());
            }
            if !self.store_may_confirm(now, settings) {
                break;
            }
            self.parts.sessions.set_only_source(true);
            let pauses = self.pauses.observe(now);
            match self.parts.sessions.check(registration.session_id()).await {
                Ok(Lookup::Live(_)) => {
                    let now = self.parts.clock.monotonic();
                    // A pause makes the store's reply old, even if it is over.
                    if self.pauses.observe(now) == pauses && self.store_may_confirm(now, settings) {
                        return Ok(());
                    }
                }
                Ok(Lookup::Tombstone) => return Err(Refusal::TokenRevoked),
                Ok(Lookup::Absent) | Err(_) => break,
            }
        }
        Err(Refusal::StoreUnavailable)
    }

    /// Checks the revocation list and the rights version of the token.
    fn check_revocation(&self, cached: &CachedToken) -> Result<(), Refusal> {
        if cached.slot.is_revoked() {
            return Err(Refusal::TokenRevoked);
        }
        if !self.live.has_rights(cached.user_id, cached.rights) {
            // The client refreshes, and gets a token with the new roles.
            return Err(Refusal::TokenExpired);
        }
        Ok(())
    }

    /// Returns the verified token from the cache, or verifies signature and claims now.
    fn verify(&self, token: &str, settings: &Settings) -> Result<Arc<CachedToken>, Refusal> {
        let counted = &self.parts.metrics.tokens;
        let now = self.vault_now();
        let keys = self.parts.keys.current();
        let fingerprint = self.verified.fingerprint(token);
        if let Some(cached) = self.verified.find(fingerprint) {
            if cached.expires_at + LEEWAY <= now {
                self.verified.forget(fingerprint);
                return Err(Refusal::TokenExpired);
            }
            // After a key change, or a reload with another issuer or audience, the token is verified again.
            if cached.basis == Basis::of(&keys, settings) {
                counted.cache_hits.inc();
                return Ok(cached);
            }
        }
        counted.cache_misses.inc();
        let verified = access::verify(token, &settings.profile, now, &keys).map_err(|error| {
            counted.verifications.of(Verification::Refused).inc();
            match error {
                AccessTokenError::Invalid => Refusal::TokenInvalid,
                AccessTokenError::Expired => Refusal::TokenExpired,
                // The keys are as current as the lease: without it the key may exist and not be loaded here.
                AccessTokenError::UnknownKey if self.knows_all_keys() => Refusal::TokenInvalid,
                AccessTokenError::UnknownKey => Refusal::StoreUnavailable,
            }
        })?;
        counted.verifications.of(Verification::Good).inc();
        let basis = Basis::of(&keys, settings);
        let cached = Arc::new(self.cached(verified, basis));
        self.verified.keep(fingerprint, Arc::clone(&cached));
        Ok(cached)
    }

    /// Confirms that the session is live, from the nearest source that may decide.
    async fn confirm(
        &self,
        cached: &CachedToken,
        fresh: bool,
        settings: &Settings,
    ) -> Result<ConfirmedBy, Refusal> {
        let (slot, user) = (&cached.slot, cached.user_id);
        let (now, lease_held) = self.lease_when_awake().await;
        // A slot whose known end has passed is not used: use on another gateway may have moved the end, so the vault
        // decides.
        let ended = slot.end().at().is_some_and(|end| end <= self.vault_now());
        // A slot that belongs to another user than the token's is not used either.
        let usable = lease_held && !ended && slot.belongs_to(user) && self.knows_login_of(cached);
        let confirmed = slot.confirmed_for(now).filter(|_| usable);
        if !fresh && confirmed.is_some_and(|age| age < settings.revalidate_after) {
            return Ok(self.use_cached_confirmation());
        }
        if !lease_held && !self.store_may_confirm(now, settings) {
            // Logged once per outage; the feed logs its end.
            if !self.undecided.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    reason = "undecided",
                    "the vault is away and no session store may confirm sessions: signed-in requests get 503"
                );
            }
            return Err(Refusal::StoreUnavailable);
        }
        self.parts.sessions.set_only_source(!lease_held);
        // Confirmed before and the set is current: the confirmation stays valid when no store can be queried.
        let mut stays_good = confirmed.is_some() && !fresh;
        match self.parts.sessions.check(slot.id()).await {
            // The record belongs to another user than the token. The vault decides.
            Ok(Lookup::Live(record)) if record.user_id != user => stays_good = false,
            Ok(Lookup::Live(record)) => {
                if slot.end().at().is_none() {
                    slot.end().learn_record(&record);
                }
                slot.set_owner(user);
                // A record shows that the session was not revoked. It proves that the session is not idle only until
                // the idle end it was written with.
                let lives = slot.end().at().is_some_and(|end| end > self.vault_now());
                if self.knows_login_of(cached) && lives {
                    self.parts.metrics.tokens.confirmations.of(Source::SessionStore).inc();
                    slot.confirm(now);
                    return Ok(ConfirmedBy::SessionStore);
                }
            }
            Ok(Lookup::Tombstone) if !lease_held => return Err(Refusal::TokenRevoked),
            // As a rule the tombstone was written before this gateway read the log. The vault is authoritative and can
            // be queried.
            Ok(Lookup::Tombstone) => stays_good = false,
            Ok(Lookup::Absent) => {}
            Err(_) if stays_good => return Ok(self.use_cached_confirmation()),
            // The store itself logs its loss and its return once.
            Err(error) => tracing::debug!(%error, "the session store failed: querying the vault"),
        }
        if !lease_held {
            return Err(Refusal::StoreUnavailable);
        }
        match self.look_up_in_vault(cached, stays_good, settings).await {
            Err(Refusal::Overloaded | Refusal::StoreUnavailable) if stays_good => {
                Ok(self.use_cached_confirmation())
            }
            result => result.map(|()| ConfirmedBy::Vault),
        }
    }

    /// Uses the earlier confirmation from the vault, which is valid while the revocation list is current.
    fn use_cached_confirmation(&self) -> ConfirmedBy {
        self.parts.metrics.tokens.confirmations.of(Source::Local).inc();
        ConfirmedBy::Vault
    }

    /// Returns whether the session store alone may confirm sessions, as the vault has been lost for a short time only.
    /// Just after a pause it may not: the vault may be there.
    pub(crate) fn store_may_confirm(&self, now: Monotonic, settings: &Settings) -> bool {
        let lost_for = self.lease.unproven_for(now);
        self.parts.sessions.is_shared()
            && lost_for.is_some_and(|span| span < settings.vault_outage_grace)
            && !self.pauses.is_waking(now)
    }

    /// Looks the session up in the vault, together with all callers that ask about it now, and fills the session store. A
    /// caller that can be served without the result (`in_passing`) does not queue for a lookup.
    async fn look_up_in_vault(
        &self,
        cached: &CachedToken,
        in_passing: bool,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let slot = &cached.slot;
        let wanted = Wanted {
            slot: Arc::clone(slot),
            until: cached.expires_at + LEEWAY,
            overdue: slot.end().overdue(slot.id(), self.vault_now(), settings),
        };
        match self.lookups.look_up(wanted, in_passing).await {
            Some(VaultLookup::Live(owner, login)) if owner == cached.user_id => {
                if cached.named.login().is_none() {
                    self.logins.keep(owner, login);
                }
                self.parts.metrics.tokens.confirmations.of(Source::Vault).inc();
                Ok(())
            }
            Some(VaultLookup::Live(..) | VaultLookup::Ended) => Err(Refusal::TokenRevoked),
            Some(VaultLookup::Busy) => Err(Refusal::Overloaded),
            Some(VaultLookup::Unavailable) => Err(Refusal::StoreUnavailable),
            None => {
                // The lookup panicked. Each failed request counts it, like a request that panics itself.
                self.parts.metrics.requests.panics.inc();
                Err(Refusal::Internal)
            }
        }
    }

    /// Builds a cache entry.
    fn cached(&self, verified: Verified, basis: Basis) -> CachedToken {
        let Verified { subject, expires_at } = verified;
        CachedToken {
            user_id: subject.user_id,
            named: Named::new(subject.login, subject.attributes),
            roles: self.role_lists.share(subject.roles),
            rights: subject.rights,
            generation: subject.generation,
            proof: subject.proof,
            expires_at,
            basis,
            slot: self.live.slot(subject.session_id),
        }
    }

    /// Returns the login name of a token's user, if it is known here.
    fn login_of(&self, cached: &CachedToken) -> Option<Login> {
        cached.named.login().cloned().or_else(|| self.logins.of(cached.user_id))
    }

    /// Returns whether [`Auth::login_of`] knows the name, without a copy of it.
    fn knows_login_of(&self, cached: &CachedToken) -> bool {
        cached.named.login().is_some() || self.logins.of(cached.user_id).is_some()
    }

    /// Caches a session that the vault has just granted, and the token signed for it here. Its first request then needs
    /// no lookup. `requested_at` is a time before the vault decided.
    pub(crate) fn remember(
        &self,
        token: &str,
        verified: Verified,
        grant: &Grant,
        basis: Basis,
        requested_at: Monotonic,
    ) {
        let cached = self.cached(verified, basis);
        learn(&cached.slot, grant);
        cached.slot.confirm(requested_at);
        self.verified.keep(self.verified.fingerprint(token), Arc::new(cached));
    }
}
