//! One gateway loses a store that the others still reach.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::load::ask;
use crate::support::gateway::Tokens;
use crate::support::{Client, Faults, Op, PASSWORD, Setup, Socket, assert_eventually};
use crate::world::{Replica, World, until_used};

const LEASE: Duration = Duration::from_millis(500);
const ALONE: Duration = Duration::from_secs(3);
/// Allowed response time on two busy cores, in addition to the bound.
const ANSWER: Duration = Duration::from_millis(400);

/// A gateway to be cut off and another one; two sessions served by both.
async fn two(world: &World) -> (Replica, Replica, Tokens, Tokens) {
    let settings = "vault_outage_grace = \"3s\"";
    let (whole, cut) =
        (world.replica_leasing("500ms", settings).await, world.replica_leasing("500ms", settings).await);
    whole.gateway.user("ada", &[]).await;
    let (kept, ended) = (whole.gateway.login("ada").await, whole.gateway.login("ada").await);
    for replica in [&whole, &cut] {
        for tokens in [&kept, &ended] {
            assert_eq!(ask(replica.gateway.address(), &tokens.access).await, 200);
        }
    }
    (whole, cut, kept, ended)
}

async fn sign_out(replica: &Replica, tokens: &Tokens) -> String {
    let response = replica.gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.member("propagation")
}

