//! Session lookups in the stores: timing and concurrency limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::refusals::assert_refused;
use crate::sessions::forged::{Forger, stolen_keys};
use crate::support::gateway::{ROUTES, SOON, Tokens};
use crate::support::{Client, Faults, Op, Setup, TestGateway, assert_eventually};

/// Leases that only a clock jump ends, and a route with `always_revalidate`.
async fn gateway(sessions: &str) -> (TestGateway, Arc<Faults>, Tokens) {
    let faults = Faults::new();
    let fresh = "[[routes]]\nname = \"fresh\"\npath = \"/fresh\"\naccess = \"signed-in\"\nupstream = \"app\"\nalways_revalidate = true";
    let setup = Setup {
        vault: r#"lease = "60s""#.to_owned(),
        sessions: format!("stream_lease = \"2m\"\n{sessions}"),
        routes: format!("{ROUTES}{fresh}"),
        stores: faults.wrap(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    (gateway, faults, tokens)
}

async fn served(gateway: &TestGateway, path: &str, tokens: &Tokens) {
    assert_eq!(gateway.call("GET", path, &tokens.access).await.status, 200, "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_store_is_queried_after_recheck_and_on_fresh_routes() {
    let (gateway, faults, tokens) = gateway(r#"revalidate_after = "30s""#).await;
    let lookups = faults.calls(Op::Check);
    for _ in 0..3 {
        served(&gateway, "/", &tokens).await;
    }
    assert_eq!(faults.calls(Op::Check), lookups, "confirmed by the login");
    for _ in 0..3 {
        served(&gateway, "/fresh", &tokens).await;
    }
    assert_eq!(faults.calls(Op::Check), lookups + 3);
    gateway.clock.advance(Duration::from_secs(31));
    for _ in 0..3 {
        served(&gateway, "/", &tokens).await;
    }
    assert_eq!(faults.calls(Op::Check), lookups + 4, "once for the next half minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_route_ignores_earlier_confirmations() {
    let (gateway, faults, tokens) = gateway("").await;
    served(&gateway, "/fresh", &tokens).await;
    faults.fail(&Op::SESSION_STORE);
    let lookups = faults.calls(Op::FindSession);
    served(&gateway, "/fresh", &tokens).await;
    assert_eq!(faults.calls(Op::FindSession), lookups + 1, "the vault instead");
    faults.fail(&[Op::FindSession]);
    assert_refused(&gateway.call("GET", "/fresh", &tokens.access).await, 503, "store_unavailable");
    served(&gateway, "/", &tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_lookups_share_statements_and_wait_no_longer_than_a_second() {
    const SESSIONS: usize = 100;
    let (gateway, faults, confirmed) = gateway(r#"revalidate_after = "0s""#).await;
    // A session store that stores nothing, and a vault that does not respond.
    faults.fail(&[Op::Check, Op::Fill]);
    let (keys, user) = (stolen_keys(&gateway).await, gateway.user("bob", &[]).await);
    let gate = faults.hold_every(Op::FindSession);
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..SESSIONS {
        let (address, token) = (gateway.address(), Forger::new(&gateway, user).token(&keys));
        asking.spawn(async move {
            let mut client = Client::asking(address, "/", &token).await;
            client.response("GET").await.expect("an answer")
        });
    }
    assert_eventually("a lookup has begun", SOON, async || faults.calls(Op::FindSession) > 0).await;
    // A confirmed session needs no lookup.
    served(&gateway, "/", &confirmed).await;
    for response in asking.join_all().await {
        let is_asked = response.code() == "store_unavailable";
        assert_refused(&response, 503, if is_asked { "store_unavailable" } else { "overloaded" });
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(faults.calls(Op::FindSession) <= 4, "{} statements", faults.calls(Op::FindSession));
    gate.open();
    faults.heal();
    assert_eventually("lookups are served again", SOON, async || {
        gateway.call("GET", "/fresh", &confirmed.access).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_session_waits_for_a_lookup_where_it_needs_one() {
    let (gateway, faults, confirmed) = gateway("").await;
    // No session store, and a vault busy with unseen sessions.
    faults.fail(&Op::SESSION_STORE);
    let (keys, user) = (stolen_keys(&gateway).await, gateway.user("bob", &[]).await);
    let gate = faults.hold_every(Op::FindSession);
    let mut asking = JoinSet::new();
    for _ in 0..32 {
        let (address, token) = (gateway.address(), Forger::new(&gateway, user).token(&keys));
        asking.spawn(async move {
            Client::asking(address, "/", &token).await.response("GET").await.expect("an answer").status
        });
    }
    assert_eventually("a lookup has begun", SOON, async || faults.calls(Op::FindSession) > 0).await;
    let started = Instant::now();
    // A route with `always_revalidate` and a gateway endpoint: both need a lookup.
    for path in ["/fresh", "/auth/me"] {
        let (address, token) = (gateway.address(), confirmed.access.clone());
        asking.spawn(async move {
            Client::asking(address, path, &token).await.response("GET").await.expect("an answer").status
        });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == 503), "after the wait");
    // An immediate refusal would finish before this.
    assert!(started.elapsed() >= Duration::from_millis(700), "{:?}", started.elapsed());
    let mut asking = JoinSet::new();
    for path in ["/fresh", "/auth/me"] {
        let (address, token) = (gateway.address(), confirmed.access.clone());
        asking.spawn(async move {
            Client::asking(address, path, &token).await.response("GET").await.expect("an answer").status
        });
    }
    gate.open();
    let responses = asking.join_all().await;
    assert_eq!(responses.iter().filter(|status| **status == 200).count(), 2, "{responses:?}");
}
