//! Renewal: an expired access cookie is replaced inside the request, by the refresh cookie beside it.
//!
//! The refresh token stays as it is, so that parallel requests, tabs and sleeping laptops have nothing to race for. Once a
//! day a page view rotates it.

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

/// How old a refresh cookie is when a page view rotates it: often enough that a copy is noticed the next day, seldom
/// enough that a lost answer hardly ever is one with a rotation in it.
const ROTATE_AFTER: Duration = Duration::from_hours(24);

/// How long an answer is handed out again: requests that were sent before the first one's new cookie arrived. Longer would
/// keep tokens in memory for nobody.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Answers remembered at once; beyond, the vault is asked again.
const MOST: usize = 10_000;

/// A browser goes on.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// What it is to keep from now on.
    pub tokens: BrowserTokens,
}

/// SHA-256 of a refresh cookie.
type Digest = [u8; 32];

/// The renewals of the last seconds, by cookie. The queue is in order of time, so that dropping those that are too old
/// costs constant time for each insertion.
#[derive(Default)]
struct Recent {
    answers: HashMap<Digest, (Monotonic, Arc<Renewed>)>,
    order: VecDeque<(Monotonic, Digest)>,
}

impl Recent {
    /// Drops what is older than [`REMEMBERED`].
    fn expire(&mut self, now: Monotonic) {
        while let Some(&(at, key)) = self.order.front()
            && now.since(at) >= REMEMBERED
        {
            self.order.pop_front();
            // The same cookie may have a newer answer, which has an entry of its own further back.
            if self.answers.get(&key).is_some_and(|(newest, _)| *newest == at) {
                self.answers.remove(&key);
            }
        }
    }

    fn insert(&mut self, key: Digest, now: Monotonic, renewed: &Arc<Renewed>) {
        self.expire(now);
        if self.order.len() < MOST {
            self.order.push_back((now, key));
            self.answers.insert(key, (now, Arc::clone(renewed)));
        }
    }
}

/// What one flight brings back.
#[derive(Clone)]
struct Landed {
    /// Whether it was begun for a caller that takes no answer from before.
    anew: bool,
    answer: Result<Arc<Renewed>, Refusal>,
}

/// Renewals under way, and those of the last seconds.
pub(crate) struct Renewals {
    flights: Flights<Landed>,
    recent: Mutex<Recent>,
}

impl Renewals {
    pub(crate) fn new() -> Self {
        Self { flights: Flights::new(), recent: Mutex::default() }
    }

    fn recent(&self, key: &Digest, now: Monotonic) -> Option<Arc<Renewed>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = recent.answers.get(key).filter(|(at, _)| now.since(*at) < REMEMBERED);
        answer.map(|(_, renewed)| Arc::clone(renewed))
    }

    fn keep(&self, key: Digest, now: Monotonic, renewed: &Arc<Renewed>) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now, renewed);
    }

    /// Drops tokens that are not handed out again any more, though nobody renews.
    pub(crate) fn expire(&self, now: Monotonic) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).expire(now);
    }
}

impl Auth {
    /// A new access token for a refresh cookie. Everybody who presents the same cookie now is answered by one question to
    /// the vault, and for some seconds by its answer, unless `anew`. `may_rotate`: the cookie itself is replaced when it
    /// is a day old.
    ///
    /// # Errors
    /// `RefreshInvalid`, `RefreshReused` (the session is ended), `StoreUnavailable`.
    pub async fn renew(
        self: &Arc<Self>,
        cookie: &str,
        may_rotate: bool,
        anew: bool,
        settings: &Settings,
    ) -> Result<Arc<Renewed>, Refusal> {
        let key = sha256(cookie.as_bytes());
        // A flight that began for others may bring back a token from before the change that this caller has met: it
        // waits for that one, so that two never rotate one cookie side by side, and then has one of its own.
        loop {
            let landed = self.renew_once(key, cookie, may_rotate, anew, settings).await?;
            if landed.anew || !anew {
                return landed.answer;
            }
            landed.answer?;
        }
    }

