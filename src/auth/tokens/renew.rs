//! Renewal: an expired access cookie is replaced within the request, by means of the refresh cookie.
//!
//! The refresh token stays the same, so that parallel requests, tabs and sleeping laptops do not race. Once a day a
//! page view rotates it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::auth::session::flight::Flights;
use crate::auth::sign_in::browser::{BrowserTokens, read_cookie};
use crate::auth::{Auth, Settings};
use crate::clock::Monotonic;
use crate::error::Refusal;
use crate::metrics::GrantKind;
use crate::token::refresh::RefreshToken;
use crate::token::sha256;

/// Age at which a page view rotates a refresh cookie: short enough that a copy is noticed the next day, long enough
/// that a lost response hardly ever carries a rotation.
const ROTATE_AFTER: Duration = Duration::from_hours(24);

/// Time for which a renewal is repeated, for requests that were sent before the first response's new cookie arrived. A
/// longer time would only keep tokens in memory.
const REPEAT_FOR: Duration = Duration::from_secs(5);

/// Maximum number of renewals kept for repetition. Beyond it the vault is queried again.
const MAX_RECENT: usize = 10_000;

/// A renewed browser session.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The new tokens.
    pub tokens: BrowserTokens,
}

/// SHA-256 of a refresh cookie.
type Digest = [u8; 32];

/// Renewals of the last seconds, by cookie. The queue is ordered by time, so that dropping expired ones costs constant
/// time per insertion.
#[derive(Default)]
struct Recent {
    renewals: HashMap<Digest, (Monotonic, Arc<Renewed>)>,
    order: VecDeque<(Monotonic, Digest)>,
}

impl Recent {
    /// Drops renewals older than [`REPEAT_FOR`].
    fn expire(&mut self, now: Monotonic) {
        while let Some(&(at, key)) = self.order.front()
            && now.since(at) >= REPEAT_FOR
        {
            self.order.pop_front();
            // The same cookie may have a newer renewal, with an entry of its own further back.
            if self.renewals.get(&key).is_some_and(|(newest, _)| *newest == at) {
                self.renewals.remove(&key);
            }
        }
    }

    fn insert(&mut self, key: Digest, now: Monotonic, renewed: &Arc<Renewed>) {
        self.expire(now);
        if self.order.len() < MAX_RECENT {
            self.order.push_back((now, key));
            self.renewals.insert(key, (now, Arc::clone(renewed)));
        }
    }
}

/// Result of one flight.
#[derive(Clone)]
struct FlightResult {
    /// Whether the flight was started for a caller that accepts no earlier renewal.
    anew: bool,
    result: Result<Arc<Renewed>, Refusal>,
}

/// Renewals in flight, and those of the last seconds.
pub(crate) struct Renewals {
    flights: Flights<FlightResult>,
    recent: Mutex<Recent>,
}

impl Renewals {
    pub(crate) fn new() -> Self {
        Self { flights: Flights::new(), recent: Mutex::default() }
    }

    fn recent(&self, key: &Digest, now: Monotonic) -> Option<Arc<Renewed>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let result = recent.renewals.get(key).filter(|(at, _)| now.since(*at) < REPEAT_FOR);
        result.map(|(_, renewed)| Arc::clone(renewed))
    }

    fn keep(&self, key: Digest, now: Monotonic, renewed: &Arc<Renewed>) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now, renewed);
    }

    /// Drops expired renewals; also called while no renewal takes place.
    pub(crate) fn expire(&self, now: Monotonic) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).expire(now);
    }
}

impl Auth {
    /// Returns a new access token for a refresh cookie. Concurrent callers with the same cookie share one vault query,
    /// and later callers its result for some seconds, unless `anew`. With `may_rotate`, a cookie that is a day old is
    /// replaced.
    ///
    /// # Errors
    /// `RefreshInvalid`, `RefreshReused` (the session was ended), `StoreUnavailable`.
    pub async fn renew(
        self: &Arc<Self>,
        cookie: &str,
        may_rotate: bool,
        anew: bool,
        settings: &Settings,
    ) -> Result<Arc<Renewed>, Refusal> {
        let key = sha256(cookie.as_bytes());
        // A flight started for others may return a token from before the change this caller has seen. The caller waits
        // for it, so that one cookie is never rotated twice at the same time, and then starts its own flight.
        loop {
            let flight = self.renew_once(key, cookie, may_rotate, anew, settings).await?;
            if flight.anew || !anew {
                return flight.result;
            }
            flight.result?;
        }
    }

    async fn renew_once(
        self: &Arc<Self>,
        key: Digest,
        cookie: &str,
        may_rotate: bool,
        anew: bool,
        settings: &Settings,
    ) -> Result<FlightResult, Refusal> {
        let now = self.parts.clock.monotonic();
        if let Some(renewed) = self.renewals.recent(&key, now).filter(|_| !anew) {
            return Ok(FlightResult { anew, result: Ok(renewed) });
        }
        // Forged tokens are refused here, without a vault query.
        let token = self.parse_cookie(cookie, settings).await;
        let (token, _) = token.inspect_err(|refusal| self.count_refusal(refusal))?;
        let (auth, settings) = (Arc::clone(self), settings.clone());
        let remembered = read_cookie(cookie).1;
        let renewing = self.renewals.flights.join(key, move || async move {
            let now = auth.parts.clock.monotonic();
            // Another flight may have ended since the check above.
            if let Some(renewed) = auth.renewals.recent(&key, now).filter(|_| !anew) {
                return FlightResult { anew, result: Ok(renewed) };
            }
            // Counted here: this is one refresh, for any number of waiting callers.
            let result = match auth.renew_in_vault(token, remembered, may_rotate, &settings).await {
                Ok(renewed) => {
                    let renewed = Arc::new(renewed);
                    auth.renewals.keep(key, now, &renewed);
                    Ok(renewed)
                }
                Err(refusal) => {
                    auth.count_refusal(&refusal);
                    Err(refusal)
                }
            };
            FlightResult { anew, result }
        });
        renewing.await.ok_or_else(|| {
            self.parts.metrics.requests.panics.inc();
            Refusal::Internal
        })
    }

