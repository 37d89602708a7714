//! The throttle: failed logins per account and per address, each a leaky bucket.
//!
//! Strangers share the buckets of an account and of their address. A browser that has signed in to the account before, and a
//! session of it, have one of their own (OWASP, "device cookies"): whatever strangers do, its owner gets in there.
//!
//! Counted in this process: a restart forgets, and N gateways admit N times as many attempts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::id::{SessionId, UserId};
use crate::policy::forwarded::network;
use crate::token::sha256;

/// One attempt leaks away in this time. Slower locks people out for longer; faster lets a guesser try more than
/// 14,400 passwords a day on one account (NIST SP 800-63B 3.2.2 asks for a bound on consecutive failures).
const ACCOUNT_LEAK: Duration = Duration::from_secs(6);
/// An account may fail this many times as often from all addresses together as from one: a guesser at one address
/// locks nobody else out (T57), and many guessers together are bounded (100 by default, NIST SP 800-63B 3.2.2).
const EVERYWHERE: u32 = 10;
/// An address may stand for a whole office.
const ADDRESS_LEAK: Duration = Duration::from_secs(1);
/// Buckets kept at most: 40 bytes each. A flood of names beyond that empties the fullest-leaked ones first.
const BUCKETS: usize = 100_000;

/// Who tries a password.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guesser<'a> {
    /// Anybody, at an address.
    Stranger {
        /// The name that was typed.
        account: &'a str,
        /// The client's address.
        address: IpAddr,
    },
    /// A browser that has signed in to this account before.
    Device {
        /// Its account.
        user: UserId,
        /// Which of the account's.
        number: [u8; 8],
    },
    /// A signed-in session of the account: the current password is asked for before it is changed.
    Session {
        /// Which session.
        id: SessionId,
        /// The name of its account.
        account: &'a str,
        /// The client's address.
        address: IpAddr,
    },
}

/// What was charged, to be given back when the password was right.
#[derive(Debug, Clone)]
pub(crate) struct Charge(Vec<[u8; 32]>);

/// No further attempt for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// Until the next attempt is allowed.
    pub(crate) wait: Duration,
    /// Whether it is the address that has tried too many accounts, rather than the account that was tried too often.
    pub(crate) by_address: bool,
}

/// How many failed logins in a burst are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// For one account from one address.
    pub per_account: u32,
    /// From one address.
    pub per_address: u32,
}

/// Failed logins of this replica.
#[derive(Default)]
pub(crate) struct Throttle {
    buckets: Mutex<HashMap<[u8; 32], Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// When it will have leaked empty.
    empty_at: Monotonic,
    leak: Duration,
}

impl Throttle {
    /// Counts an attempt.
    ///
    /// # Errors
    /// What is exhausted; nothing is counted then.
    pub(crate) fn charge(
        &self,
        guesser: Guesser<'_>,
        allowed: Attempts,
        now: Monotonic,
    ) -> Result<Charge, Exhausted> {
        let limits = limits(guesser, allowed);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS {
            make_room(&mut buckets, now);
        }
        for (at, Limit { key, burst, leak, gates }) in limits.iter().enumerate() {
            let (leak, burst) = (*leak, *burst);
            if !gates {
                continue;
            }
            let filled = buckets.get(key).map_or(Duration::ZERO, |b| b.empty_at.since(now));
            let room = leak * burst;
            if filled + leak > room {
                return Err(Exhausted { wait: filled + leak - room, by_address: at == 2 });
            }
        }
        let mut charged = Vec::with_capacity(limits.len());
        for &Limit { key, leak, burst, .. } in &limits {
            let bucket = buckets.entry(key).or_insert(Bucket { empty_at: now, leak });
            let filled = later(bucket.empty_at.max(now), leak);
            // One that does not gate may be full: it holds no more for that.
            if filled.since(now) <= leak * burst {
                bucket.empty_at = filled;
                charged.push(key);
            }
        }
        Ok(Charge(charged))
    }

