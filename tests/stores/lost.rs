//! All gateways lose a store: emptied, killed, restored from an old copy, or stopped.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::load::{Load, ask, assert_refused_after, assert_served};
use crate::support::gateway::Tokens;
use crate::support::{PASSWORD, Response, assert_eventually};
use crate::world::{Replica, World, until_used};

/// Time to normal operation after both stores are back, without a restart.
const BACK: Duration = Duration::from_secs(5);
/// Queries the session store constantly, so that its loss has an effect.
const EAGER: &str = "revalidate_after = \"50ms\"";

/// Two gateways, with `stay` sessions that remain and `go` sessions to be signed out, all used at both.
async fn at_work(world: &World, stay: usize, go: usize) -> (Vec<Replica>, Vec<Tokens>) {
    let replicas = vec![world.replica(EAGER).await, world.replica(EAGER).await];
    replicas[0].gateway.user("ada", &[]).await;
    let mut people = Vec::new();
    for at in 0..stay + go {
        people.push(replicas[at % 2].gateway.login("ada").await);
    }
    (replicas, people)
}

/// Signs out. Returns the time of the acknowledgement and the stage it had reached.
async fn sign_out(replica: &Replica, tokens: &Tokens) -> (Instant, String) {
    let response = replica.gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await;
    let acknowledged = Instant::now();
    assert_eq!(response.status, 200, "{}", response.text());
    (acknowledged, response.member("propagation"))
}

