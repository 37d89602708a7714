use super::seen::MANY;
use super::*;
use crate::clock::Monotonic;
use std::time::Duration;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const NEWER_FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0";
const LIFE: Duration = Duration::from_secs(900);

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_millis(seconds * 1000)
}

fn session(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn from(home: &str, agent: Option<&str>) -> SignedInFrom {
    SignedInFrom {
        session: session(1),
        user: UserId::from_bytes([2; 16]),
        address: Some(address(home)),
        user_agent: agent.map(str::to_owned),
        is_frequent: false,
    }
}

fn patterns(from: &SignedInFrom, now: &str, agent: Option<&str>) -> Vec<&'static str> {
    let client = SeenClient { address: address(now), user_agent: agent };
    from.patterns(client).map(Pattern::as_str).collect()
}

#[test]
fn refresh_from_elsewhere_is_noticed_and_small_changes_are_not() {
    let home = from("203.0.113.7", Some(FIREFOX));
    assert_eq!(patterns(&home, "203.0.113.7", Some(FIREFOX)), [""; 0]);
    // Another address of the provider, and the next version of the browser.
    assert_eq!(patterns(&home, "203.0.200.1", Some(NEWER_FIREFOX)), [""; 0]);
    assert_eq!(patterns(&home, "::ffff:203.0.113.9", Some(FIREFOX)), [""; 0]);
    assert_eq!(patterns(&home, "203.1.113.7", Some(FIREFOX)), ["other_network"]);
    assert_eq!(patterns(&home, "2001:db8::1", Some(FIREFOX)), ["other_network"]);
    assert_eq!(patterns(&home, "203.0.113.7", Some("curl/8.5.0")), ["other_browser"]);
    assert_eq!(patterns(&home, "203.0.113.7", None), ["other_browser"]);
    let other = FIREFOX.replace("X11; Linux x86_64", "Windows NT 10.0");
    assert_eq!(patterns(&home, "198.51.100.1", Some(&other)), ["other_network", "other_browser"]);
    let six = from("2001:db8:1:2::3", None);
    assert_eq!(patterns(&six, "2001:db8:ffff::1", None), [""; 0]);
    assert_eq!(patterns(&six, "2001:db9::1", None), ["other_network"]);
    // Opened by an earlier release, or over a Unix socket.
    let unknown = SignedInFrom { address: None, ..from("203.0.113.7", None) };
    assert_eq!(patterns(&unknown, "198.51.100.1", None), [""; 0]);
}

#[test]
fn ordinary_refreshes_are_never_too_many() {
    let mut refreshes = Refreshes::default();
    // A week of refreshes: when a token expires, by three tabs at once.
    for number in 0..672 {
        for _ in 0..3 {
            assert!(!refreshes.count(session(1), LIFE, at(number * 900)), "{number}");
        }
    }
}

#[test]
fn refreshes_in_a_loop_are_too_many_until_they_stop() {
    let mut refreshes = Refreshes::default();
    let counted = (0..60).filter(|second| refreshes.count(session(1), LIFE, at(*second))).count();
    assert_eq!(counted, 30);
    assert!(!refreshes.count(session(2), LIFE, at(60)), "another session");
    assert!(!refreshes.count(session(1), LIFE, at(60 + 225)));
}

#[test]
fn full_memory_of_refreshes_counts_nobody_wrongly() {
    let mut refreshes = Refreshes::default();
    for number in 0..100_000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        refreshes.count(SessionId::from_bytes(id), LIFE, at(0));
    }
    for _ in 0..100 {
        assert!(!refreshes.count(session(255), LIFE, at(1)), "there is no room for it");
    }
    let counted = (0..40).filter(|_| refreshes.count(session(255), LIFE, at(900))).count();
    assert_eq!(counted, 10, "the others have run empty");
}

#[test]
fn address_that_fails_at_many_accounts_is_noticed_for_an_hour() {
    let mut accounts = Accounts::default();
    for number in 0..MANY {
        assert!(!accounts.are_many(address("198.51.100.1"), at(0)), "{number}");
        // Again and again at one account is one account.
        for _ in 0..3 {
            accounts.count(address("198.51.100.1"), &format!("user{number}"), at(0));
        }
    }
    assert!(accounts.are_many(address("198.51.100.1"), at(3599)));
    assert!(accounts.are_many(address("::ffff:198.51.100.1"), at(0)), "the same address");
    assert!(!accounts.are_many(address("198.51.100.2"), at(0)));
    assert!(!accounts.are_many(address("198.51.100.1"), at(3600)));
    accounts.count(address("198.51.100.1"), "ada", at(3600));
    assert!(!accounts.are_many(address("198.51.100.1"), at(3600)));
}

#[test]
fn addresses_of_one_customer_count_together() {
    let mut accounts = Accounts::default();
    for number in 0..MANY {
        accounts.count(address(&format!("2001:db8:1:2::{number:x}")), &format!("user{number}"), at(0));
    }
    assert!(accounts.are_many(address("2001:db8:1:2:ffff::1"), at(0)));
    assert!(!accounts.are_many(address("2001:db8:1:3::1"), at(0)));
}

#[test]
fn pattern_is_recorded_once_for_each_session_and_network() {
    let mut once = Once::default();
    let home = address("203.0.0.0");
    assert!(once.is_first((session(1), "other_network", home)));
    assert!(!once.is_first((session(1), "other_network", home)));
    assert!(once.is_first((session(1), "other_browser", home)));
    assert!(once.is_first((session(2), "other_network", home)));
    assert!(once.is_first((session(1), "other_network", address("198.51.0.0"))));
    for number in 0..10_000_u32 {
        once.is_first((session(3), "other_network", IpAddr::V4(number.into())));
    }
    assert!(once.is_first((session(1), "other_network", home)), "the oldest were forgotten");
}
