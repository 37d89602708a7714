//! Recheck: the provider is asked again about a person who has signed in, when a session is renewed or refreshed.
//!
//! One gateway makes it, once: it takes the recheck in the vault first. The client waits a moment for the result, so that
//! a role that was taken away is gone at once; a slow provider delays nobody further. What it states later rides the
//! revocation log like any other change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Providers, RECHECK_GRACE, SealedToken, account_of, interval, statement_of};
use crate::auth::{Auth, Settings, detached};
use crate::clock::Monotonic;
use crate::error::Refusal;
use crate::id::SessionId;
use crate::provider::{self, Account, Admission, Person, Provider};
use crate::secret::Secret;
use crate::vault::origin::{Actor, acting};
use crate::vault::{EndReason, Grant, Recheck, Rechecked, Scope};

/// Time for which a recheck is taken: the wait for a free place, and the requests to the provider (50 s at most), with some
/// room. A refresh token must never be sent twice.
const HOLD: Duration = Duration::from_secs(120);

/// Maximum wait for a free place.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Rechecks of this gateway at one time. A provider takes some hundred milliseconds for each; more would look like an
/// attack there.
const AT_ONCE: usize = 32;

/// Time for which a client waits for a recheck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time until the next attempt, plus a random part as long, so that thousands of sessions do not come back at once.
const RETRY: Duration = Duration::from_secs(60);

/// Attempts to store the outcome while the vault does not respond, and the pause between two.
const STORE_ATTEMPTS: u32 = 20;
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Places for rechecks, and the providers that were slow lately.
pub(crate) struct Rechecks {
    places: tokio::sync::Semaphore,
    /// True if no session is rechecked for sure: no provider asks for it, and the vault has none from before.
    none: AtomicBool,
    slow: Mutex<HashMap<String, Monotonic>>,
}

impl Rechecks {
    pub(crate) fn new() -> Self {
        let places = tokio::sync::Semaphore::new(AT_ONCE);
        Self { places, none: AtomicBool::new(false), slow: Mutex::default() }
    }

    /// Returns how long a client waits: not at all for a provider for which others have just waited in vain. Otherwise
    /// everybody would wait for it again at each attempt.
    fn patience(&self, provider: &str, now: Monotonic) -> Duration {
        let is_slow = self.slow().get(provider).is_some_and(|since| now.since(*since) < RETRY);
        if is_slow { Duration::ZERO } else { PATIENCE }
    }

    fn slow(&self) -> MutexGuard<'_, HashMap<String, Monotonic>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Result of a recheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Confirmed,
    Ended,
    Undecided,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Ended => "ended",
            Self::Undecided => "undecided",
        }
    }
}

impl Auth {
    /// Makes the recheck of a session if it is due. Returns the grant, anew if the recheck has changed it.
    ///
    /// # Errors
    /// `RefreshInvalid` when the provider has ended the session.
    pub(crate) async fn rechecked(
        self: &Arc<Self>,
        grant: Grant,
        settings: &Settings,
    ) -> Result<Grant, Refusal> {
        if settings.providers.rechecks() {
            self.rechecks.none.store(false, Ordering::Relaxed);
        } else if !self.has_rechecks().await {
            return Ok(grant);
        }
        let session = grant.session_id;
        // A recheck that cannot be taken now is taken at the next renewal.
        let claimed_at = self.parts.clock.monotonic();
        let claim = self.at_vault(self.parts.vault.identities.claim(session, HOLD)).await;
        let Ok(Some(claim)) = claim else { return Ok(grant) };
        let (auth, providers) = (Arc::clone(self), settings.providers.clone());
        let name = claim.account.provider.clone();
        let recheck = detached(async move { auth.recheck(session, &claim, claimed_at, &providers).await });
        let patience = self.rechecks.patience(&name, claimed_at);
        let result = tokio::time::timeout(patience, recheck).await;
        if result.is_err() && !patience.is_zero() {
            self.rechecks.slow().insert(name, self.parts.clock.monotonic());
        }
        match result {
            Ok(Ok(Outcome::Confirmed)) => {
                let row = self.at_vault(self.parts.vault.sessions.find(session)).await?;
                row.filter(|row| row.live).map(|row| row.grant).ok_or(Refusal::RefreshInvalid)
            }
            Ok(Ok(Outcome::Ended)) => Err(Refusal::RefreshInvalid),
            // It goes on without this client.
            Ok(Ok(Outcome::Undecided) | Err(_)) | Err(_) => Ok(grant),
        }
    }

