//! Refused attempts that wait to be written.
//!
//! ```text
//!  attempt --> equal one waiting? yes: counted there
//!              no: room for a row? yes: a row of its own
//!                                  no:  counted in the summary of its cause
//! ```
//!
//! Whatever strangers send, a gateway writes at most [`BURST`] rows at once and one per [`INTERVAL`] after that, and a
//! summary of each cause once a minute. So an attack costs the vault a bounded number of rows and no commit of its own,
//! and no attempt is left uncounted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::Notify;

use crate::clock::Monotonic;
use crate::id::UserId;
use crate::token::seal::MasterSecret;
use crate::vault::origin::Actor;
use crate::vault::{MAX_RECORDED, NewAuditEvent, Outcome};

/// Rows at once: more than the failures of a busy morning, and some hundred kilobytes of memory.
pub(super) const BURST: u64 = 500;
/// Time in which room for another row appears: at most 86,400 rows a day, some 15 MB.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Interval of the summaries.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of causes with a summary; there are some dozens of codes, and those of each provider.
const MAX_SUMMARIES: usize = 200;

/// Bytes of the digest of a login name that nobody has. It tells whether two attempts had the same name. It is short, because
/// people type passwords in this field: who has the vault and the master key and tries passwords finds thousands that fit
/// each digest, and not the one.
const NAME_BYTES: usize = 3;

/// A refused attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Failure {
    /// Stable code.
    pub(super) cause: String,
    /// User concerned.
    pub(super) user: Option<UserId>,
    /// Digest of a login name that nobody has.
    pub(super) name: Option<String>,
    /// Client address.
    pub(super) address: Option<IpAddr>,
}

/// Refused attempts, and other events, that wait to be written.
pub(in crate::auth) struct Failures {
    state: Mutex<State>,
    added: Notify,
    names: hmac::Key,
}

struct State {
    /// Equal attempts are one row: its request id is that of the first.
    rows: HashMap<Failure, (Option<String>, u32)>,
    /// Attempts without a row of their own, by cause.
    summaries: HashMap<String, u32>,
    /// Events that could not be written yet, and those of the gateway.
    ready: Vec<NewAuditEvent>,
    /// Room for rows, in milliseconds of [`INTERVAL`].
    room: u64,
    /// Time at which room was counted.
    counted_at: Option<Monotonic>,
    summed_at: Option<Monotonic>,
    is_closing: bool,
}

impl Failures {
    /// Creates an empty queue.
    pub(in crate::auth) fn new(master: &MasterSecret) -> Self {
        let room = BURST * interval_millis();
        Self {
            state: Mutex::new(State {
                rows: HashMap::new(),
                summaries: HashMap::new(),
                ready: Vec::new(),
                room,
                counted_at: None,
                summed_at: None,
                is_closing: false,
            }),
            added: Notify::new(),
            names: hmac::Key::new(hmac::HMAC_SHA256, master.derive("audit names").expose()),
        }
    }