fn addresses(replicas: &[Replica]) -> Vec<std::net::SocketAddr> {
    replicas.iter().map(|replica| replica.gateway.address()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_redis_neither_ends_nor_revives_sessions() {
    let world = World::start().await;
    let (replicas, people) = at_work(&world, 6, 4).await;
    let load = Load::start(&addresses(&replicas), &people);
    sleep(Duration::from_millis(300)).await;
    let mut signed_out = Vec::new();
    for (at, tokens) in people.iter().enumerate().skip(6) {
        world.redis.flush().await;
        signed_out.push((at, sign_out(&replicas[at % 2], tokens).await.0));
        sleep(Duration::from_millis(150)).await;
        world.redis.flush().await;
    }
    sleep(Duration::from_millis(500)).await;
    let seen = load.end().await;
    assert_served(&seen, 0..6);
    for (at, acknowledged) in signed_out {
        // The other gateway learns of it within milliseconds; requests sent meanwhile may still be served.
        assert_refused_after(&seen, at, acknowledged + Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_restarted_empty_goes_unnoticed() {
    let world = World::start().await;
    let (replicas, people) = at_work(&world, 6, 3).await;
    let load = Load::start(&addresses(&replicas), &people);
    sleep(Duration::from_millis(300)).await;
    let mut signed_out = vec![(6, sign_out(&replicas[0], &people[6]).await)];
    world.redis.kill();
    sleep(Duration::from_millis(500)).await;
    signed_out.push((7, sign_out(&replicas[1], &people[7]).await));
    // A new session without any session store.
    let newcomer = replicas[1].gateway.login("ada").await;
    for replica in &replicas {
        assert_eq!(ask(replica.gateway.address(), &newcomer.access).await, 200);
    }
    world.redis.restart().await;
    for replica in &replicas {
        until_used(&world, replica, BACK).await;
    }
    assert_eventually("the tombstone it could not be told", BACK, async || {
        world.redis.is_tombstone(&people[7].session).await
    })
    .await;
    signed_out.push((8, sign_out(&replicas[0], &people[8]).await));
    sleep(Duration::from_millis(300)).await;
    let seen = load.end().await;
    assert_served(&seen, 0..6);
    let propagated: Vec<_> = signed_out.iter().map(|(_, (_, far))| far.as_str()).collect();
    assert_eq!(propagated, ["complete", "vault", "complete"]);
    for (at, (acknowledged, _)) in signed_out {
        assert_refused_after(&seen, at, acknowledged + Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_restored_from_before_a_revocation_revives_nothing() {
    let world = World::start().await;
    let (replicas, people) = at_work(&world, 4, 2).await;
    let load = Load::start(&addresses(&replicas), &people);
    sleep(Duration::from_millis(300)).await;
    world.redis.save().await;
    let mut signed_out = Vec::new();
    for at in [4, 5] {
        signed_out.push((at, sign_out(&replicas[at % 2], &people[at]).await.0));
    }
    world.redis.restart().await;
    for replica in &replicas {
        until_used(&world, replica, BACK).await;
    }
    assert!(!world.redis.is_tombstone(&people[4].session).await, "the old copy says that it lives");
    // A gateway that starts on the old copy has no earlier knowledge.
    let late = world.replica(EAGER).await;
    // It knows the users of these sessions: the Redis record would suffice without the revocation set.
    late.gateway.login("ada").await;
    for at in [4, 5] {
        assert_eq!(ask(late.gateway.address(), &people[at].access).await, 401);
    }
    assert_eq!(ask(late.gateway.address(), &people[0].access).await, 200);
    sleep(Duration::from_millis(300)).await;
    let seen = load.end().await;
    assert_served(&seen, 0..4);
    for (at, acknowledged) in signed_out {
        assert_refused_after(&seen, at, acknowledged + Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_outage_of_20_s_affects_only_logins_and_refreshes() {
    let world = World::start().await;
    let (replicas, people) = at_work(&world, 4, 1).await;
    let load = Load::start(&addresses(&replicas), &people[..4]);
    sleep(Duration::from_millis(500)).await;
    let (revoked, from) = (&people[4], &replicas[0]);
    sign_out(from, revoked).await;
    for replica in &replicas {
        let refused = async || ask(replica.gateway.address(), &revoked.access).await == 401;
        assert_eventually("the revocation has arrived", BACK, refused).await;
    }
    world.postgres.stop();
    let stopped = Instant::now();
    // Until the lease ends, and beyond.
    while stopped.elapsed() < Duration::from_secs(20) {
        for replica in &replicas {
            let started = Instant::now();
            assert_away(&log_in(replica).await);
            assert_away(&replica.gateway.refresh(&people[0].refresh).await);
            assert!(started.elapsed() < Duration::from_secs(2), "at once, not {:?}", started.elapsed());
            // A load balancer still sends requests here.
            assert_eq!(replica.gateway.probe("/readyz").await.status, 200);
            assert_eq!(ask(replica.gateway.address(), &revoked.access).await, 401);
        }
        sleep(Duration::from_millis(500)).await;
    }
    world.postgres.start_again();
    for replica in &replicas {
        assert_eventually("logins as before", BACK, async || log_in(replica).await.status == 200).await;
        Tokens::of(&replica.gateway.refresh(&people[0].refresh).await);
        assert_eq!(replica.gateway.probe("/readyz").await.status, 200);
    }
    assert_served(&load.end().await, 0..4);
}

async fn log_in(replica: &Replica) -> Response {
    let body = json!({ "username": "ada", "password": PASSWORD });
    replica.gateway.post("/auth/login", None, &body).await
}

fn assert_away(response: &Response) {
    assert_eq!((response.status, response.code().as_str()), (503, "store_unavailable"));
    assert!(response.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_starts_without_redis_and_uses_it_later() {
    let world = World::start().await;
    world.redis.kill();
    let replica = world.replica(EAGER).await;
    replica.gateway.user("ada", &[]).await;
    let tokens = replica.gateway.login("ada").await;
    for _ in 0..5 {
        assert_eq!(ask(replica.gateway.address(), &tokens.access).await, 200);
    }
    world.redis.restart().await;
    until_used(&world, &replica, BACK).await;
    assert_eventually("it is filled", BACK, async || {
        ask(replica.gateway.address(), &tokens.access).await == 200
            && world.redis.knows(&tokens.session).await
    })
    .await;
}
