//! Sign-outs during a vault outage: retried until the vault responds, once per session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::sign_in::browser::FORM_LIFE;
use crate::auth::{Auth, Settings};
use crate::clock::Monotonic;
use crate::error::Refusal;
use crate::secret::Secret;

/// Maximum number of pending sign-outs, some 200 bytes each. More than users sign out in an outage of hours.
const MAX_PENDING: usize = 10_000;

/// Pauses between two rounds. They double while the vault does not respond, and a random part of up to one half is
/// added so that gateways do not retry at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// Maximum time for pending sign-outs when the gateway stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Pending sign-outs, by the digest of the refresh family.
#[derive(Default)]
pub(crate) struct PendingLogouts {
    waiting: Mutex<HashMap<[u8; 32], Pending>>,
    added: Notify,
}

struct Pending {
    cookie: Secret<String>,
    since: Monotonic,
}

impl PendingLogouts {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Pending>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sign-out. Returns whether there was room.
    fn enter(&self, session: [u8; 32], cookie: &str, since: Monotonic) -> bool {
        let mut waiting = self.waiting();
        if !waiting.contains_key(&session) && waiting.len() >= MAX_PENDING {
            return false;
        }
        waiting.entry(session).or_insert_with(|| Pending { cookie: Secret::new(cookie.to_owned()), since });
        drop(waiting);
        self.added.notify_one();
        true
    }
}

impl Auth {
    /// Ends the session of a refresh cookie as soon as the vault is back. The sign-out is kept for the lifetime of a
    /// form, in the memory of this gateway.
    pub fn logout_browser_later(&self, cookie: &str) {
        let Some(session) = self.session_digest(cookie) else { return };
        if !self.logouts.enter(session, cookie, self.parts.clock.monotonic()) {
            tracing::warn!(
                reason = "logout_not_kept",
                "too many sign-outs wait for the vault: this session ends when it is idle or revoked"
            );
        }
    }

    /// Tries each pending sign-out once. Returns `false` when the vault does not respond.
    async fn try_logouts(self: &Arc<Self>, settings: &Settings) -> bool {
        let now = self.parts.clock.monotonic();
        let pending: Vec<_> = {
            let mut waiting = self.logouts.waiting();
            waiting.retain(|_, pending| now.since(pending.since) < FORM_LIFE);
            waiting.iter().map(|(session, pending)| (*session, pending.cookie.clone())).collect()
        };
        for (session, cookie) in pending {
            match self.logout_browser(cookie.expose(), settings).await {
                // The others wait for the next round.
                Err(Refusal::StoreUnavailable | Refusal::Overloaded) => return false,
                _ => drop(self.logouts.waiting().remove(&session)),
            }
        }
        true
    }

    /// Tries pending sign-outs a last time before the gateway ends.
    pub async fn settle_logouts(self: &Arc<Self>, settings: &Settings) {
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.try_logouts(settings)).await;
        let left = self.logouts.waiting().len();
        if left > 0 {
            tracing::warn!(
                reason = "logout_not_done",
                sessions = left,
                "the vault is away: sessions that were signed out stay until they are idle or revoked"
            );
        }
    }
}

/// Retries pending sign-outs; never returns.
pub async fn retry_logouts(auth: Arc<Auth>, settings: impl Fn() -> Settings) {
    loop {
        auth.logouts.added.notified().await;
        let mut pause = FIRST_PAUSE;
        while !auth.logouts.waiting().is_empty() {
            let [jitter] = auth.parts.random.bytes::<1>();
            tokio::time::sleep(pause + pause * u32::from(jitter) / 512).await;
            let vault_responded = auth.try_logouts(&settings()).await;
            pause = if vault_responded { FIRST_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_logouts_are_unique_and_bounded() {
        let (pending, now) = (PendingLogouts::default(), Monotonic::from_millis(1));
        let session = |number: usize| crate::token::sha256(&number.to_be_bytes());
        for _ in 0..3 {
            assert!(pending.enter(session(0), "cookie", now));
        }
        assert_eq!(pending.waiting().len(), 1);
        for number in 1..MAX_PENDING {
            assert!(pending.enter(session(number), "cookie", now));
        }
        assert!(!pending.enter(session(MAX_PENDING), "cookie", now));
        assert!(pending.enter(session(1), "cookie", now), "that one is pending already");
        assert_eq!(pending.waiting().len(), MAX_PENDING);
    }
}