/// Sends requests until one is refused. Returns the sending time of the last accepted one and the status of the
/// refusal.
async fn last_accept(replica: &Replica, tokens: &Tokens, since: Instant) -> (Duration, u16) {
    let mut last = Duration::ZERO;
    loop {
        let sent = since.elapsed();
        assert!(sent < Duration::from_secs(20), "still let through");
        match ask(replica.gateway.address(), &tokens.access).await {
            200 => last = sent,
            status => return (last, status),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_vault_redis_revocations_apply_until_outage_grace_ends() {
    let world = World::start().await;
    let (whole, cut, kept, ended) = two(&world).await;
    let since = Instant::now();
    cut.vault.fall_silent();
    // Past the lease: from now on only Redis confirms sessions.
    sleep(LEASE + ANSWER).await;
    assert_eq!(ask(cut.gateway.address(), &ended.access).await, 200);
    let ready = cut.gateway.probe("/readyz").await;
    assert_eq!((ready.status, ready.text().contains("without the vault")), (200, true), "{}", ready.text());
    assert_eq!(sign_out(&whole, &ended).await, "complete");
    assert_eq!(ask(cut.gateway.address(), &ended.access).await, 401, "the tombstone was there first");
    let (last, status) = last_accept(&cut, &kept, since).await;
    assert_eq!(status, 503);
    assert!(last > ALONE - LEASE && last < ALONE + ANSWER, "{last:?}");
    assert_eq!(cut.gateway.probe("/readyz").await.status, 503);
    // No store may decide any more, not even to refuse.
    assert_eq!(ask(cut.gateway.address(), &ended.access).await, 503);
    assert_eq!(ask(whole.gateway.address(), &kept.access).await, 200, "the other one goes on");
    cut.vault.mend();
    assert_eventually("as before", Duration::from_secs(5), async || {
        ask(cut.gateway.address(), &kept.access).await == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_either_store_serving_stops_with_the_lease() {
    let world = World::start().await;
    let (whole, cut, kept, ended) = two(&world).await;
    let since = Instant::now();
    cut.vault.fall_silent();
    cut.redis.fall_silent();
    assert_eq!(sign_out(&whole, &ended).await, "complete");
    let (last, status) = last_accept(&cut, &ended, since).await;
    assert_eq!(status, 503);
    assert!(last < LEASE + ANSWER, "{last:?}");
    assert_eq!(cut.gateway.probe("/readyz").await.status, 503);
    assert_eq!(ask(cut.gateway.address(), &kept.access).await, 503);
    cut.vault.mend();
    cut.redis.mend();
    assert_eventually("as before", Duration::from_secs(5), async || {
        ask(cut.gateway.address(), &kept.access).await == 200
    })
    .await;
    assert_eq!(ask(cut.gateway.address(), &ended.access).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_missing_different_stores_still_refuse_revoked_session() {
    let world = World::start().await;
    let (no_redis, no_vault, kept, ended) = two(&world).await;
    let since = Instant::now();
    no_redis.redis.break_off();
    no_vault.vault.fall_silent();
    sleep(LEASE).await;
    assert_eq!(sign_out(&no_redis, &ended).await, "vault", "nobody told Redis");
    assert_eq!(ask(no_redis.gateway.address(), &ended.access).await, 401);
    // The worst case: the gateway is cut off from both sources and must stop by itself.
    let (last, status) = last_accept(&no_vault, &ended, since).await;
    assert_eq!(status, 503);
    assert!(last < ALONE + ANSWER, "{last:?}");
    assert_eq!(ask(no_redis.gateway.address(), &kept.access).await, 200);
    no_vault.vault.mend();
    assert_eventually("it is decided", Duration::from_secs(5), async || {
        ask(no_vault.gateway.address(), &ended.access).await == 401
    })
    .await;
    assert_eq!(ask(no_vault.gateway.address(), &kept.access).await, 200);
    no_redis.redis.mend();
    until_used(&world, &no_redis, Duration::from_secs(5)).await;
    assert_eventually("the tombstone it owed", Duration::from_secs(5), async || {
        world.redis.is_tombstone(&ended.session).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_revocation_reaches_a_gateway_without_the_vault() {
    let world = World::start().await;
    let (whole, cut, kept, ended) = two(&world).await;
    cut.vault.fall_silent();
    sleep(LEASE + ANSWER).await;
    // Written only to the vault, by a process without Redis; a gateway that reads the row writes the tombstone.
    whole.gateway.command(&["session", "revoke", &ended.session]).await;
    assert_eventually("by the tombstone", Duration::from_secs(1), async || {
        ask(cut.gateway.address(), &ended.access).await == 401
    })
    .await;
    assert_eq!(ask(cut.gateway.address(), &kept.access).await, 200);
}

/// Streams end when the list has been out of date for `stream_lease`; a request that Redis may confirm goes on.
#[tokio::test(flavor = "multi_thread")]
async fn stale_list_ends_streams_and_no_requests() {
    let world = World::start().await;
    let settings = "vault_outage_grace = \"1h\"\nstream_lease = \"1s\"";
    let cut = world.replica_leasing("500ms", settings).await;
    cut.gateway.user("ada", &[]).await;
    let tokens = cut.gateway.login("ada").await;
    let mut held = Client::asking(cut.gateway.address(), "/hold", &tokens.access).await;
    let mut socket = Socket::open(cut.gateway.address(), "/ws", &tokens.access).await;
    socket.echo("open").await;
    cut.vault.fall_silent();
    socket.until_closed().await;
    // The next look at the requests comes half a second later.
    sleep(Duration::from_secs(1)).await;
    cut.gateway.app.release(1);
    let response = held.response("GET").await.expect("it was not cut");
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Case X04: Redis stalls for longer than `sessions.timeout` while nobody else can answer.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_redis_is_waited_for_while_the_vault_is_away() {
    let world = World::start().await;
    let settings = "vault_outage_grace = \"1h\"\ntimeout = \"10ms\"";
    let cut = world.replica_leasing("500ms", settings).await;
    cut.gateway.user("ada", &[]).await;
    let tokens = cut.gateway.login("ada").await;
    assert_eq!(ask(cut.gateway.address(), &tokens.access).await, 200);
    cut.vault.fall_silent();
    assert_eventually("Redis decides", Duration::from_secs(30), async || {
        cut.gateway.probe("/readyz").await.text().contains("without the vault")
    })
    .await;
    // The stall must be shorter than the time Redis is given, which a busy machine may not manage at once.
    for _ in 0..100 {
        cut.redis.fall_silent();
        let begun = Instant::now();
        let asking = tokio::spawn({
            let (address, token) = (cut.gateway.address(), tokens.access.clone());
            async move { ask(address, &token).await }
        });
        sleep(Duration::from_millis(100)).await;
        cut.redis.mend();
        let status = asking.await.expect("no panic");
        if begun.elapsed() < Duration::from_millis(600) {
            assert_eq!(status, 200);
            return;
        }
        until_used(&world, &cut, Duration::from_secs(30)).await;
    }
    panic!("no stall was short enough");
}

/// Case X03: Postgres falls silent, and whoever needs it is told before the statement timeout.
#[tokio::test(flavor = "multi_thread")]
async fn silent_vault_is_reported_before_the_statement_timeout() {
    let world = World::start().await;
    let setup = Setup { vault: "statement_timeout = \"60s\"".to_owned(), ..Setup::default() };
    let cut = world.replica_with("1s", "revalidate_after = \"0s\"", setup).await;
    cut.gateway.user("ada", &[]).await;
    let tokens = cut.gateway.login("ada").await;
    let body = json!({ "username": "ada", "password": PASSWORD });
    let new = json!({ "current_password": PASSWORD, "new_password": "another kettle harbour lantern" });
    let refresh = json!({ "refresh_token": tokens.refresh });
    // Without Redis the request asks the vault about its session.
    cut.redis.break_off();
    let begun = Instant::now();
    cut.vault.fall_silent();
    let (login, refreshed, changed, list, logout) = tokio::join!(
        cut.gateway.post("/auth/login", None, &body),
        cut.gateway.post("/auth/refresh", None, &refresh),
        cut.gateway.post("/auth/password", Some(&tokens.access), &new),
        cut.gateway.call("GET", "/auth/sessions", &tokens.access),
        cut.gateway.post("/auth/logout", Some(&tokens.access), &json!(null)),
    );
    for (what, response) in
        [("login", login), ("refresh", refreshed), ("password", changed), ("list", list), ("logout", logout)]
    {
        assert_eq!(response.status, 503, "{what}: {}", response.text());
        assert!(response.header("retry-after").is_some(), "{what}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    cut.vault.mend();
    cut.redis.mend();
    assert_eventually("as before", Duration::from_secs(30), async || {
        let status = cut.gateway.post("/auth/login", None, &body).await.status;
        status == 200
    })
    .await;
}

/// The lease ends between the vault's confirmation and the final check; then the session store may confirm as well.
#[tokio::test(flavor = "multi_thread")]
async fn request_in_flight_at_lease_end_is_confirmed_by_redis() {
    let world = World::start().await;
    let faults = Faults::new();
    let setup = Setup { stores: faults.wrap(), ..Setup::default() };
    let slow = world.replica_with("1s", "", setup).await;
    let quick = world.replica("").await;
    slow.gateway.user("ada", &[]).await;
    // The user is known there, the session is not.
    slow.gateway.login("ada").await;
    let tokens = quick.gateway.login("ada").await;
    world.redis.flush().await;
    let gate = faults.hold_before(Op::Fill);
    let mut client = Client::asking(slow.gateway.address(), "/", &tokens.access).await;
    gate.until_reached().await;
    slow.vault.fall_silent();
    assert_eventually("the lease has run out", Duration::from_secs(5), async || {
        slow.gateway.probe("/readyz").await.text().contains("without the vault")
    })
    .await;
    gate.open();
    assert_eq!(client.response("GET").await.map(|response| response.status), Some(200));
}
