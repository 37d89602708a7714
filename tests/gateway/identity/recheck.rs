//! Rechecks: the provider is asked again at a renewal, once, however many tabs and gateways ask.

use std::time::Duration;

use doorward::auth::RECHECK_GRACE;
use doorward::vault::UserKey;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{OPEN, World, ada_with};
use crate::browser::{Browser, later};
use crate::support::gateway::SOON;
use crate::support::{Socket, TestGateway, assert_eventually};

/// Later than the default `recheck`, and than an access token lives.
const DUE: Duration = Duration::from_secs(16 * 60);

async fn roles(gateway: &TestGateway) -> String {
    let key = UserKey::Login("ada".parse().expect("a login name"));
    gateway.vault.users.find(&key).await.expect("an answer").expect("ada").roles.to_string()
}

/// Claims of `ada`, without the one of her groups.
fn ada_without_groups() -> Value {
    let mut claims = ada_with(&json!({}));
    claims.as_object_mut().expect("an object").remove("groups");
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn recheck_is_made_once_for_all_tabs_and_gateways() {
    let world = World::with(OPEN).await;
    let other = world.elsewhere(OPEN).await;
    let surfer = world.signed_in("ada").await;
    assert_eq!(surfer.here.clone().fetch("/admin").await.status, 200);
    for round in 1..=2_u64 {
        let (groups, status, expected) =
            if round == 1 { (json!([]), 403, "") } else { (json!(["platform"]), 200, "admin") };
        world.provider.put("ada", &ada_with(&json!({ "groups": groups }))).await;
        world.later(DUE).await;
        later(&other, Duration::ZERO).await;
        let mut tabs = tokio::task::JoinSet::new();
        for tab in 0..8 {
            let mut browser = if tab % 2 == 0 { surfer.here.clone() } else { surfer.here.at(&other) };
            tabs.spawn(async move { browser.fetch("/").await.status });
        }
        assert_eq!(tabs.join_all().await, [200; 8]);
        assert_eventually("the recheck has ended", SOON, async || roles(&world.gateway).await == expected)
            .await;
        assert_eq!(world.provider.count("token:refresh_token").await, round);
        for gateway in [&world.gateway, &other] {
            let mut browser = surfer.here.at(gateway);
            assert_eventually("its roles are the new ones", SOON, async || {
                browser.fetch("/admin").await.status == status
            })
            .await;
        }
    }
    assert_eq!(world.provider.count("refused:invalid_grant").await, 0, "each refresh token was sent once");
    let metric = "doorward_provider_rechecks_total{outcome=\"confirmed\",provider=\"sso\"}";
    assert_eq!(world.gateway.metric(metric).await + other.metric(metric).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_before_it_is_due_or_without_recheck() {
    let world = World::with(&format!("{OPEN}\nrecheck = \"1h\"")).await;
    let mut surfer = world.signed_in("ada").await;
    world.later(DUE).await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_eq!(world.provider.count("token:refresh_token").await, 0);
    world.later(Duration::from_secs(3600)).await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_eq!(world.provider.count("token:refresh_token").await, 1);

    let never = World::with(&format!("{OPEN}\nrecheck = \"0s\"")).await;
    let mut surfer = never.signed_in("ada").await;
    never.later(Duration::from_secs(3 * 3600)).await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_eq!(never.provider.count("token:refresh_token").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_removed_at_the_provider_loses_session_and_streams() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    let mut bystander = {
        world
            .provider
            .put("bob", &ada_with(&json!({ "preferred_username": "bob", "email": "bob@example.com" })))
            .await;
        world.signed_in("bob").await
    };
    let mut socket = Socket::open(world.gateway.address(), "/ws", surfer.here.access()).await;
    socket.echo("before").await;
    world.provider.remove("ada").await;
    world.later(DUE).await;
    let refused = surfer.here.go("/").await;
    assert_eq!(refused.status, 303, "{}", refused.text());
    assert!(refused.header("location").is_some_and(|to| to.starts_with("/auth/login")), "{refused:?}");
    socket.until_closed().await;
    assert_eq!(bystander.here.fetch("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_whom_the_rules_no_longer_admit_loses_the_session() {
    let world = World::with("create_users = \"always\"\nallowed_domains = [\"example.com\"]").await;
    let mut surfer = world.signed_in("ada").await;
    world.provider.put("ada", &ada_with(&json!({ "email": "ada@example.org" }))).await;
    world.later(DUE).await;
    assert_eq!(surfer.here.go("/").await.status, 303);
    assert_eq!(world.provider.count("token:refresh_token").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_groups_are_not_no_groups() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    for claims in [ada_without_groups(), ada_with(&json!({ "groups": null }))] {
        world.provider.put("ada", &claims).await;
        world.later(DUE).await;
        assert_eq!(surfer.here.fetch("/admin").await.status, 200, "undecided: as before, for a while");
        assert_eq!(roles(&world.gateway).await, "admin");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn person_who_left_the_last_group_at_keycloak_loses_role_and_streams() {
    let world = World::with(&format!("{OPEN}\npreset = \"keycloak\"")).await;
    let mut surfer = world.signed_in("ada").await;
    let mut socket = Socket::open(world.gateway.address(), "/ws", surfer.here.access()).await;
    socket.echo("before").await;
    // Keycloak has no empty list: the claim is missing.
    world.provider.put("ada", &ada_without_groups()).await;
    world.later(DUE).await;
    assert_eq!(surfer.here.fetch("/admin").await.status, 403);
    assert_eq!(roles(&world.gateway).await, "");
    socket.until_closed().await;
    assert_eq!(surfer.here.fetch("/").await.status, 200, "the session goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_is_away_keeps_sessions_until_the_grace_ends() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    world.provider.away(true).await;
    let mut passed = Duration::ZERO;
    while passed + DUE < Duration::from_secs(900) + RECHECK_GRACE {
        world.later(DUE).await;
        passed += DUE;
        let response = surfer.here.fetch("/").await;
        assert_eq!(response.status, 200, "{passed:?}: {}", response.text());
    }
    world.later(DUE).await;
    world.later(DUE).await;
    assert_eq!(surfer.here.go("/").await.status, 303, "nobody has confirmed ada for hours");
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_comes_back_confirms_again() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    world.provider.away(true).await;
    world.later(DUE).await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    world.provider.away(false).await;
    world.later(DUE).await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_eq!(world.provider.count("token:refresh_token").await, 1);
    // Its refresh token was replaced, and the new one was kept.
    world.later(DUE).await;
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    assert_eq!(world.provider.count("token:refresh_token").await, 2);
    assert_eq!(world.provider.count("refused:invalid_grant").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_provider_delays_nobody_and_its_answer_counts_later() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    world.provider.put("ada", &ada_with(&json!({ "groups": [] }))).await;
    world.provider.slow(Duration::from_secs(6)).await;
    world.later(DUE).await;
    assert_eq!(surfer.here.fetch("/admin").await.status, 200);
    assert_eq!(world.provider.count("token:refresh_token").await, 0, "nobody waited for the provider");
    assert_eventually("the role is gone", SOON, async || surfer.here.fetch("/admin").await.status == 403)
        .await;
    assert_eq!(world.provider.count("token:refresh_token").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_removed_provider_end_after_the_grace() {
    // With the last provider rechecks are not forgotten: nobody confirms these people any more.
    let mut world = World::with(OPEN).await;
    world.gateway.user("bob", &[]).await;
    let mut surfer = world.signed_in("ada").await;
    let mut bob = Browser::signed_in(&world.gateway, "bob").await;
    let _reloads = world.gateway.follow();
    let without = |text: &str| text.split("\n[[providers]]").next().expect("a beginning").to_owned();
    world.gateway.reconfigure(without).await;
    let mut passed = Duration::ZERO;
    while passed + DUE < RECHECK_GRACE {
        later(&world.gateway, DUE).await;
        passed += DUE;
        assert_eq!(surfer.here.fetch("/").await.status, 200, "{passed:?}");
        assert_eq!(bob.fetch("/").await.status, 200);
    }
    later(&world.gateway, DUE).await;
    later(&world.gateway, DUE).await;
    assert_eq!(surfer.here.fetch("/").await.status, 401);
    assert_eq!(bob.fetch("/").await.status, 200);
    assert_eq!(world.provider.count("token:refresh_token").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_hangs_delays_one_person_alone() {
    let world = World::with(OPEN).await;
    let mut browsers = Vec::new();
    for _ in 0..10 {
        browsers.push(world.signed_in("ada").await.here);
    }
    world.provider.hang(true).await;
    world.later(DUE).await;
    let begun = Instant::now();
    for browser in &mut browsers {
        assert_eq!(browser.fetch("/").await.status, 200);
    }
    // Two seconds for each would be twenty.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    // Those connections end, and later attempts succeed: people are waited for again.
    world.provider.hang(false).await;
    world.provider.put("ada", &ada_with(&json!({ "groups": [] }))).await;
    assert_eventually("it confirms again", SOON, async || {
        world.later(Duration::from_secs(150)).await;
        browsers[0].fetch("/admin").await.status == 403
    })
    .await;
}