    /// Takes an attempt back.
    pub(crate) fn refund(&self, charge: Charge) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for key in charge.0 {
            if let Some(bucket) = buckets.get_mut(&key) {
                let leak = u64::try_from(bucket.leak.as_millis()).unwrap_or(u64::MAX);
                bucket.empty_at = Monotonic::from_millis(bucket.empty_at.millis().saturating_sub(leak));
            }
        }
    }
}

/// One bucket and what it holds.
struct Limit {
    key: [u8; 32],
    burst: u32,
    leak: Duration,
    /// Whether the attempt is refused when it is full, or only counted.
    gates: bool,
}

fn limits(guesser: Guesser<'_>, Attempts { per_account, per_address }: Attempts) -> Vec<Limit> {
    // Digests: bounded keys whatever is typed as a name, and no names kept in memory.
    let limit = |name: String, burst, leak| Limit { key: sha256(name.as_bytes()), burst, leak, gates: true };
    match guesser {
        Guesser::Stranger { account, address } => {
            let network = network(address);
            vec![
                limit(format!("from:{network}:{account}"), per_account, ACCOUNT_LEAK),
                limit(format!("account:{account}"), per_account.saturating_mul(EVERYWHERE), ACCOUNT_LEAK),
                limit(format!("address:{network}"), per_address, ADDRESS_LEAK),
            ]
        }
        Guesser::Device { user, number } => {
            let number = u64::from_be_bytes(number);
            vec![limit(format!("device:{user}:{number}"), per_account, ACCOUNT_LEAK)]
        }
        // Its own bucket decides. The others count as well: a stolen token is no second way to guess, beside the front door.
        Guesser::Session { id, account, address } => {
            let strangers =
                limits(Guesser::Stranger { account, address }, Attempts { per_account, per_address });
            let own = limit(format!("session:{id}"), per_account, ACCOUNT_LEAK);
            let counted = strangers.into_iter().map(|limit| Limit { gates: false, ..limit });
            std::iter::once(own).chain(counted).collect()
        }
    }
}

fn later(at: Monotonic, span: Duration) -> Monotonic {
    Monotonic::from_millis(at.millis() + u64::try_from(span.as_millis()).unwrap_or(0))
}

