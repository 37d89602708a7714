//! The throttle: failed sign-ins, wrong codes, void codes and forged logout tokens of providers, in buckets that all
//! gateways share through the session store.
//!
//! Each attempt is charged before the work and refunded after a success, so that attempts at the same time count too. It
//! is charged here as well: while the session store does not answer, or is not shared, this gateway's own count decides,
//! with the same limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::auth::{Auth, Settings};
use crate::clock::{Clock, Monotonic};
use crate::error::Refusal;
use crate::id::UserId;
use crate::identity::{Epoch, Login};
use crate::metrics::{Metrics, Pattern, ThrottleScope};
use crate::session::attempts::local::LocalAttempts;
use crate::session::attempts::{Attempt, Bucket, BucketKey, Charged};
use crate::session::{SessionStore, SessionStoreError};
use crate::token::seal::MasterSecret;

mod limits;

pub use limits::Attempts;
pub(crate) use limits::Guesser;
use limits::{Keys, Limits};

/// Longest wait that a client is told: some counts last for a year.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Maximum number of responses held back at once. Each keeps a connection open, of those that everybody shares.
const MAX_HELD: usize = 256;

/// Charged buckets, to be refunded after a success.
#[derive(Debug, Clone)]
pub(crate) struct Charge {
    /// Those of this gateway.
    local: Option<Attempt>,
    /// Those of the session store, if it has answered.
    shared: Option<Attempt>,
}

/// A bucket is full: no further attempt for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// Time until the next attempt is allowed.
    pub(crate) wait: Duration,
    /// The bucket that is full.
    pub(crate) scope: ThrottleScope,
}

/// Failed attempts.
pub(crate) struct Throttle {
    keys: Keys,
    local: LocalAttempts,
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    held: Semaphore,
}

impl Throttle {
    /// Creates a throttle without failed attempts of its own.
    pub(crate) fn new(
        master: &MasterSecret,
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (keys, local, held) = (Keys::new(master), LocalAttempts::default(), Semaphore::new(MAX_HELD));
        Self { keys, local, store, clock, metrics, held }
    }

    /// Charges an attempt.
    ///
    /// # Errors
    /// [`Exhausted`] when a bucket is full; nothing is charged then.
    pub(crate) async fn charge(&self, guesser: Guesser<'_>, allowed: Attempts) -> Result<Charge, Exhausted> {
        let limits = self.keys.limits(guesser, allowed);
        // A full bucket of this gateway takes no more, but does not overrule the session store: there an operator may have
        // forgotten the failures.
        let local = self.local.charge(&limits.attempt, self.now());
        if self.store.is_shared() {
            match self.store.charge(&limits.attempt).await {
                Ok(shared) => {
                    let local = limits.charged(&local).ok();
                    return match limits.charged(&shared) {
                        Ok(shared) => Ok(Charge { local, shared: Some(shared) }),
                        Err(exhausted) => {
                            self.refund(Charge { local, shared: None });
                            Err(self.counted(exhausted))
                        }
                    };
                }
                Err(error) => {
                    self.metrics.tokens.throttled_alone.inc();
                    tracing::debug!(%error, "this gateway alone counts an attempt");
                }
            }
        }
        let local = limits.charged(&local).map_err(|exhausted| self.counted(exhausted))?;
        Ok(Charge { local: Some(local), shared: None })
    }

    fn counted(&self, exhausted: Exhausted) -> Exhausted {
        self.metrics.tokens.throttled.of(exhausted.scope).inc();
        exhausted
    }

    /// Refunds an attempt. Nobody waits for the session store: a refund that is lost counts as a failure.
    pub(crate) fn refund(&self, charge: Charge) {
        if let Some(local) = charge.local {
            self.local.refund(&local, self.now());
        }
        if let Some(shared) = charge.shared {
            let store = Arc::clone(&self.store);
            tokio::spawn(async move { lost(store.refund(&shared).await) });
        }
    }

    /// Forgets the failures of a guesser in its counted bucket, after a correct code.
    pub(crate) fn forget(&self, guesser: Guesser<'_>, allowed: Attempts) {
        let Limits { attempt, .. } = self.keys.limits(guesser, allowed);
        let keys: Vec<BucketKey> = attempt.buckets.iter().map(|bucket| bucket.key).collect();
        self.local.forget(&[], &keys);
        if self.store.is_shared() {
            let store = Arc::clone(&self.store);
            tokio::spawn(async move { lost(store.forget(&[], &keys).await) });
        }
    }

    /// Holds a response back, if not too many are.
    pub(crate) async fn hold_back(&self, delay: Duration) {
        if let (false, Ok(_held)) = (delay.is_zero(), self.held.try_acquire()) {
            tokio::time::sleep(delay).await;
        }
    }

    fn now(&self) -> Monotonic {
        self.clock.monotonic()
    }
}

fn lost(sent: Result<(), SessionStoreError>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "failures of a success still count in the session store");
    }
}

impl Limits {
    /// Returns what was charged of this attempt.
    ///
    /// # Errors
    /// [`Exhausted`].
    fn charged(&self, charged: &Charged) -> Result<Attempt, Exhausted> {
        match charged {
            Charged::Allowed(flags) => {
                let buckets = self.attempt.buckets.iter().zip(flags).filter(|(_, charged)| **charged);
                let buckets: Vec<Bucket> = buckets.map(|(bucket, _)| *bucket).collect();
                Ok(Attempt { account: self.attempt.account, buckets })
            }
            Charged::Full { bucket, wait, is_tight } => {
                let scope = self.scopes.get(*bucket).copied().unwrap_or(ThrottleScope::Account);
                let of_address = matches!(scope, ThrottleScope::Address | ThrottleScope::Network);
                let scope = if *is_tight && of_address { ThrottleScope::Overall } else { scope };
                Err(Exhausted { wait: (*wait).min(LONGEST_WAIT), scope })
            }
        }
    }
}

impl Auth {
    /// Charges an attempt to the throttle.
    ///
    /// # Errors
    /// `RateLimited`.
    pub(crate) async fn charge(&self, guesser: Guesser<'_>, settings: &Settings) -> Result<Charge, Refusal> {
        self.throttle.charge(guesser, settings.attempts).await.map_err(|exhausted| {
            let pattern = match exhausted.scope {
                ThrottleScope::Address | ThrottleScope::Network | ThrottleScope::Overall => {
                    Some(Pattern::PasswordGuessingAddress)
                }
                ThrottleScope::Account
                | ThrottleScope::AccountFromAddress
                | ThrottleScope::Device
                | ThrottleScope::Session => Some(Pattern::PasswordGuessingAccount),
                ThrottleScope::Code => Some(Pattern::CodeGuessing),
                ThrottleScope::Response => None,
            };
            if let Some(pattern) = pattern {
                self.parts.metrics.requests.unusual.of(pattern).inc();
            }
            Refusal::RateLimited(exhausted.wait)
        })
    }
}

/// Forgets the failed attempts on an account in a shared session store: wrong passwords of everybody, known browsers and
/// sessions included, and wrong codes.
///
/// # Errors
/// When the store does not answer.
pub async fn unlock(
    master: &MasterSecret,
    store: &dyn SessionStore,
    (login, user, epoch): (&Login, UserId, Epoch),
) -> Result<(), SessionStoreError> {
    let keys = Keys::new(master);
    let accounts = [keys.account(login.as_str()), keys.user(user)];
    store.forget(&accounts, &[keys.all_strangers(login.as_str()), keys.codes(user, epoch)]).await
}

#[cfg(test)]
mod tests;
