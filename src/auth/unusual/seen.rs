//! Bounded memory of refreshes, failures and what was recorded.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Monotonic;
use crate::id::SessionId;
use crate::policy::forwarded::network;
use crate::token::sha256;

/// Refreshes in a burst. A session that several tabs, gateways and programs share needs a few in each life of a token.
const BURST: u32 = 30;
/// Refreshes in the life of an access token that go on for ever without a pattern.
const IN_A_LIFE: u32 = 4;
/// Maximum number of sessions whose refreshes are counted: 40 bytes each. Beyond it, others are counted once
/// some have run empty.
const MAX_SESSIONS: usize = 100_000;

/// Refreshes of sessions, each in a leaky bucket.
#[derive(Default)]
pub(super) struct Refreshes(HashMap<SessionId, Bucket>);

/// Time at which the bucket is empty again.
struct Bucket(Monotonic);

impl Refreshes {
    /// Counts a refresh; returns whether the bucket is full.
    pub(super) fn count(&mut self, session: SessionId, life: Duration, now: Monotonic) -> bool {
        let leak = life / IN_A_LIFE;
        if self.0.len() >= MAX_SESSIONS && !self.0.contains_key(&session) {
            self.0.retain(|_, bucket| bucket.0 > now);
            if self.0.len() >= MAX_SESSIONS {
                return false;
            }
        }
        let Bucket(empty_at) = self.0.entry(session).or_insert(Bucket(now));
        let filled = (*empty_at).max(now) + leak;
        let is_full = filled.since(now) > leak * BURST;
        if !is_full {
            *empty_at = filled;
        }
        is_full
    }
}

/// Accounts of one address within [`WINDOW`] that make a pattern. An office of a thousand people has mistyped passwords of a
/// hundred accounts in its busiest hour (one person in ten).
pub(super) const MANY: usize = 100;
/// Time within which failures are counted.
const WINDOW: Duration = Duration::from_secs(3600);
/// Maximum number of addresses; with [`MANY`] accounts of 8 bytes each, 8 MB.
const MAX_ADDRESSES: usize = 10_000;

/// Accounts at which addresses failed (IPv6: a /64).
#[derive(Default)]
pub(super) struct Accounts(HashMap<IpAddr, Window>);

struct Window {
    since: Monotonic,
    /// The first eight bytes of SHA-256 of each name.
    accounts: HashSet<[u8; 8]>,
}

impl Accounts {
    pub(super) fn count(&mut self, address: IpAddr, account: &str, now: Monotonic) {
        let address = network(address);
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&address) {
            self.0.retain(|_, window| now.since(window.since) < WINDOW);
            if self.0.len() >= MAX_ADDRESSES {
                return;
            }
        }
        let window = self.0.entry(address).or_insert_with(|| Window { since: now, accounts: HashSet::new() });
        if now.since(window.since) >= WINDOW {
            *window = Window { since: now, accounts: HashSet::new() };
        }
        if window.accounts.len() < MANY {
            let [a, b, c, d, e, f, g, h, ..] = sha256(account.as_bytes());
            window.accounts.insert([a, b, c, d, e, f, g, h]);
        }
    }

    /// Returns whether an address has failed at many accounts.
    pub(super) fn are_many(&self, address: IpAddr, now: Monotonic) -> bool {
        let window = self.0.get(&network(address)).filter(|window| now.since(window.since) < WINDOW);
        window.is_some_and(|window| window.accounts.len() >= MANY)
    }
}

/// Maximum number of recorded patterns that are remembered: a megabyte.
const MAX_RECORDED: usize = 10_000;

/// A session, a pattern, and the network of the client.
pub(super) type Recorded = (SessionId, &'static str, IpAddr);

/// Patterns that were recorded, so that each is recorded once.
#[derive(Default)]
pub(super) struct Once {
    recorded: HashSet<Recorded>,
    order: VecDeque<Recorded>,
}

impl Once {
    /// Returns true the first time; the oldest are forgotten.
    pub(super) fn is_first(&mut self, what: Recorded) -> bool {
        if !self.recorded.insert(what) {
            return false;
        }
        self.order.push_back(what);
        if self.order.len() > MAX_RECORDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.recorded.remove(&oldest);
        }
        true
    }
}