/// Drops what has leaked empty; if that is not enough, the emptier half.
fn make_room(buckets: &mut HashMap<[u8; 32], Bucket>, now: Monotonic) {
    buckets.retain(|_, bucket| bucket.empty_at > now);
    if buckets.len() >= BUCKETS {
        let mut ends: Vec<Monotonic> = buckets.values().map(|b| b.empty_at).collect();
        let middle = ends.len() / 2;
        let (_, &mut median, _) = ends.select_nth_unstable(middle);
        buckets.retain(|_, bucket| bucket.empty_at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Monotonic {
        Monotonic::from_millis(secs * 1000)
    }

    /// A throttle with its limits.
    struct Fixed(Throttle, Attempts);

    impl Fixed {
        fn new(per_account: u32, per_address: u32) -> Self {
            Self(Throttle::default(), Attempts { per_account, per_address })
        }

        fn charge(&self, account: &str, address: IpAddr, now: Monotonic) -> Result<Charge, Exhausted> {
            self.0.charge(Guesser::Stranger { account, address }, self.1, now)
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_allowed_then_one_attempt_per_leak() {
        let throttle = Fixed::new(3, 100);
        for _ in 0..3 {
            throttle.charge("ada", ip("192.0.2.1"), at(0)).unwrap();
        }
        assert_eq!(
            throttle.charge("ada", ip("192.0.2.1"), at(0)).unwrap_err(),
            Exhausted { wait: ACCOUNT_LEAK, by_address: false }
        );
        throttle.charge("ada", ip("192.0.2.2"), at(0)).unwrap();
        throttle.charge("bob", ip("192.0.2.1"), at(0)).unwrap();
        throttle.charge("ada", ip("192.0.2.1"), at(6)).unwrap();
        assert!(throttle.charge("ada", ip("192.0.2.1"), at(6)).is_err());
    }

    #[test]
    fn many_addresses_together_are_bounded_for_one_account() {
        let throttle = Fixed::new(2, 100);
        let from = |host: u32| throttle.charge("ada", IpAddr::V4(host.into()), at(0)).is_ok();
        assert_eq!((0..100).filter(|host| from(0xc000_0200 + host)).count(), 20);
    }

    #[test]
    fn strangers_cannot_exhaust_a_known_device_or_a_session() {
        let throttle = Fixed::new(3, 100);
        let strangers = |now| {
            for host in 0..100 {
                let _ = throttle.charge("ada", IpAddr::V4((0xc000_0200_u32 + host).into()), now);
            }
        };
        strangers(at(0));
        assert!(throttle.charge("ada", ip("198.51.100.1"), at(0)).is_err(), "the account is kept busy");
        let (user, session) = (UserId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        let address = ip("198.51.100.1");
        let owner = Guesser::Session { id: session, account: "ada", address };
        for own in [Guesser::Device { user, number: [3; 8] }, owner] {
            for round in 0..3 {
                strangers(at(round));
                throttle.0.charge(own, throttle.1, at(round)).unwrap();
            }
            let exhausted = throttle.0.charge(own, throttle.1, at(3)).unwrap_err();
            assert!(!exhausted.by_address, "its own guesses are bounded as anybody's");
        }
        // Another device of the account has not guessed.
        throttle.0.charge(Guesser::Device { user, number: [4; 8] }, throttle.1, at(3)).unwrap();
    }

    #[test]
    fn guesses_of_a_session_count_at_the_front_door_too() {
        let throttle = Fixed::new(2, 100);
        let (id, address) = (SessionId::from_bytes([2; 16]), ip("192.0.2.1"));
        for _ in 0..2 {
            throttle.0.charge(Guesser::Session { id, account: "ada", address }, throttle.1, at(0)).unwrap();
        }
        assert!(throttle.charge("ada", address, at(0)).is_err());
        throttle.charge("ada", ip("192.0.2.2"), at(0)).unwrap();
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let throttle = Fixed::new(2, 100);
        for _ in 0..50 {
            let charge = throttle.charge("ada", ip("192.0.2.1"), at(0)).unwrap();
            throttle.0.refund(charge);
        }
    }

    #[test]
    fn an_address_is_bounded_across_accounts_and_an_ipv6_customer_is_one_address() {
        let throttle = Fixed::new(100, 2);
        throttle.charge("a", ip("2001:db8::1"), at(0)).unwrap();
        throttle.charge("b", ip("2001:db8::2"), at(0)).unwrap();
        assert!(throttle.charge("c", ip("2001:db8::3"), at(0)).unwrap_err().by_address);
        throttle.charge("c", ip("2001:db8:0:1::3"), at(0)).unwrap();
    }

    #[test]
    fn a_flood_of_names_does_not_grow_without_bound() {
        let throttle = Fixed::new(1, u32::MAX);
        for at_ms in 0..(BUCKETS as u64 * 2) {
            let _ = throttle.charge(&at_ms.to_string(), ip("192.0.2.1"), Monotonic::from_millis(at_ms / 100));
        }
        assert!(throttle.0.buckets.lock().unwrap().len() <= BUCKETS);
    }

    #[test]
    fn other_limits_count_for_what_was_charged_before() {
        let throttle = Throttle::default();
        let charge = |per_account| {
            let allowed = Attempts { per_account, per_address: 100 };
            let guesser = Guesser::Stranger { account: "ada", address: ip("192.0.2.1") };
            throttle.charge(guesser, allowed, at(0))
        };
        for _ in 0..3 {
            charge(5).unwrap();
        }
        assert_eq!(charge(2).unwrap_err().wait, ACCOUNT_LEAK * 2, "three were charged, two are allowed");
        charge(5).unwrap();
    }
}