    /// Returns whether the vault may have sessions of providers that were removed from the configuration.
    async fn has_rechecks(&self) -> bool {
        if self.rechecks.none.load(Ordering::Relaxed) {
            return false;
        }
        let any = self.at_vault(self.parts.vault.identities.has_rechecks()).await;
        let none = matches!(any, Ok(false));
        self.rechecks.none.store(none, Ordering::Relaxed);
        !none
    }

    async fn recheck(
        self: &Arc<Self>,
        session: SessionId,
        claim: &Recheck,
        claimed_at: Monotonic,
        providers: &Providers,
    ) -> Result<Outcome, Refusal> {
        let begun = self.parts.clock.monotonic();
        let outcome = self.try_recheck(session, claim, claimed_at, providers).await?;
        let took = self.parts.clock.monotonic().since(begun);
        if outcome != Outcome::Undecided && took < PATIENCE {
            self.rechecks.slow().remove(&claim.account.provider);
        }
        let counted = &self.parts.metrics.providers;
        let provider = &claim.account.provider;
        // A provider that is not configured any more has no series.
        if providers.find(provider).is_some() {
            counted.rechecks.with_label_values(&[provider, outcome.as_str()]).inc();
            counted.recheck_seconds.with_label_values(&[provider]).observe(took.as_secs_f64());
        }
        Ok(outcome)
    }

    async fn try_recheck(
        self: &Arc<Self>,
        session: SessionId,
        claim: &Recheck,
        claimed_at: Monotonic,
        providers: &Providers,
    ) -> Result<Outcome, Refusal> {
        let Some(provider) = providers.find(&claim.account.provider) else {
            return self.undecided(session, claim, None, None, "provider_removed").await;
        };
        let open = |sealed: &[u8]| self.open_token(SealedToken::Refresh, &claim.account, sealed);
        let token = claim.refresh.as_deref().and_then(open);
        let Some(token) = token else {
            return self
                .undecided(session, claim, Some(provider), None, "provider_refresh_token_unreadable")
                .await;
        };
        let place = tokio::time::timeout(MAX_WAIT, self.rechecks.places.acquire()).await;
        // A gateway that was stopped meanwhile no longer has the recheck.
        let held_for = self.parts.clock.monotonic().since(claimed_at);
        let Some(_place) = place.ok().and_then(Result::ok).filter(|_| held_for <= MAX_WAIT) else {
            return self.undecided(session, claim, Some(provider), None, "provider_rechecks_waiting").await;
        };
        let account = Account {
            provider: provider.id().clone(),
            issuer: claim.account.issuer.clone(),
            subject: claim.account.subject.clone(),
        };
        match provider.recheck(&token, &account).await {
            provider::Recheck::Confirmed(person) => self.confirmed(session, claim, provider, &person).await,
            provider::Recheck::Ended(error) => self.end_by_provider(session, provider, error.reason()).await,
            provider::Recheck::Undecided(error, rotated)
            | provider::Recheck::Misconfigured(error, rotated) => {
                self.undecided(session, claim, Some(provider), rotated, error.reason()).await
            }
        }
    }

