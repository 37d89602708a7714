use std::net::IpAddr;
use std::ops::Range;

use super::limits::MAX_CODES;
use super::*;
use crate::clock::TravelClock;
use crate::id::{SessionId, SystemRandom};
use crate::session::memory::MemoryStore;

const HOUR: u64 = 3600;

/// A throttle with fixed limits, and its clock.
struct Fixed(Throttle, Attempts, Arc<TravelClock>);

impl Fixed {
    fn new(per_account: u32, per_address: u32) -> Self {
        let clock = Arc::new(TravelClock::new());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let master = MasterSecret::random(&SystemRandom);
        let throttle = Throttle::new(&master, store, clock.clone(), Arc::default());
        Self(throttle, Attempts { per_account, per_address, overall: 1_000_000 }, clock)
    }

    async fn by(&self, guesser: Guesser<'_>) -> Result<Charge, Exhausted> {
        self.0.charge(guesser, self.1).await
    }

    async fn charge(&self, account: &str, address: IpAddr) -> Result<Charge, Exhausted> {
        self.by(Guesser::Unknown { account, address }).await
    }

    fn pass(&self, secs: u64) {
        self.2.advance(Duration::from_secs(secs));
    }

    /// Returns how many of these addresses may guess.
    async fn hosts(&self, account: &str, hosts: Range<u32>) -> usize {
        let mut allowed = 0;
        for host in hosts {
            allowed +=
                usize::from(self.charge(account, IpAddr::V4((0x0a00_0000 + host).into())).await.is_ok());
        }
        allowed
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const USER: UserId = UserId::from_bytes([1; 16]);

fn owner(number: u8) -> Guesser<'static> {
    Guesser::Device { user: USER, number: [number; 8] }
}

#[tokio::test]
async fn a_burst_is_allowed_then_waits_double() {
    let throttle = Fixed::new(3, 100);
    let one = ip("192.0.2.1");
    for _ in 0..3 {
        throttle.charge("ada", one).await.unwrap();
    }
    let exhausted = Exhausted { wait: Duration::from_secs(6), scope: ThrottleScope::AccountFromAddress };
    assert_eq!(throttle.charge("ada", one).await.unwrap_err(), exhausted);
    throttle.charge("ada", ip("192.0.2.2")).await.unwrap();
    throttle.charge("bob", one).await.unwrap();
    for wait in [6, 12, 24, 48] {
        assert_eq!(throttle.charge("ada", one).await.unwrap_err().wait, Duration::from_secs(wait));
        throttle.pass(wait);
        throttle.charge("ada", one).await.unwrap();
    }
}

#[tokio::test]
async fn account_limit_covers_all_addresses_together() {
    assert_eq!(Fixed::new(2, 100).hosts("ada", 0..100).await, 20);
    assert_eq!(Fixed::new(10, 100).hosts("ada", 0..200).await, 50, "never more at once");
}

#[tokio::test]
async fn no_account_has_more_than_100_failures_in_a_day() {
    let throttle = Fixed::new(100, 100_000);
    let mut failures = Vec::new();
    for minute in 0..3 * 24 * 60 {
        failures.push(throttle.hosts("ada", minute * 10..minute * 10 + 10).await);
        throttle.pass(60);
    }
    let worst = failures.windows(24 * 60).map(|day| day.iter().sum::<usize>()).max();
    assert!(worst.is_some_and(|worst| (90..=100).contains(&worst)), "{worst:?}");
}

#[tokio::test]
async fn one_address_does_not_use_up_the_failures_of_an_account() {
    let throttle = Fixed::new(10, 100_000);
    let mut allowed = 0;
    for _ in 0..24 * HOUR / 6 {
        allowed += usize::from(throttle.charge("ada", ip("192.0.2.1")).await.is_ok());
        throttle.pass(6);
    }
    assert_eq!(allowed, 42);
    throttle.charge("ada", ip("192.0.2.2")).await.expect("another address");
}

#[tokio::test]
async fn unknown_clients_cannot_exhaust_a_known_device_or_session() {
    let throttle = Fixed::new(3, 100);
    assert_eq!(throttle.hosts("ada", 0..100).await, 30);
    let address = ip("198.51.100.1");
    assert!(throttle.charge("ada", address).await.is_err(), "the account is exhausted");
    let session = SessionId::from_bytes([2; 16]);
    for own in [owner(3), Guesser::Session { id: session, account: "ada", address }] {
        for _ in 0..3 {
            throttle.hosts("ada", 0..100).await;
            throttle.by(own).await.unwrap();
        }
        let exhausted = throttle.by(own).await.unwrap_err();
        let own = matches!(exhausted.scope, ThrottleScope::Device | ThrottleScope::Session);
        assert!(own, "its own guesses are limited too: {exhausted:?}");
    }
    // Another device of the account has not guessed.
    throttle.by(owner(4)).await.unwrap();
}

#[tokio::test]
async fn guesses_of_a_session_count_for_logins_too() {
    let throttle = Fixed::new(2, 100);
    let (id, address) = (SessionId::from_bytes([2; 16]), ip("192.0.2.1"));
    for _ in 0..2 {
        throttle.by(Guesser::Session { id, account: "ada", address }).await.unwrap();
    }
    assert!(throttle.charge("ada", address).await.is_err());
    throttle.charge("ada", ip("192.0.2.2")).await.unwrap();
}

#[tokio::test]
async fn correct_password_is_not_charged() {
    let throttle = Fixed::new(2, 2);
    for _ in 0..500 {
        let charge = throttle.charge("ada", ip("2001:db8::1")).await.unwrap();
        throttle.0.refund(charge);
    }
}

#[tokio::test]
async fn address_limit_spans_accounts_and_an_ipv6_network() {
    let throttle = Fixed::new(100, 2);
    throttle.charge("a", ip("2001:db8::1")).await.unwrap();
    throttle.charge("b", ip("2001:db8::2")).await.unwrap();
    let third = throttle.charge("c", ip("2001:db8::3")).await.unwrap_err();
    assert_eq!(third.scope, ThrottleScope::Address);
    throttle.charge("c", ip("2001:db8:0:1::3")).await.unwrap();
}

#[tokio::test]
async fn ipv6_site_has_ten_times_the_limit_of_a_network() {
    let throttle = Fixed::new(100, 2);
    let mut allowed = 0;
    for network in 0..1000 {
        let address = ip(&format!("2001:db8:0:{network:x}::1"));
        match throttle.charge(&network.to_string(), address).await {
            Ok(_) => allowed += 1,
            Err(exhausted) => assert_eq!(exhausted.scope, ThrottleScope::Network),
        }
    }
    assert_eq!(allowed, 20);
    throttle.charge("ada", ip("2001:db8:1::1")).await.expect("another site");
}

#[tokio::test]
async fn all_addresses_together_have_less_room_each_and_lock_nobody_out() {
    let mut throttle = Fixed::new(100, 50);
    throttle.1.overall = 200;
    let mut allowed = [0; 100];
    for attempt in 0..50 {
        for (host, allowed) in allowed.iter_mut().enumerate() {
            let address = IpAddr::V4((0x0a00_0000 + u32::try_from(host).unwrap()).into());
            match throttle.charge(&format!("{host}-{attempt}"), address).await {
                Ok(_) => *allowed += 1,
                Err(exhausted) => assert_eq!(exhausted.scope, ThrottleScope::Overall),
            }
        }
    }
    // Two each before all together are over their limit, and a tenth of 50 then.
    assert_eq!(allowed, [5; 100]);
    throttle.charge("ada", ip("192.0.2.1")).await.expect("an address without failures");
}

#[tokio::test]
async fn changed_limits_apply_to_earlier_charges() {
    let mut throttle = Fixed::new(5, 100);
    for _ in 0..3 {
        throttle.charge("ada", ip("192.0.2.1")).await.unwrap();
    }
    throttle.1.per_account = 2;
    throttle.charge("ada", ip("192.0.2.1")).await.expect("no wait had begun");
    let wait = throttle.charge("ada", ip("192.0.2.1")).await.unwrap_err().wait;
    assert_eq!(wait, Duration::from_secs(24), "that of two beyond the limit");
}

#[tokio::test]
async fn a_hundred_wrong_codes_in_a_row_are_the_last_until_a_new_password() {
    let throttle = Fixed::new(10, 100);
    let stranger = |epoch| Guesser::Codes { user: USER, epoch: Epoch(epoch) };
    let device = Guesser::DeviceCodes { user: USER, number: [3; 8] };
    for own in [stranger(1), device] {
        let mut allowed = 0;
        for _ in 0..300 {
            allowed += u32::from(throttle.by(own).await.is_ok());
            throttle.pass(HOUR);
        }
        assert_eq!(allowed, MAX_CODES);
        assert_eq!(throttle.by(own).await.unwrap_err().wait, LONGEST_WAIT);
    }
    throttle.by(stranger(2)).await.expect("the password was changed");
    throttle.0.forget(device, throttle.1);
    throttle.by(device).await.expect("after a correct code");
}