    /// Returns the digest of a login name as typed.
    pub(super) fn name(&self, typed: &str) -> String {
        let tag = hmac::sign(&self.names, typed.as_bytes());
        tag.as_ref()[..NAME_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Adds a refused attempt.
    pub(super) fn add(&self, failure: Failure, request_id: Option<String>, now: Monotonic) {
        let mut state = self.state();
        let has_room = state.has_room(now);
        match state.rows.entry(failure) {
            Entry::Occupied(mut row) => row.get_mut().1 = row.get().1.saturating_add(1),
            Entry::Vacant(place) if has_room => {
                place.insert((request_id, 1));
                state.room -= interval_millis();
            }
            Entry::Vacant(place) => {
                let cause = place.into_key().cause;
                state.sum(cause);
            }
        }
        drop(state);
        self.added.notify_one();
    }

    /// Adds an event that is not bounded: it is no stranger's.
    pub(super) fn push(&self, event: NewAuditEvent) {
        let mut state = self.state();
        if state.ready.len() < MAX_RECORDED {
            state.ready.push(event);
        }
        drop(state);
        self.added.notify_one();
    }

    /// Waits for something to write.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    /// Takes what is to be written now, and the number of summaries among it, which are the last ones.
    pub(super) fn take(&self, now: Monotonic) -> (Vec<NewAuditEvent>, usize) {
        let mut state = self.state();
        let mut events = std::mem::take(&mut state.ready);
        // Rows beyond one statement wait for the next one.
        let room = MAX_RECORDED.saturating_sub(events.len());
        let rows: Vec<Failure> = state.rows.keys().take(room).cloned().collect();
        for failure in rows {
            let Some((request_id, times)) = state.rows.remove(&failure) else { continue };
            events.push(failed(failure, request_id, times));
        }
        let is_due = state.summed_at.is_none_or(|at| now.since(at) >= SUMMARY_INTERVAL) || state.is_closing;
        let mut summaries = 0;
        if is_due && !state.summaries.is_empty() && events.len() + state.summaries.len() <= MAX_RECORDED {
            state.summed_at = Some(now);
            for (cause, times) in std::mem::take(&mut state.summaries) {
                summaries += 1;
                let failure = Failure { cause, user: None, name: None, address: None };
                events.push(NewAuditEvent { event: SUMMARY, ..failed(failure, None, times) });
            }
        }
        let is_left = !state.rows.is_empty() || !state.summaries.is_empty();
        drop(state);
        if is_left {
            self.added.notify_one();
        }
        (events, summaries)
    }

    /// Takes back what could not be written. Returns the number of attempts that are lost.
    pub(super) fn put_back(&self, events: Vec<NewAuditEvent>) -> u64 {
        let mut state = self.state();
        let mut lost = 0;
        for event in events {
            if event.event == SUMMARY {
                let cause = event.cause.unwrap_or_default();
                let total = state.summaries.entry(cause).or_default();
                *total = total.saturating_add(event.times);
            } else if state.ready.len() < MAX_RECORDED {
                state.ready.push(event);
            } else {
                lost += u64::from(event.times);
            }
        }
        lost
    }

    /// Makes the next [`Self::take`] return the summaries too.
    pub(super) fn close(&self) {
        self.state().is_closing = true;
    }

    /// Returns the number of attempts that wait.
    pub(super) fn lost(&self) -> u64 {
        let state = self.state();
        let rows = state.rows.values().map(|(_, times)| u64::from(*times)).sum::<u64>();
        let ready = state.ready.iter().map(|event| u64::from(event.times)).sum::<u64>();
        rows + ready + state.summaries.values().map(|times| u64::from(*times)).sum::<u64>()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Event of a refused attempt, and of many that have no row of their own.
const FAILED: &str = "authentication_failed";
const SUMMARY: &str = "authentications_failed";

impl State {
    /// Counts the room that has appeared since the last time, and returns whether there is room for a row.
    fn has_room(&mut self, now: Monotonic) -> bool {
        let since = self.counted_at.map_or(Duration::ZERO, |at| now.since(at));
        let gained = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.counted_at = Some(now);
        self.room = self.room.saturating_add(gained).min(BURST * interval_millis());
        self.room >= interval_millis()
    }

    fn sum(&mut self, cause: String) {
        let cause = if self.summaries.len() < MAX_SUMMARIES || self.summaries.contains_key(&cause) {
            cause
        } else {
            "other".to_owned()
        };
        let times = self.summaries.entry(cause).or_default();
        *times = times.saturating_add(1);
    }
}

fn interval_millis() -> u64 {
    u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX)
}

fn failed(failure: Failure, request_id: Option<String>, times: u32) -> NewAuditEvent {
    let Failure { cause, user, name, address } = failure;
    NewAuditEvent {
        event: FAILED,
        outcome: Outcome::Failure,
        actor: Actor::Client.as_str().to_owned(),
        user,
        name,
        session: None,
        address,
        cause: Some(cause),
        request_id,
        times,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    fn failures() -> Failures {
        Failures::new(&MasterSecret::random(&SystemRandom))
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    fn failure(cause: &str, address: u32) -> Failure {
        let address = Some(IpAddr::V4(address.into()));
        Failure { cause: cause.into(), user: None, name: None, address }
    }

    #[test]
    fn equal_attempts_are_one_row_with_the_first_request_id() {
        let failures = failures();
        for id in ["one", "two", "three"] {
            failures.add(failure("password_wrong", 1), Some(id.into()), at(0));
        }
        failures.add(failure("password_wrong", 2), None, at(0));
        let (mut events, summaries) = failures.take(at(0));
        events.sort_by_key(|event| event.address);
        let seen: Vec<_> = events.iter().map(|e| (e.times, e.request_id.as_deref())).collect();
        assert_eq!((seen, summaries), (vec![(3, Some("one")), (1, None)], 0));
        assert_eq!(failures.take(at(0)), (Vec::new(), 0));
    }

    #[test]
    fn flood_is_bounded_in_rows_and_each_attempt_is_counted() {
        let failures = failures();
        let (mut rows, mut summary_rows, mut attempts) = (0, 0, 0);
        // An hour of a hundred attempts a second, each from another address.
        for second in 0..3600_u32 {
            for number in 0..100 {
                failures.add(
                    failure("user_unknown", second * 100 + number),
                    None,
                    at(u64::from(second) * 1000),
                );
            }
            let (events, summaries) = failures.take(at(u64::from(second) * 1000));
            rows += events.len() - summaries;
            summary_rows += summaries;
            attempts += events.iter().map(|event| u64::from(event.times)).sum::<u64>();
        }
        failures.close();
        let (events, _) = failures.take(at(3_600_000));
        attempts += events.iter().map(|event| u64::from(event.times)).sum::<u64>();
        assert_eq!(attempts, 360_000);
        assert!(rows <= 500 + 3600, "{rows} rows");
        assert!((59..=61).contains(&summary_rows), "{summary_rows} summaries");
    }

    #[test]
    fn unwritten_events_are_written_later_and_the_rest_is_counted() {
        let failures = failures();
        failures.add(failure("code_wrong", 1), None, at(0));
        let (events, _) = failures.take(at(0));
        assert_eq!(failures.put_back(events.clone()), 0);
        assert_eq!(failures.lost(), 1);
        assert_eq!(failures.take(at(0)).0, events);
        let many = vec![events[0].clone(); MAX_RECORDED + 7];
        assert_eq!(failures.put_back(many), 7);
    }

    #[test]
    fn name_is_a_short_digest_that_differs_by_vault() {
        let failures = failures();
        let name = failures.name("correct horse battery staple");
        assert_eq!((name.len(), &name), (6, &failures.name("correct horse battery staple")));
        assert_ne!(name, failures.name("Correct horse battery staple"));
        assert_ne!(name, self::failures().name("correct horse battery staple"));
    }
}