    async fn confirmed(
        self: &Arc<Self>,
        session: SessionId,
        claim: &Recheck,
        provider: &Arc<Provider>,
        person: &Person,
    ) -> Result<Outcome, Refusal> {
        match person.admission {
            Admission::Admitted => {}
            Admission::Refused(_) => {
                return self.end_by_provider(session, provider, "provider_person_refused").await;
            }
            Admission::Undecided(_) => {
                let rotated = person.refresh_token.clone();
                let reason = "provider_admission_undecided";
                return self.undecided(session, claim, Some(provider), rotated, reason).await;
            }
        }
        let statement = statement_of(provider, person);
        if statement.roles.is_none() {
            // Not "no roles", and not "as before" for ever.
            let rotated = person.refresh_token.clone();
            let reason = "provider_roles_undecided";
            return self.undecided(session, claim, Some(provider), rotated, reason).await;
        }
        let refresh = person
            .refresh_token
            .as_ref()
            .map(|token| self.seal_token(SealedToken::Refresh, &claim.account, token));
        // The new refresh token first: the old one is void.
        self.store(session, &Rechecked::Confirmed { refresh, next: interval(provider) }).await?;
        let applied = self
            .at_vault(acting(
                Actor::Provider,
                self.parts.vault.identities.apply(&account_of(person), &statement),
            ))
            .await?;
        self.apply_revocation(&applied, EndReason::Provider).await;
        Ok(Outcome::Confirmed)
    }

    /// The provider could not be asked: another attempt is made later, and none for ever.
    async fn undecided(
        self: &Arc<Self>,
        session: SessionId,
        claim: &Recheck,
        provider: Option<&Arc<Provider>>,
        rotated: Option<Secret<String>>,
        reason: &'static str,
    ) -> Result<Outcome, Refusal> {
        let due_after = provider.map_or(Duration::ZERO, |provider| provider.settings().recheck);
        tracing::warn!(
            reason = "provider_recheck_failed",
            cause = reason,
            provider = claim.account.provider,
            session = %session,
            unconfirmed_s = claim.unconfirmed.as_secs(),
            "a provider could not confirm a person; the session ends if it cannot for too long"
        );
        if claim.unconfirmed > due_after + RECHECK_GRACE {
            return self.end_by_name(session, &claim.account.provider, "provider_recheck_overdue").await;
        }
        let refresh = rotated.map(|token| self.seal_token(SealedToken::Refresh, &claim.account, &token));
        let [part] = self.parts.random.bytes::<1>();
        let retry = RETRY + RETRY * u32::from(part) / 256;
        self.store(session, &Rechecked::Undecided { refresh, retry }).await?;
        Ok(Outcome::Undecided)
    }

    async fn end_by_provider(
        self: &Arc<Self>,
        session: SessionId,
        provider: &Provider,
        cause: &'static str,
    ) -> Result<Outcome, Refusal> {
        self.end_by_name(session, provider.id().as_str(), cause).await
    }

    async fn end_by_name(
        self: &Arc<Self>,
        session: SessionId,
        provider: &str,
        cause: &'static str,
    ) -> Result<Outcome, Refusal> {
        tracing::info!(
            reason = "session_ended_by_provider",
            cause,
            provider,
            session = %session,
            "a session was ended: its provider does not confirm the person any more"
        );
        self.revoke(Scope::Session(session, None), EndReason::Provider).await?;
        Ok(Outcome::Ended)
    }

    /// Stores the outcome of a recheck; tries again for a while, since a new refresh token would be lost.
    async fn store(&self, session: SessionId, outcome: &Rechecked) -> Result<(), Refusal> {
        let mut attempt = 1;
        loop {
            match self.at_vault(self.parts.vault.identities.settle(session, outcome)).await {
                Err(error) if attempt == STORE_ATTEMPTS => {
                    tracing::warn!(
                        reason = "provider_recheck_not_stored",
                        session = %session,
                        cause = %error,
                        "the outcome of a recheck was not stored: the session ends at the next one"
                    );
                    return Err(error.into());
                }
                Err(_) => tokio::time::sleep(STORE_PAUSE).await,
                Ok(()) => return Ok(()),
            }
            attempt += 1;
        }
    }
}
