//! The throttle: failed logins per account and per address, void codes and forged
//! logout tokens of providers, each in a leaky bucket.
//!
//! Unknown clients share the buckets of an account and of their address. A browser that has signed in to the account
//! before, and a session of the account, have a separate bucket (OWASP, "device cookies"). Guesses by others therefore
//! never lock the owner out there.
//!
//! Counts are kept in this process: a restart clears them, and N gateways admit N times as many attempts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::id::{SessionId, UserId};
use crate::policy::forwarded::network;
use crate::token::sha256;

/// Time in which one attempt leaks away. A longer time locks users out for longer. A shorter one allows more than
/// 14,400 guesses a day on one account (NIST SP 800-63B 3.2.2 asks for a bound on consecutive failures).
const ACCOUNT_LEAK: Duration = Duration::from_secs(6);
/// Ratio of an account's limit from all addresses together to its limit from one. A guesser at one address locks nobody
/// else out, and many guessers together are bounded (100 by default, NIST SP 800-63B 3.2.2).
const ALL_ADDRESSES: u32 = 10;
/// Time in which one attempt of an address leaks away. One address may stand for a whole office.
const ADDRESS_LEAK: Duration = Duration::from_secs(1);
/// Maximum number of buckets: 40 bytes each. When a flood of names exceeds it, the emptier half is dropped.
const MAX_BUCKETS: usize = 100_000;

/// Source of a login attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guesser<'a> {
    /// Any client, by address.
    Unknown {
        /// The name that was typed.
        account: &'a str,
        /// The client's address.
        address: IpAddr,
    },
    /// A browser that has signed in to this account before.
    Device {
        /// Id of its account.
        user: UserId,
        /// Number of the device mark.
        number: [u8; 8],
    },
    /// A callback of an identity provider: somebody who guesses codes makes this gateway ask the provider each time.
    Callback {
        /// The client's address.
        address: IpAddr,
    },
    /// A browser with a passkey: each forged response costs a lookup in the vault, the check of a signature, and a line of
    /// the log.
    Passkey {
        /// The client's address.
        address: IpAddr,
    },
    /// A sender of logout tokens: each forged one costs the check of a signature, and a line of the log.
    LogoutToken {
        /// The sender's address.
        address: IpAddr,
    },
    /// A signed-in session of the account, which must give the current password to change it.
    Session {
        /// Id of the session.
        id: SessionId,
        /// The name of its account.
        account: &'a str,
        /// The client's address.
        address: IpAddr,
    },
}

/// Charged buckets, to be refunded when the password was correct.
#[derive(Debug, Clone)]
pub(crate) struct Charge(Vec<[u8; 32]>);

/// A bucket is full: no further attempt for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// Time until the next attempt is allowed.
    pub(crate) wait: Duration,
    /// Whether the address bucket is full, rather than an account bucket.
    pub(crate) by_address: bool,
}

/// Limits on failed logins in a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Limit for one account from one address.
    pub per_account: u32,
    /// Limit for one address.
    pub per_address: u32,
}

/// Failed logins on this gateway.
#[derive(Default)]
pub(crate) struct Throttle {
    buckets: Mutex<HashMap<[u8; 32], Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Time at which the bucket will have leaked empty.
    empty_at: Monotonic,
    leak: Duration,
}

impl Throttle {
    /// Charges an attempt.
    ///
    /// # Errors
    /// [`Exhausted`] when an enforced bucket is full; nothing is charged then.
    pub(crate) fn charge(
        &self,
        guesser: Guesser<'_>,
        allowed: Attempts,
        now: Monotonic,
    ) -> Result<Charge, Exhausted> {
        let limits = limits(guesser, allowed);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            make_room(&mut buckets, now);
        }
        for (at, Limit { key, burst, leak, is_enforced }) in limits.iter().enumerate() {
            let (leak, burst) = (*leak, *burst);
            if !is_enforced {
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
            // A bucket that is not enforced may be full; it then takes no more.
            if filled.since(now) <= leak * burst {
                bucket.empty_at = filled;
                charged.push(key);
            }
        }
        Ok(Charge(charged))
    }

