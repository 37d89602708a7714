//! Refreshes concurrent with each other and with the end of their session.

use std::collections::HashSet;
use std::time::Duration;

use doorward::id::{Random, SystemRandom};
use doorward::token::keyring::OpenKey;
use doorward::token::seal::MasterSecret;
use doorward::vault::{KeyUse, NewKey, UserChange};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gateway::SOON;
use crate::support::gateway::Tokens;
use crate::support::http;
use crate::support::{Faults, Op, Setup, TestGateway, assert_eventually, measured};

/// Sends one refresh token `times` times concurrently.
async fn at_once(gateway: &TestGateway, token: &str, times: usize) -> Vec<http::Response> {
    let mut asking = JoinSet::new();
    for _ in 0..times {
        let (address, body) = (gateway.address(), json!({ "refresh_token": token }).to_string());
        asking.spawn(async move {
            let headers = [("Content-Type", "application/json")];
            http::request(address, "POST", "/auth/refresh", &headers, body.as_bytes()).await
        });
    }
    asking.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_refreshes_of_one_token_have_one_successor() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let first = gateway.login("ada").await;
    let responses: Vec<Tokens> = at_once(&gateway, &first.refresh, 50).await.iter().map(Tokens::of).collect();
    let successors: HashSet<&str> = responses.iter().map(|tokens| tokens.refresh.as_str()).collect();
    assert_eq!(successors.len(), 1, "one successor, byte for byte");
    for tokens in &responses {
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    }
    assert_eq!(gateway.metric(r#"doorward_refreshes_total{outcome="rotated"}"#).await, 1.0);
    assert_eq!(gateway.metric(r#"doorward_refreshes_total{outcome="repeated"}"#).await, 49.0);
    Tokens::of(&gateway.refresh(&responses[0].refresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_are_distinguished_by_generation_and_time() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let first = gateway.login("ada").await;
    let second = Tokens::of(&gateway.refresh(&first.refresh).await);
    assert_eq!(Tokens::of(&gateway.refresh(&first.refresh).await).refresh, second.refresh, "a lost answer");
    let third = Tokens::of(&gateway.refresh(&second.refresh).await);
    // Two generations behind is a slow request at first, and a reuse once it has had its time.
    assert_eq!(gateway.refresh(&first.refresh).await.code(), "refresh_invalid");
    assert_eq!(gateway.call("GET", "/", &third.access).await.status, 200);
    gateway.clock.advance(Duration::from_mins(2));
    let ready = async || gateway.probe("/readyz").await.status == 200;
    assert_eventually("the lease is held again", SOON, ready).await;
    assert_eq!(gateway.refresh(&first.refresh).await.code(), "refresh_reused");
    assert_eq!(gateway.refresh(&third.refresh).await.code(), "refresh_invalid");
    for tokens in [&first, &second, &third] {
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.code(), "token_revoked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_concurrent_with_revocation_leaves_no_live_token() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut won = 0;
    for round in 0..100 {
        let tokens = gateway.login("ada").await;
        let refreshing = gateway.refresh(&tokens.refresh);
        let ending = gateway.post("/auth/logout", Some(&tokens.access), &json!(null));
        // The first polled future is slightly ahead, so the order alternates.
        let (refreshed, ended) = if round % 2 == 0 {
            tokio::join!(refreshing, ending)
        } else {
            let (ended, refreshed) = tokio::join!(ending, refreshing);
            (refreshed, ended)
        };
        assert_eq!(ended.status, 200, "round {round}: {}", ended.text());
        let mut dead = vec![tokens.access];
        if refreshed.status == 200 {
            won += 1;
            let renewed = Tokens::of(&refreshed);
            assert_eq!(gateway.refresh(&renewed.refresh).await.code(), "refresh_invalid", "round {round}");
            dead.push(renewed.access);
        } else {
            assert_eq!(refreshed.code(), "refresh_invalid", "round {round}");
        }
        for access in &dead {
            assert_eq!(gateway.call("GET", "/", access).await.code(), "token_revoked", "round {round}");
        }
        assert_eq!(gateway.refresh(&tokens.refresh).await.code(), "refresh_invalid", "round {round}");
    }
    measured(format_args!("the refresh came first in {won} of 100 rounds"));
    assert!(gateway.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_user_defeats_refresh_in_flight_and_its_repeat() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    let ada = gateway.user("ada", &[]).await;
    let first = gateway.login("ada").await;
    let second = Tokens::of(&gateway.refresh(&first.refresh).await);
    let gate = faults.hold_before(Op::Rotate);
    let disabling = async {
        gate.until_reached().await;
        gateway.vault.users.change(ada, &UserChange::Disabled(true)).await.expect("a change");
        gate.open();
    };
    let (refused, ()) = tokio::join!(gateway.refresh(&second.refresh), disabling);
    assert_eq!((refused.status, refused.code().as_str()), (401, "refresh_invalid"));
    assert_eq!(gateway.refresh(&first.refresh).await.code(), "refresh_invalid", "no grace for the disabled");
    gateway.vault.users.change(ada, &UserChange::Disabled(false)).await.expect("a change");
    for token in [&first.refresh, &second.refresh] {
        assert_eq!(gateway.refresh(token).await.code(), "refresh_invalid", "enabling brings nothing back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_refreshed_before_session_end_are_refused_after_it() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let first = gateway.login("ada").await;
    let gate = faults.hold_after(Op::Rotate);
    let ending = async {
        gate.until_reached().await;
        assert_eq!(gateway.post("/auth/logout", Some(&first.access), &json!(null)).await.status, 200);
        gate.open();
    };
    let (granted, ()) = tokio::join!(gateway.refresh(&first.refresh), ending);
    let second = Tokens::of(&granted);
    assert_eq!(gateway.call("GET", "/", &second.access).await.code(), "token_revoked");
    assert_eq!(gateway.refresh(&second.refresh).await.code(), "refresh_invalid");
    assert!(gateway.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_refresh_under_unseen_key_returns_the_same_successor() {
    let faults = Faults::new();
    let setup = Setup {
        vault: r#"lease = "60s""#.to_owned(),
        sessions: r#"stream_lease = "2m""#.to_owned(),
        stores: faults.wrap(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let first = gateway.login("ada").await;
    // From now on this gateway reads no log; another gateway signs with a new key.
    faults.fail(&[Op::ReadLog]);
    let random: &dyn Random = &SystemRandom;
    let master = MasterSecret::read(&gateway.folder.path().join("master.key")).expect("the master secret");
    let key = OpenKey::refresh(77, random);
    let name = format!("{}/{}/{}", KeyUse::Refresh.as_str(), key.kid, key.algorithm);
    let key = NewKey {
        sealed: master.seal(key.material.expose(), &name, random),
        kid: key.kid,
        algorithm: key.algorithm,
        key_use: KeyUse::Refresh,
        signs_after: Duration::ZERO,
        overlap: Duration::from_secs(3600),
    };
    gateway.vault.keys.add(&[key], false).await.expect("added");
    let second = Tokens::of(&gateway.elsewhere().await.refresh(&first.refresh).await);
    let kid = |tokens: &Tokens| doorward::id::from_base64url(&tokens.refresh).expect("base64url")[1];
    assert_eq!((kid(&first), kid(&second)), (0, 77));
    assert_eq!(Tokens::of(&gateway.refresh(&first.refresh).await).refresh, second.refresh);
}

/// A phone that lost the response and slept over it (case X02).
#[tokio::test(flavor = "multi_thread")]
async fn refresh_with_a_lost_response_is_repeated_hours_later() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let first = gateway.login("ada").await;
    let lost = Tokens::of(&gateway.refresh(&first.refresh).await);
    gateway.clock.advance(Duration::from_hours(8));
    let ready = async || gateway.probe("/readyz").await.status == 200;
    assert_eventually("the lease is held again", SOON, ready).await;
    let found = Tokens::of(&gateway.refresh(&first.refresh).await);
    assert_ne!(found.refresh, lost.refresh, "a new one");
    assert_eq!(gateway.metric(r#"doorward_refreshes_total{outcome="repeated_late"}"#).await, 1.0);
    assert_eq!(gateway.call("GET", "/", &found.access).await.status, 200);
    // Whoever has the lost one has stolen it.
    assert_eq!(gateway.refresh(&lost.refresh).await.code(), "refresh_reused");
    assert_eq!(gateway.call("GET", "/", &found.access).await.code(), "token_revoked");
}

/// A copied token after its owner went on: the owner has used the access token that came with the successor.
#[tokio::test(flavor = "multi_thread")]
async fn late_repeat_after_the_successor_was_used_ends_the_session() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let stolen = gateway.login("ada").await;
    let owner = Tokens::of(&gateway.refresh(&stolen.refresh).await);
    assert_eq!(gateway.call("GET", "/", &owner.access).await.status, 200);
    let touches = r#"doorward_vault_statement_seconds_count{statement="touch"}"#;
    let written = async || gateway.metric(touches).await >= 1.0;
    assert_eventually("the use is written", SOON, written).await;
    gateway.clock.advance(Duration::from_mins(5));
    let ready = async || gateway.probe("/readyz").await.status == 200;
    assert_eventually("the lease is held again", SOON, ready).await;
    assert_eq!(gateway.refresh(&stolen.refresh).await.code(), "refresh_reused");
    assert_eq!(gateway.call("GET", "/", &owner.access).await.code(), "token_revoked");
}