    /// Rotates the token of a refresh cookie.
    ///
    /// # Errors
    /// As [`Auth::renew`].
    pub async fn refresh_browser(
        self: &Arc<Self>,
        cookie: &str,
        settings: &Settings,
    ) -> Result<Renewed, Refusal> {
        let begun = self.parts.clock.monotonic();
        let renewed = match self.parse_cookie(cookie, settings).await {
            Err(refusal) => Err(refusal),
            Ok((token, _)) => {
                let (auth, settings) = (Arc::clone(self), settings.clone());
                let remembered = read_cookie(cookie).1;
                let rotating = async move { auth.rotate_browser(token, remembered, begun, &settings).await };
                crate::auth::detached(rotating).await
            }
        };
        renewed.inspect_err(|refusal| self.count_refusal(refusal))
    }

    async fn renew_in_vault(
        self: &Arc<Self>,
        token: RefreshToken,
        remembered: bool,
        may_rotate: bool,
        settings: &Settings,
    ) -> Result<Renewed, Refusal> {
        let terms = crate::auth::sign_in::browser::Terms::of_browser(remembered, settings);
        let presented = self.presented(&token, terms, settings)?;
        let requested_at = self.parts.clock.monotonic();
        let renewal = self.at_vault(self.parts.vault.sessions.renew(&presented)).await?;
        let mut granted = self.granted(renewal).await?;
        granted.grant = self.rechecked(granted.grant, settings).await?;
        if may_rotate && granted.age.is_some_and(|age| age >= ROTATE_AFTER) {
            return self.rotate_browser(token, remembered, requested_at, settings).await;
        }
        // The browser presented the previous generation and does not have the current one: it is sent again.
        let is_other_generation = granted.generation != token.generation;
        let current = RefreshToken { family: token.family, generation: granted.generation };
        let mut tokens =
            self.issue_tokens(&granted.grant, &current, granted.refresh_kid, settings, requested_at).await?;
        self.count_refresh(&mut tokens, settings);
        let counted = &self.parts.metrics.tokens;
        counted.refreshes.with_label_values(&["renewed"]).inc();
        counted.issued.of(GrantKind::Refresh).inc();
        Ok(Renewed { tokens: BrowserTokens::new(&tokens, remembered, is_other_generation) })
    }

    async fn rotate_browser(
        self: &Arc<Self>,
        token: RefreshToken,
        remembered: bool,
        begun: Monotonic,
        settings: &Settings,
    ) -> Result<Renewed, Refusal> {
        let terms = crate::auth::sign_in::browser::Terms::of_browser(remembered, settings);
        let presented = self.presented(&token, terms, settings)?;
        let requested_at = self.still_in_time(begun, settings)?;
        let rotation = self.at_vault(self.parts.vault.sessions.rotate(&presented)).await?;
        let tokens = self.rotated(rotation, token, settings, requested_at).await?;
        Ok(Renewed { tokens: BrowserTokens::new(&tokens, remembered, true) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;
    use crate::secret::Secret;

    fn renewed() -> Arc<Renewed> {
        let access = Secret::new("token".to_owned());
        let tokens = BrowserTokens {
            session: SessionId::from_bytes([1; 16]),
            access,
            refresh: None,
            keep: None,
            device: None,
            from: Arc::new(crate::auth::SignedInFrom::unknown()),
        };
        Arc::new(Renewed { tokens })
    }

    fn key(number: u64) -> Digest {
        sha256(&number.to_be_bytes())
    }

    #[test]
    fn renewals_expire_with_and_without_further_renewals() {
        let (renewals, at) = (Renewals::new(), Monotonic::from_millis);
        for number in 0..100 {
            renewals.keep(key(number), at(number), &renewed());
        }
        assert!(renewals.recent(&key(99), at(5000)).is_some());
        renewals.expire(at(5050));
        let left = |renewals: &Renewals| renewals.recent.lock().unwrap().renewals.len();
        assert_eq!(left(&renewals), 49);
        renewals.keep(key(100), at(6000), &renewed());
        assert_eq!(left(&renewals), 1);
        renewals.expire(at(60_000));
        assert_eq!(left(&renewals), 0);
    }

    #[test]
    fn newer_renewal_of_a_cookie_outlives_the_older_one() {
        let (renewals, at) = (Renewals::new(), Monotonic::from_millis);
        renewals.keep(key(1), at(0), &renewed());
        renewals.keep(key(1), at(4000), &renewed());
        renewals.expire(at(5000));
        assert!(renewals.recent(&key(1), at(5000)).is_some());
        renewals.expire(at(9000));
        assert!(renewals.recent(&key(1), at(9000)).is_none());
    }

    #[test]
    fn recent_renewals_are_bounded() {
        let renewals = Renewals::new();
        for number in 0..3 * MAX_RECENT as u64 {
            renewals.keep(key(number), Monotonic::from_millis(number / 10_000), &renewed());
        }
        let recent = renewals.recent.lock().unwrap();
        assert_eq!((recent.renewals.len(), recent.order.len()), (MAX_RECENT, MAX_RECENT));
    }
}
