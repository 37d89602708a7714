use std::time::Duration;

use tokio::time::Instant;

use super::{Fleet, Guess, assert_owner_signs_in, known_browser, tried};
use crate::support::measured;

const HOUR: Duration = Duration::from_hours(1);

/// Number of guesses of one guesser that a time of this length allows: ten at once, then waits that double.
fn one_guesser(began: Instant) -> usize {
    let mut elapsed = began.elapsed().as_secs();
    let mut wait = 6;
    let mut allowed = 10;
    while elapsed >= wait {
        elapsed -= wait;
        allowed += 1;
        wait *= 2;
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_are_bounded_on_all_gateways_together_and_the_owner_signs_in() {
    // T56, T57.
    let mut fleet = Fleet::start(2).await;
    fleet.gateways[0].user("ada", &[]).await;
    let known = known_browser(&fleet.gateways[0], "ada").await;
    let before = fleet.hashes().await;
    let began = Instant::now();

    // 200 wrong passwords on one account, with a restart of a gateway between.
    let mut on_ada = tried(&fleet.gateways, (0..100).map(|_| Guess::at("ada"))).await;
    assert!(on_ada >= 10, "{on_ada}");
    let alone_there = fleet.gateways[0].metric("doorward_throttle_alone_total").await as usize;
    let hashed_there = fleet.gateways[0].metric("doorward_hash_seconds_count").await as usize;
    let mut stopped = fleet.gateways.remove(0);
    stopped.drain().await;
    let again = fleet.gateway().await;
    fleet.gateways.insert(0, again);
    on_ada += tried(&fleet.gateways, (0..100).map(|_| Guess::at("ada"))).await;
    let alone = alone_there + fleet.alone().await;
    assert!(on_ada <= one_guesser(began) + alone, "{on_ada} in {:?}, {alone} alone", began.elapsed());
    assert_owner_signs_in(&known, &fleet.gateways, "ada").await;

    // With forged headers: no gateway trusts a proxy.
    let forged = (0..200).map(|at| {
        let address = format!("198.51.100.{at}");
        let guess = Guess::at("ada");
        match at % 8 {
            0 => guess.saying("X-Forwarded-For", address),
            1 => guess.saying("X-Forwarded-For", format!("{address}, 127.0.0.1")),
            2 => guess.saying("X-Forwarded-For", "10.0.0.1".into()).saying("x-forwarded-for", address),
            3 => guess.saying("Forwarded", format!("for={address};proto=https")),
            4 => guess.saying("Forwarded", format!("for=\"[2001:db8::{at:x}]:4711\"")),
            5 => guess.saying("X-Real-IP", address),
            6 => guess.saying("CF-Connecting-IP", address.clone()).saying("True-Client-IP", address),
            _ => guess.saying("X-Client-IP", address.clone()).saying("X-Cluster-Client-IP", address),
        }
    });
    on_ada += tried(&fleet.gateways, forged).await;
    let alone = alone_there + fleet.alone().await;
    assert!(on_ada <= one_guesser(began) + alone, "{on_ada} in {:?}, {alone} alone", began.elapsed());
    assert_owner_signs_in(&known, &fleet.gateways, "ada").await;

    // One password over 500 accounts, which need not exist: 300 failures of an address, and one more in six seconds.
    let sprayed = tried(&fleet.gateways, (0..500).map(|at| Guess::at(format!("user{at}")))).await;
    let of_address = on_ada + sprayed;
    let alone = alone_there + fleet.alone().await;
    let most = 300 + alone + began.elapsed().as_secs().div_ceil(6) as usize;
    assert!((300..=most).contains(&of_address), "{of_address} of {most}");
    assert_owner_signs_in(&known, &fleet.gateways, "ada").await;

    // From 50 addresses: 50 failures of an account at once, and one more in 29 minutes.
    let many = (0..200).map(|at| Guess::at("ada").from(2 + at % 50));
    on_ada += tried(&fleet.gateways, many).await;
    let alone = alone_there + fleet.alone().await;
    assert!((50..=51 + alone).contains(&on_ada), "{on_ada}, {alone} alone");
    assert_owner_signs_in(&known, &fleet.gateways, "ada").await;

    let owner = 2 * 4;
    let hashed = fleet.hashes().await + hashed_there - before;
    assert_eq!(hashed, of_address + on_ada - (of_address - sprayed) + owner, "what is refused costs no hash");
    measured(format_args!(
        "1100 guesses in {:?}: {on_ada} on one account, {sprayed} on 500 others, {hashed} hashes",
        began.elapsed()
    ));

    // A day of it, from addresses that have not guessed: no more than 100 in any 24 hours.
    let mut each_hour = vec![on_ada];
    for hour in 0..26 {
        fleet.pass(HOUR).await;
        let guesses = (0..6).map(|at| Guess::at("ada").from(60 + (6 * hour + at) % 180));
        each_hour.push(tried(&fleet.gateways, guesses).await);
    }
    let worst = each_hour.windows(24).map(|day| day.iter().sum::<usize>()).max();
    let most = 100 + alone_there + fleet.alone().await;
    assert!(worst.is_some_and(|worst| (80..=most).contains(&worst)), "{each_hour:?} of {most}");
    assert_owner_signs_in(&known, &fleet.gateways, "ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unlock_lets_a_user_try_at_once() {
    let fleet = Fleet::start(2).await;
    let gateway = &fleet.gateways[0];
    gateway.user("ada", &[]).await;
    let all = async || tried(&fleet.gateways, (0..60).map(|at| Guess::at("ada").from(2 + at % 30))).await;
    let first = all().await;
    assert!((50..=50 + fleet.alone().await).contains(&first), "{first}");
    assert!(tried(&fleet.gateways, [Guess::at("ada")]).await <= fleet.alone().await);
    let said = gateway.command(&["user", "unlock", "ada"]).await;
    assert!(said.contains("`ada` are forgotten"), "{said}");
    gateway.login("ada").await;
    let again = all().await;
    assert!((50..=50 + fleet.alone().await).contains(&again), "as at the beginning: {again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_store_has_no_names_and_no_addresses() {
    let fleet = Fleet::start(1).await;
    fleet.gateways[0].user("ada", &[]).await;
    tried(&fleet.gateways, (2..10).map(|at| Guess::at("ada").from(at))).await;
    let keys: Vec<String> = fleet.redis.ask(&["KEYS", "*"]).await;
    let ours: Vec<_> = keys.iter().filter_map(|key| key.strip_prefix("dw:{t}:")).collect();
    // One for each address with the account; the account; for some seconds each address, and all of them.
    assert!((8 + 1..=8 + 1 + 8 + 1).contains(&ours.len()), "{keys:?}");
    for key in ours {
        assert_eq!(key.len(), 22, "{keys:?}");
        let left: i64 = fleet.redis.ask(&["PTTL", &format!("dw:{{t}}:{key}")]).await;
        assert_ne!(left, -1, "{key} never ends");
        let value: Option<String> = fleet.redis.ask(&["GET", &format!("dw:{{t}}:{key}")]).await;
        assert!(matches!(value.as_deref(), None | Some("1" | "1:")), "{value:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_takes_one_round_trip_more_and_requests_none() {
    let fleet = Fleet::start(1).await;
    let gateway = &fleet.gateways[0];
    gateway.user("ada", &[]).await;
    let calls = async |command: &str| -> u32 {
        let stats: String = fleet.redis.ask(&["INFO", "commandstats"]).await;
        let name = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
    };
    let tokens = gateway.login("ada").await;
    // One before the hash, and the refund after it, which nobody waits for.
    crate::support::assert_eventually("the refund", crate::support::gateway::SOON, async || {
        calls("eval").await == 2
    })
    .await;
    for _ in 0..20 {
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    }
    assert_eq!(calls("eval").await, 2);
    assert_eq!(tried(&fleet.gateways, [Guess::at("ada")]).await, 1);
    assert_eq!(calls("eval").await, 3);
}
