//! Many people whose rechecks fall due at once, on three gateways.
//!
//! `DOORWARD_PEOPLE` sets their number: `make bench-rechecks` measures 1,000.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Fleet, expired};
use crate::browser::Browser;
use crate::identity::{OPEN, Surfer};
use crate::support::{assert_eventually, measured};

const GATEWAYS: usize = 3;

/// People in `make test`: more than all gateways recheck at one time.
const PEOPLE: usize = 150;

/// Sign-ins at one time.
const AT_ONCE: usize = 16;

/// Requests at one time. Three gateways, their clients and the stores share the machine; beyond this the vault, not the
/// provider, is what they wait for.
const IN_FLIGHT: usize = 300;

/// Time for all rechecks, in a test build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

fn people() -> usize {
    let asked = std::env::var("DOORWARD_PEOPLE").ok();
    asked.map_or(PEOPLE, |asked| asked.parse().expect("DOORWARD_PEOPLE: a number"))
}

/// Three gateways, and browsers in which people have signed in, each at the gateway of its number.
async fn signed_in(people: usize) -> (Fleet, Vec<Browser>) {
    let claims = |at: usize| json!({ "preferred_username": format!("person{at}"), "groups": ["platform"] });
    let all: Value = (0..people).map(|at| (format!("person{at}"), claims(at))).collect();
    let fleet = Fleet::start(GATEWAYS, &all, OPEN).await;
    let begun = Instant::now();
    let mut browsers = Vec::new();
    for first in (0..people).step_by(AT_ONCE) {
        let mut signing_in = JoinSet::new();
        for at in first..people.min(first + AT_ONCE) {
            let mut surfer = Surfer::new(&fleet.gateways[at % GATEWAYS], fleet.provider.address());
            signing_in.spawn(async move {
                surfer.sign_in_as(&format!("person{at}")).await;
                (at, surfer.here)
            });
        }
        browsers.extend(signing_in.join_all().await);
    }
    browsers.sort_by_key(|(at, _)| *at);
    let browsers = browsers.into_iter().map(|(_, browser)| browser).collect();
    measured(format_args!("{people} people signed in within {:.1} s", begun.elapsed().as_secs_f64()));
    (fleet, browsers)
}

/// Every browser asks at `tabs` gateways at once. Returns its state afterwards, and how long each request took.
async fn all_ask(fleet: &Fleet, browsers: &[Browser], tabs: usize) -> (Vec<Browser>, Vec<Duration>) {
    let (mut asking, room) = (JoinSet::new(), Arc::new(Semaphore::new(IN_FLIGHT)));
    for (at, browser) in browsers.iter().enumerate() {
        for tab in 0..tabs {
            let mut browser = expired(browser).at(&fleet.gateways[(at + tab) % GATEWAYS]);
            let room = Arc::clone(&room);
            asking.spawn(async move {
                let _place = room.acquire().await.expect("never closed");
                let begun = Instant::now();
                let response = browser.fetch("/").await;
                assert_eq!(response.status, 200, "person{at}, tab {tab}: {}", response.text());
                (at, tab, browser, begun.elapsed())
            });
        }
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(at, tab, ..)| (*at, *tab));
    let took = answers.iter().map(|(.., took)| *took).collect();
    (answers.into_iter().filter(|(_, tab, ..)| *tab == 0).map(|(_, _, browser, _)| browser).collect(), took)
}

/// The requests' number and times.
fn summary(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    format!("{} requests, p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms", took.len(), at(50), at(99), at(100))
}

fn rechecks(outcome: &str) -> String {
    format!("doorward_provider_rechecks_total{{outcome=\"{outcome}\",provider=\"sso\"}}")
}

