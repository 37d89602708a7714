//! Renewal: an expired access cookie is replaced inside the request, by the refresh cookie beside it.
//!
//! The refresh token stays as it is, so that parallel requests, tabs and sleeping laptops have nothing to race for. Once a
//! day a page view rotates it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::browser::{BrowserTokens, read_cookie};
use super::flight::Flights;
use super::{Auth, Settings};
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

/// Answers, by the digest of the cookie they were given to, and when.
type Recent = HashMap<[u8; 32], (Monotonic, Arc<Renewed>)>;

/// Renewals under way, and those of the last seconds.
pub(super) struct Renewals {
    flights: Flights<Result<Arc<Renewed>, Refusal>>,
    recent: Arc<Mutex<Recent>>,
}

impl Renewals {
    pub(super) fn new() -> Self {
        Self { flights: Flights::new(), recent: Arc::default() }
    }

    fn recent(&self, key: &[u8; 32], now: Monotonic) -> Option<Arc<Renewed>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(key).filter(|(at, _)| now.since(*at) < REMEMBERED).map(|(_, renewed)| Arc::clone(renewed))
    }

    fn keep(&self, key: [u8; 32], now: Monotonic, renewed: &Arc<Renewed>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MOST {
            recent.retain(|_, (at, _)| now.since(*at) < REMEMBERED);
        }
        if recent.len() < MOST {
            recent.insert(key, (now, Arc::clone(renewed)));
        }
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
        let now = self.parts.clock.monotonic();
        if let Some(renewed) = self.renewals.recent(&key, now).filter(|_| !anew) {
            return Ok(renewed);
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
                return Ok(renewed);
            }
            // Counted here: it is one refresh, however many wait for it.
            let renewed = auth.ask_to_renew(token, remembered, may_rotate, &settings).await;
            let renewed = Arc::new(renewed.inspect_err(|refusal| auth.not_refreshed(refusal))?);
            auth.renewals.keep(key, now, &renewed);
            Ok(renewed)
        });
        match renewing.await {
            Some(answer) => answer,
            None => {
                self.parts.metrics.requests.panics.inc();
                Err(Refusal::Internal)
            }
        }
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
                super::detached(async move { auth.rotate_browser(token, remembered, &settings).await }).await
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
        let terms = super::browser::Terms::of_browser(remembered, settings);
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
        let terms = super::browser::Terms::of_browser(remembered, settings);
        let presented = self.presented(&token, terms, settings)?;
        let asked = self.parts.clock.monotonic();
        let rotation = self.parts.vault.sessions.rotate(&presented).await?;
        let tokens = self.rotated(rotation, token, settings, asked).await?;
        Ok(Renewed { tokens: BrowserTokens::new(&tokens, remembered, true) })
    }
}