    async fn renew_once(
        self: &Arc<Self>,
        key: Digest,
        cookie: &str,
        may_rotate: bool,
        anew: bool,
        settings: &Settings,
    ) -> Result<Landed, Refusal> {
        let now = self.parts.clock.monotonic();
        if let Some(renewed) = self.renewals.recent(&key, now).filter(|_| !anew) {
            return Ok(Landed { anew, answer: Ok(renewed) });
        }
        // Forged ones end here: nothing is asked of the vault.
        let token = self.of_cookie(cookie, settings).await;
        let (token, _) = token.inspect_err(|refusal| self.not_refreshed(refusal))?;
        let (auth, settings) = (Arc::clone(self), settings.clone());
        let remembered = read_cookie(cookie).1;
        let renewing = self.renewals.flights.join(key, move || async move {
            let now = auth.parts.clock.monotonic();
            // Another flight may have landed since the look above.
            if let Some(renewed) = auth.renewals.recent(&key, now).filter(|_| !anew) {
                return Landed { anew, answer: Ok(renewed) };
            }
            // Counted here: it is one refresh, however many wait for it.
            let answer = match auth.ask_to_renew(token, remembered, may_rotate, &settings).await {
                Ok(renewed) => {
                    let renewed = Arc::new(renewed);
                    auth.renewals.keep(key, now, &renewed);
                    Ok(renewed)
                }
                Err(refusal) => {
                    auth.not_refreshed(&refusal);
                    Err(refusal)
                }
            };
            Landed { anew, answer }
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
        let renewed = match self.of_cookie(cookie, settings).await {
            Err(refusal) => Err(refusal),
            Ok((token, _)) => {
                let (auth, settings) = (Arc::clone(self), settings.clone());
                let remembered = read_cookie(cookie).1;
                crate::auth::detached(async move { auth.rotate_browser(token, remembered, &settings).await })
                    .await
            }
        };
        renewed.inspect_err(|refusal| self.not_refreshed(refusal))
    }

    async fn ask_to_renew(
        self: &Arc<Self>,
        token: RefreshToken,
        remembered: bool,
        may_rotate: bool,
        settings: &Settings,
    ) -> Result<Renewed, Refusal> {
        let terms = crate::auth::sign_in::browser::Terms::of_browser(remembered, settings);
        let presented = self.presented(&token, terms, settings)?;
        let asked = self.parts.clock.monotonic();
        let granted = self.granted(self.parts.vault.sessions.renew(&presented).await?).await?;
        if may_rotate && granted.age.is_some_and(|age| age >= ROTATE_AFTER) {
            return self.rotate_browser(token, remembered, settings).await;
        }
        // Of the generation before, the browser has not heard of the current one: it is told again.
        let other = granted.generation != token.generation;
        let current = RefreshToken { family: token.family, generation: granted.generation };
        let tokens = self.hand_out(&granted.grant, &current, granted.refresh_kid, settings, asked).await?;
        let counted = &self.parts.metrics.tokens;
        counted.refreshes.with_label_values(&["renewed"]).inc();
        counted.issued.of(GrantKind::Refresh).inc();
        Ok(Renewed { tokens: BrowserTokens::new(&tokens, remembered, other) })
    }

    async fn rotate_browser(
        self: &Arc<Self>,
        token: RefreshToken,
        remembered: bool,
        settings: &Settings,
    ) -> Result<Renewed, Refusal> {
        let terms = crate::auth::sign_in::browser::Terms::of_browser(remembered, settings);
        let presented = self.presented(&token, terms, settings)?;
        let asked = self.parts.clock.monotonic();
        let rotation = self.parts.vault.sessions.rotate(&presented).await?;
        let tokens = self.rotated(rotation, token, settings, asked).await?;
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
        };
        Arc::new(Renewed { tokens })
    }

    fn key(number: u64) -> Digest {
        sha256(&number.to_be_bytes())
    }

    #[test]
    fn renewed_tokens_leave_memory_after_seconds_with_or_without_further_renewals() {
        let (renewals, at) = (Renewals::new(), Monotonic::from_millis);
        for number in 0..100 {
            renewals.keep(key(number), at(number), &renewed());
        }
        assert!(renewals.recent(&key(99), at(5000)).is_some());
        renewals.expire(at(5050));
        let left = |renewals: &Renewals| renewals.recent.lock().unwrap().answers.len();
        assert_eq!(left(&renewals), 49);
        renewals.keep(key(100), at(6000), &renewed());
        assert_eq!(left(&renewals), 1);
        renewals.expire(at(60_000));
        assert_eq!(left(&renewals), 0);
    }

    #[test]
    fn a_newer_answer_to_one_cookie_outlives_the_older_one() {
        let (renewals, at) = (Renewals::new(), Monotonic::from_millis);
        renewals.keep(key(1), at(0), &renewed());
        renewals.keep(key(1), at(4000), &renewed());
        renewals.expire(at(5000));
        assert!(renewals.recent(&key(1), at(5000)).is_some());
        renewals.expire(at(9000));
        assert!(renewals.recent(&key(1), at(9000)).is_none());
    }

    #[test]
    fn renewed_tokens_in_memory_are_bounded_and_each_insertion_looks_only_at_expired_ones() {
        let renewals = Renewals::new();
        for number in 0..3 * MOST as u64 {
            renewals.keep(key(number), Monotonic::from_millis(number / 10_000), &renewed());
        }
        let recent = renewals.recent.lock().unwrap();
        assert_eq!((recent.answers.len(), recent.order.len()), (MOST, MOST));
    }
}