async fn alive(fleet: &Fleet) -> usize {
    fleet.sql("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await.trim().parse().expect("a number")
}

/// Requests for refreshes that the gateways have sent, whatever became of them.
async fn sent(fleet: &Fleet) -> f64 {
    let mut sum = 0.0;
    for gateway in &fleet.gateways {
        let text = gateway.probe("/metrics").await.text();
        let lines = text.lines().filter(|line| line.starts_with("doorward_outbound_requests_total{"));
        let of_refresh = lines.filter(|line| line.contains("purpose=\"refresh\""));
        sum += of_refresh.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn rechecks_that_fall_due_at_once_use_each_refresh_token_once() {
    let people = people();
    let (fleet, mut browsers) = signed_in(people).await;
    let count = people as u64;
    for round in 1..=2 {
        fleet.make_due().await;
        let begun = Instant::now();
        let (after, took) = all_ask(&fleet, &browsers, 2).await;
        browsers = after;
        measured(format_args!("round {round}: {}", summary(took)));
        let is_done = async || fleet.metric(&rechecks("confirmed")).await >= (count * round) as f64;
        while !is_done().await {
            assert!(begun.elapsed() < PATIENCE, "not all are confirmed");
            // A gateway that is too busy to take a recheck leaves it to the next renewal.
            fleet.pass(Duration::from_secs(10)).await;
            browsers = all_ask(&fleet, &browsers, 1).await.0;
        }
        measured(format_args!("round {round}: all confirmed after {:.1} s", begun.elapsed().as_secs_f64()));
        // In the second round the tokens that the first one got.
        assert_eq!(fleet.provider.uses().await, (count * round, 1), "tokens, and uses of the one used most");
        assert_eq!(fleet.provider.count("token:refresh_token").await, count * round);
        assert_eq!(fleet.provider.count("refused:invalid_grant").await, 0);
        assert_eq!(alive(&fleet).await, people, "nobody was signed out");
    }
    assert_eq!(fleet.metric(&rechecks("ended")).await + fleet.metric(&rechecks("undecided")).await, 0.0);
    for browser in &mut browsers {
        assert_eq!(browser.fetch("/admin").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_is_stopped_when_rechecks_fall_due_is_asked_once_for_each() {
    let people = people() / 3;
    let (mut fleet, browsers) = signed_in(people).await;
    fleet.provider.stop();
    fleet.make_due().await;
    let before = sent(&fleet).await;
    let (browsers, took) = all_ask(&fleet, &browsers, 2).await;
    measured(format_args!("provider stopped: {}", summary(took)));
    let is_done = async || fleet.metric(&rechecks("undecided")).await == people as f64;
    assert_eventually("all are undecided", PATIENCE, is_done).await;
    assert!(sent(&fleet).await - before <= people as f64);
    // Everybody asks again soon; the next attempt is a minute or two away.
    fleet.pass(Duration::from_secs(10)).await;
    let (_, took) = all_ask(&fleet, &browsers, 1).await;
    measured(format_args!("again: {}", summary(took)));
    assert!(sent(&fleet).await - before <= people as f64);
    assert_eq!(fleet.metric(&rechecks("undecided")).await, people as f64);
    assert_eq!(alive(&fleet).await, people);
    let spread = "SELECT count(*) FROM session_providers WHERE check_at > now() + interval '20 seconds' \
                  AND check_at < now() + interval '2 minutes'";
    assert_eq!(fleet.sql(spread).await.trim(), people.to_string(), "attempts are spread over a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_hangs_when_rechecks_fall_due_slows_nobody_else() {
    let people = people() / 3;
    let (fleet, browsers) = signed_in(people + 1).await;
    let (bystander, browsers) = browsers.split_last().expect("one more");
    fleet.provider.hang(true).await;
    fleet.make_due().await;
    let (asked, others) = tokio::join!(all_ask(&fleet, browsers, 2), async {
        let (mut browser, mut took) = (bystander.clone(), Vec::new());
        for _ in 0..200 {
            let begun = Instant::now();
            assert_eq!(browser.fetch("/").await.status, 200);
            took.push(begun.elapsed());
        }
        took
    });
    measured(format_args!("provider hangs: {}", summary(asked.1)));
    measured(format_args!("other requests meanwhile: {}", summary(others.clone())));
    // A recheck delays its own request by two seconds at most. Of the others the middle one counts: the slowest is that of
    // a busy machine.
    let middle = {
        let mut took = others;
        took.sort();
        took[took.len() / 2]
    };
    assert!(middle < Duration::from_secs(1), "{middle:?}");
    let (now, peak) = fleet.provider.held().await;
    assert!(now >= 1 && peak <= 32 * GATEWAYS as u64, "{now} now, {peak} at one time");
    assert_eq!(alive(&fleet).await, people + 1);
    fleet.provider.hang(false).await;
}
