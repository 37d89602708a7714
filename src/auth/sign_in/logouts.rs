//! Sign-outs that the vault could not be asked about: tried until it answers, each session once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::sign_in::browser::FORM_LIFE;
use crate::auth::{Auth, Settings};
use crate::clock::Monotonic;
use crate::error::Refusal;
use crate::secret::Secret;

/// Sessions waiting at most, some 200 bytes each. More people than sign out in an outage of hours.
const MOST: usize = 10_000;

/// Pauses between two rounds: doubled while the vault does not answer, and each up to half as long again by chance, so that
/// gateways do not come back at one moment.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How long they may take when the gateway stops.
const AT_STOP: Duration = Duration::from_secs(2);

/// The sessions, by the digest of their refresh family.
#[derive(Default)]
pub(crate) struct OwedLogouts {
    waiting: Mutex<HashMap<[u8; 32], Owed>>,
    more: Notify,
}

struct Owed {
    cookie: Secret<String>,
    since: Monotonic,
}

impl OwedLogouts {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Owed>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for it.
    fn enter(&self, session: [u8; 32], cookie: &str, since: Monotonic) -> bool {
        let mut waiting = self.waiting();
        if !waiting.contains_key(&session) && waiting.len() >= MOST {
            return false;
        }
        waiting.entry(session).or_insert_with(|| Owed { cookie: Secret::new(cookie.to_owned()), since });
        drop(waiting);
        self.more.notify_one();
        true
    }
}

impl Auth {
    /// Ends the session of a refresh cookie as soon as the vault is back; for as long as a form lives, and by this gateway if it
    /// lives so long.
    pub fn logout_browser_later(&self, cookie: &str) {
        let Some(session) = self.session_mark(cookie) else { return };
        if !self.logouts.enter(session, cookie, self.parts.clock.monotonic()) {
            tracing::warn!(
                reason = "logout_not_kept",
                "too many sign-outs wait for the vault: this session ends when it is idle or revoked"
            );
        }
    }

    /// Tries each that waits, once. `false` when the vault does not answer.
    async fn try_logouts(self: &Arc<Self>, settings: &Settings) -> bool {
        let now = self.parts.clock.monotonic();
        let owed: Vec<_> = {
            let mut waiting = self.logouts.waiting();
            waiting.retain(|_, owed| now.since(owed.since) < FORM_LIFE);
            waiting.iter().map(|(session, owed)| (*session, owed.cookie.clone())).collect()
        };
        for (session, cookie) in owed {
            match self.logout_browser(cookie.expose(), settings).await {
                // The others can wait too.
                Err(Refusal::StoreUnavailable | Refusal::Overloaded) => return false,
                _ => drop(self.logouts.waiting().remove(&session)),
            }
        }
        true
    }

    /// Tries them a last time, before the gateway ends.
    pub async fn settle_logouts(self: &Arc<Self>, settings: &Settings) {
        let _ = tokio::time::timeout(AT_STOP, self.try_logouts(settings)).await;
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

/// Ends the sessions that wait; never ends by itself.
pub async fn retry_logouts(auth: Arc<Auth>, settings: impl Fn() -> Settings) {
    loop {
        auth.logouts.more.notified().await;
        let mut pause = FIRST_PAUSE;
        while !auth.logouts.waiting().is_empty() {
            let [chance] = auth.parts.random.bytes::<1>();
            tokio::time::sleep(pause + pause * u32::from(chance) / 512).await;
            let answered = auth.try_logouts(&settings()).await;
            pause = if answered { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_waits_once_and_there_is_an_end_to_them() {
        let (owed, now) = (OwedLogouts::default(), Monotonic::from_millis(1));
        let session = |number: usize| crate::token::sha256(&number.to_be_bytes());
        for _ in 0..3 {
            assert!(owed.enter(session(0), "cookie", now));
        }
        assert_eq!(owed.waiting().len(), 1);
        for number in 1..MOST {
            assert!(owed.enter(session(number), "cookie", now));
        }
        assert!(!owed.enter(session(MOST), "cookie", now));
        assert!(owed.enter(session(1), "cookie", now), "that one waits already");
        assert_eq!(owed.waiting().len(), MOST);
    }
}
