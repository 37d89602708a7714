//! T21-T23: more than a thousand requests with ambiguous framing. Each hides a second request; the app never sees it,
//! and the next client gets its own response.

mod corpus;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::line::{Line, PATIENCE};
use crate::recorder::{NAME, Recorder};
use crate::support::{Client, Setup, TestGateway, measured};
use corpus::{Case, HIDDEN};

/// Concurrent attackers, each with a well-behaved neighbour.
const PAIRS: usize = 4;

struct World {
    gateway: TestGateway,
    app: Recorder,
}

/// Statuses and texts of all responses on a connection.
async fn attack(world: &World, bytes: &[u8]) -> Vec<(u16, String)> {
    let attacking = async {
        let mut client = Client::connect(world.gateway.address()).await;
        client.try_send(bytes).await;
        client.shut().await;
        let mut responses = Vec::new();
        while let Some(response) = client.response("POST").await {
            responses.push((response.status, response.text()));
        }
        responses
    };
    let attacked = tokio::time::timeout(PATIENCE, attacking).await;
    attacked.unwrap_or_else(|_| panic!("no end: {}", bytes.escape_ascii()))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_smuggled_and_no_response_is_swapped() {
    let app = Recorder::start().await;
    let routes = Setup::default().routes.replace("upstream = \"app\"", "upstream = \"recorder\"");
    let gateway = TestGateway::with(Setup { routes: routes + &app.upstream(), ..Setup::default() }).await;
    let world = Arc::new(World { gateway, app });
    let cases = Arc::new(corpus::all());
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases.iter() {
        *classes.entry(case.class).or_default() += 1;
    }
    for (class, count) in &classes {
        measured(format_args!("framing, {class}: {count}"));
    }
    measured(format_args!("raw requests: {}", cases.len()));
    assert!(cases.len() >= 1_000);

    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let (world, cases) = (Arc::clone(&world), Arc::clone(&cases));
        pairs.push(tokio::spawn(async move { pair_of(&world, &cases, pair).await }));
    }
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for pair in pairs {
        let (answered, wrong) = pair.await.expect("a pair");
        faults.extend(wrong);
        for status in answered {
            *statuses.entry(status).or_default() += 1;
        }
    }
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(world.app.faults(), [""; 0]);
    measured(format_args!(
        "first answers by status (0: the connection was closed without one): {statuses:?}"
    ));
    let mut neighbour = 0;
    for record in world.app.take() {
        let shown = record.head.escape_ascii().to_string();
        assert!(!shown.contains("hidden"), "hidden in another: {shown}");
        assert!(!record.target().starts_with(b"/admin"), "{shown}");
        neighbour += usize::from(record.target().starts_with(b"/public/neighbour"));
    }
    assert_eq!(neighbour, cases.len());
}

/// Attacks, each followed by a request of an uninvolved client.
async fn pair_of(world: &World, cases: &[Case], pair: usize) -> (Vec<u16>, Vec<String>) {
    let mut neighbour = Line::to(world.gateway.address());
    let (mut statuses, mut faults) = (Vec::new(), Vec::new());
    for (at, case) in cases.iter().enumerate().filter(|(at, _)| at % PAIRS == pair) {
        let name = format!("case-{at}");
        let bytes = case.bytes(NAME, &name);
        let responses = attack(world, &bytes).await;
        let shown = bytes.escape_ascii();
        statuses.push(responses.first().map_or(0, |(status, _)| *status));
        for (status, text) in &responses {
            match status {
                // An echo of another name would be another client's response.
                200 if *text == name || case.is_nameless => {}
                // The login page: the preceding request was complete.
                200 if text.starts_with("<!doctype html>") => {}
                400..=499 => {}
                _ => faults.push(format!("{status} {text:?}: {shown}")),
            }
        }
        if responses.iter().filter(|(status, _)| *status == 200).count() > 1 {
            faults.push(format!("answered twice: {shown}"));
        }
        let own_name = format!("neighbour-{at}");
        let request =
            format!("GET /public/{own_name} HTTP/1.1\r\nHost: gateway.test\r\n{NAME}: {own_name}\r\n\r\n");
        let response = neighbour.ask("GET", request.as_bytes()).await;
        let answered = response.map(|response| (response.status, response.text()));
        if answered != Some((200, own_name)) {
            faults.push(format!("{answered:?} after {shown}"));
        }
    }
    (statuses, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn slowly_sent_ambiguous_request_is_refused_too() {
    // The same bytes one by one: packet boundaries must not matter.
    let app = Recorder::start().await;
    let routes = Setup::default().routes.replace("upstream = \"app\"", "upstream = \"recorder\"");
    let gateway = TestGateway::with(Setup { routes: routes + &app.upstream(), ..Setup::default() }).await;
    for case in corpus::all().iter().step_by(40) {
        let mut client = Client::connect(gateway.address()).await;
        for byte in case.bytes(NAME, "slow") {
            if !client.try_send(&[byte]).await {
                break;
            }
        }
        client.shut().await;
        let ending =
            async { while client.response("POST").await.is_some_and(|response| response.status < 500) {} };
        assert!(tokio::time::timeout(PATIENCE, ending).await.is_ok());
    }
    let seen = app.take();
    assert!(seen.iter().all(|record| !record.head.escape_ascii().to_string().contains("hidden")));
    assert_eq!(app.faults(), [""; 0]);
    assert!(HIDDEN.contains("hidden"));
}