    /// Refunds an attempt.
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

/// Limit of one bucket.
struct Limit {
    key: [u8; 32],
    burst: u32,
    leak: Duration,
    /// Whether a full bucket refuses the attempt, or only counts it.
    is_enforced: bool,
}

fn limits(guesser: Guesser<'_>, Attempts { per_account, per_address }: Attempts) -> Vec<Limit> {
    // Digests: keys of bounded size for any typed name, and no names in memory.
    let limit =
        |name: String, burst, leak| Limit { key: sha256(name.as_bytes()), burst, leak, is_enforced: true };
    match guesser {
        Guesser::Unknown { account, address } => {
            let network = network(address);
            vec![
                limit(format!("from:{network}:{account}"), per_account, ACCOUNT_LEAK),
                limit(format!("account:{account}"), per_account.saturating_mul(ALL_ADDRESSES), ACCOUNT_LEAK),
                limit(format!("address:{network}"), per_address, ADDRESS_LEAK),
            ]
        }
        Guesser::Device { user, number } => {
            let number = u64::from_be_bytes(number);
            vec![limit(format!("device:{user}:{number}"), per_account, ACCOUNT_LEAK)]
        }
        // Apart from the addresses' bucket for passwords: neither locks the other.
        Guesser::Callback { address } => {
            vec![limit(format!("callback:{}", network(address)), per_address, ADDRESS_LEAK)]
        }
        Guesser::Passkey { address } => {
            vec![limit(format!("passkey:{}", network(address)), per_address, ADDRESS_LEAK)]
        }
        Guesser::LogoutToken { address } => {
            vec![limit(format!("logout:{}", network(address)), per_address, ADDRESS_LEAK)]
        }
        // Only the session's own bucket is enforced. The others count as well, so a stolen token gives no extra
        // guesses.
        Guesser::Session { id, account, address } => {
            let unknown =
                limits(Guesser::Unknown { account, address }, Attempts { per_account, per_address });
            let own = limit(format!("session:{id}"), per_account, ACCOUNT_LEAK);
            let counted = unknown.into_iter().map(|limit| Limit { is_enforced: false, ..limit });
            std::iter::once(own).chain(counted).collect()
        }
    }
}

fn later(at: Monotonic, span: Duration) -> Monotonic {
    Monotonic::from_millis(at.millis() + u64::try_from(span.as_millis()).unwrap_or(0))
}

/// Drops empty buckets; if that is not enough, the emptier half.
fn make_room(buckets: &mut HashMap<[u8; 32], Bucket>, now: Monotonic) {
    buckets.retain(|_, bucket| bucket.empty_at > now);
    if buckets.len() >= MAX_BUCKETS {
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

    /// A throttle with fixed limits.
    struct Fixed(Throttle, Attempts);

    impl Fixed {
        fn new(per_account: u32, per_address: u32) -> Self {
            Self(Throttle::default(), Attempts { per_account, per_address })
        }

        fn charge(&self, account: &str, address: IpAddr, now: Monotonic) -> Result<Charge, Exhausted> {
            self.0.charge(Guesser::Unknown { account, address }, self.1, now)
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
    fn account_limit_covers_all_addresses_together() {
        let throttle = Fixed::new(2, 100);
        let from = |host: u32| throttle.charge("ada", IpAddr::V4(host.into()), at(0)).is_ok();
        assert_eq!((0..100).filter(|host| from(0xc000_0200 + host)).count(), 20);
    }

    #[test]
    fn unknown_clients_cannot_exhaust_a_known_device_or_session() {
        let throttle = Fixed::new(3, 100);
        let unknown = |now| {
            for host in 0..100 {
                let _ = throttle.charge("ada", IpAddr::V4((0xc000_0200_u32 + host).into()), now);
            }
        };
        unknown(at(0));
        assert!(throttle.charge("ada", ip("198.51.100.1"), at(0)).is_err(), "the account is exhausted");
        let (user, session) = (UserId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        let address = ip("198.51.100.1");
        let owner = Guesser::Session { id: session, account: "ada", address };
        for own in [Guesser::Device { user, number: [3; 8] }, owner] {
            for round in 0..3 {
                unknown(at(round));
                throttle.0.charge(own, throttle.1, at(round)).unwrap();
            }
            let exhausted = throttle.0.charge(own, throttle.1, at(3)).unwrap_err();
            assert!(!exhausted.by_address, "its own guesses are limited too");
        }
        // Another device of the account has not guessed.
        throttle.0.charge(Guesser::Device { user, number: [4; 8] }, throttle.1, at(3)).unwrap();
    }

    #[test]
    fn guesses_of_a_session_count_for_logins_too() {
        let throttle = Fixed::new(2, 100);
        let (id, address) = (SessionId::from_bytes([2; 16]), ip("192.0.2.1"));
        for _ in 0..2 {
            throttle.0.charge(Guesser::Session { id, account: "ada", address }, throttle.1, at(0)).unwrap();
        }
        assert!(throttle.charge("ada", address, at(0)).is_err());
        throttle.charge("ada", ip("192.0.2.2"), at(0)).unwrap();
    }

    #[test]
    fn correct_password_is_not_charged() {
        let throttle = Fixed::new(2, 100);
        for _ in 0..50 {
            let charge = throttle.charge("ada", ip("192.0.2.1"), at(0)).unwrap();
            throttle.0.refund(charge);
        }
    }

    #[test]
    fn address_limit_spans_accounts_and_an_ipv6_network() {
        let throttle = Fixed::new(100, 2);
        throttle.charge("a", ip("2001:db8::1"), at(0)).unwrap();
        throttle.charge("b", ip("2001:db8::2"), at(0)).unwrap();
        assert!(throttle.charge("c", ip("2001:db8::3"), at(0)).unwrap_err().by_address);
        throttle.charge("c", ip("2001:db8:0:1::3"), at(0)).unwrap();
    }

    #[test]
    fn bucket_count_is_bounded() {
        let throttle = Fixed::new(1, u32::MAX);
        for at_ms in 0..(MAX_BUCKETS as u64 * 2) {
            let _ = throttle.charge(&at_ms.to_string(), ip("192.0.2.1"), Monotonic::from_millis(at_ms / 100));
        }
        assert!(throttle.0.buckets.lock().unwrap().len() <= MAX_BUCKETS);
    }

    #[test]
    fn changed_limits_apply_to_earlier_charges() {
        let throttle = Throttle::default();
        let charge = |per_account| {
            let allowed = Attempts { per_account, per_address: 100 };
            let guesser = Guesser::Unknown { account: "ada", address: ip("192.0.2.1") };
            throttle.charge(guesser, allowed, at(0))
        };
        for _ in 0..3 {
            charge(5).unwrap();
        }
        assert_eq!(charge(2).unwrap_err().wait, ACCOUNT_LEAK * 2, "three were charged, two are allowed");
        charge(5).unwrap();
    }
}
