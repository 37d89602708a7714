//! Races on real stores, each stopped at the worst moment. Each test names the guard that decides it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward::config::Algorithm;
use doorward::id::{Random, SystemRandom};
use doorward::session::Lookup;
use doorward::token::keyring::OpenKey;
use doorward::token::seal::MasterSecret;
use doorward::vault::{KeyUse, NewKey};
use serde_json::json;

use crate::load::ask;
use crate::support::gateway::{SOON, Tokens};
use crate::support::{Client, Faults, Op, Setup, assert_eventually, http};
use crate::world::{Replica, World};

/// At least the lease.
const STREAM_LEASE: &str = "stream_lease = \"2m\"";

/// A gateway with injectable store delays and one without; the user ada.
async fn two(world: &World) -> (Replica, Arc<Faults>, Replica) {
    let faults = Faults::new();
    // Nothing here depends on the lease or on a timeout, so a busy machine must not make one run out.
    let patient = || "statement_timeout = \"30s\"".to_owned();
    let setup = Setup { stores: faults.wrap(), vault: patient(), ..Setup::default() };
    let slow = world.replica_with("1m", STREAM_LEASE, setup).await;
    let quick = world.replica_with("1m", STREAM_LEASE, Setup { vault: patient(), ..Setup::default() }).await;
    slow.gateway.user("ada", &["staff"]).await;
    (slow, faults, quick)
}

async fn sign_out(replica: &Replica, tokens: &Tokens) {
    let response = replica.gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

async fn lookup(world: &World, replica: &Replica, tokens: &Tokens) -> Lookup {
    assert!(world.redis.is_up().await);
    replica.gateway.sessions.check(tokens.session.parse().expect("an id")).await.expect("an answer")
}

/// Guard: `SET NX` of the fill; the check of the revocation set after the last wait.
#[tokio::test(flavor = "multi_thread")]
async fn cache_fill_after_a_remote_revocation_changes_nothing() {
    let world = World::start().await;
    let (slow, faults, quick) = two(&world).await;
    let tokens = quick.gateway.login("ada").await;
    world.redis.flush().await;
    // The vault has confirmed the session; the fill waits; the session ends; the fill continues.
    let gate = faults.hold_before(Op::Fill);
    let mut client = Client::asking(slow.gateway.address(), "/", &tokens.access).await;
    gate.until_reached().await;
    sign_out(&quick, &tokens).await;
    assert_eq!(lookup(&world, &quick, &tokens).await, Lookup::Tombstone);
    gate.open();
    // Cut or refused, never served. On a busy machine the vault may have confirmed the session too late for this request
    // (503); its fill must change nothing all the same.
    let status = client.response("GET").await.map(|response| response.status);
    assert!(matches!(status, None | Some(401 | 503)), "{status:?}");
    assert_eq!(lookup(&world, &quick, &tokens).await, Lookup::Tombstone);
    assert_eq!(ask(slow.gateway.address(), &tokens.access).await, 401);
    assert!(slow.gateway.app.seen().is_empty());
}

/// Guard: `NX` and `GT` in the writes of a refresh; the log row.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_granted_before_a_revocation_is_refused_after_it() {
    let world = World::start().await;
    let (slow, faults, quick) = two(&world).await;
    let tokens = quick.gateway.login("ada").await;
    for op in [Op::Fill, Op::Extend] {
        let tokens = if op == Op::Fill { tokens.clone() } else { quick.gateway.login("ada").await };
        let gate = faults.hold_before(op);
        let refreshing = {
            let (address, refresh) = (slow.gateway.address(), tokens.refresh.clone());
            tokio::spawn(async move {
                let body = json!({ "refresh_token": refresh }).to_string();
                let headers = [("Content-Type", "application/json")];
                http::request(address, "POST", "/auth/refresh", &headers, body.as_bytes()).await
            })
        };
        gate.until_reached().await;
        sign_out(&quick, &tokens).await;
        gate.open();
        let granted = Tokens::of(&refreshing.await.expect("an answer"));
        assert_eq!(lookup(&world, &quick, &tokens).await, Lookup::Tombstone, "{op:?}");
        for replica in [&slow, &quick] {
            assert_eventually("refused", SOON, async || {
                ask(replica.gateway.address(), &granted.access).await == 401
            })
            .await;
            assert_eq!(replica.gateway.refresh(&granted.refresh).await.status, 401);
        }
    }
}

/// Guard: the flag of the slot, set before the response of the load arrives.
#[tokio::test(flavor = "multi_thread")]
async fn invalidation_during_session_store_read_is_not_overwritten() {
    let world = World::start().await;
    let (slow, faults, quick) = two(&world).await;
    let tokens = quick.gateway.login("ada").await;
    let gate = faults.hold_after(Op::Check);
    let mut client = Client::asking(slow.gateway.address(), "/", &tokens.access).await;
    gate.until_reached().await;
    sign_out(&quick, &tokens).await;
    let reads = faults.calls(Op::ReadLog);
    assert_eventually("the log is read", SOON, async || faults.calls(Op::ReadLog) >= reads + 2).await;
    gate.open();
    let response = client.response("GET").await;
    assert!(response.is_none_or(|response| response.status == 401));
    assert_eq!(ask(slow.gateway.address(), &tokens.access).await, 401);
    assert!(slow.gateway.app.seen().is_empty());
}

/// The kid of a refresh token.
fn kid(token: &str) -> u8 {
    URL_SAFE_NO_PAD.decode(token).expect("base64url")[1]
}

/// Guard: the key id is stored with the rotation, and a repeat uses that key.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_different_keys_issue_the_same_successor() {
    let world = World::start().await;
    let patient = || Setup { vault: "statement_timeout = \"30s\"".to_owned(), ..Setup::default() };
    let one = world.replica_with("1m", STREAM_LEASE, patient()).await;
    let ahead = world.replica_with("1m", STREAM_LEASE, patient()).await;
    one.gateway.user("ada", &[]).await;
    let mut tokens = one.gateway.login("ada").await;
    // New keys, known to both, which sign in twenty seconds.
    let random: &dyn Random = &SystemRandom;
    let master = MasterSecret::parse(world.master_key(), "the test").expect("a key");
    let new = [
        (KeyUse::Access, OpenKey::access(Algorithm::EdDsa, random)),
        (KeyUse::Refresh, OpenKey::refresh(1, random)),
    ];
    let new = new.map(|(key_use, key)| {
        let name = format!("{}/{}/{}", key_use.as_str(), key.kid, key.algorithm);
        NewKey {
            sealed: master.seal(key.material.expose(), &name, random),
            kid: key.kid,
            algorithm: key.algorithm,
            key_use,
            signs_after: Duration::from_secs(20),
            overlap: Duration::from_secs(3600),
        }
    });
    one.gateway.vault.keys.add(&new, false).await.expect("added");
    for replica in [&one, &ahead] {
        assert_eventually("both have them", SOON, async || {
            let jwks = replica.gateway.get("/.well-known/jwks.json", &[]).await.json();
            jwks["keys"].as_array().is_some_and(|keys| keys.len() == 2)
        })
        .await;
    }
    // For one gateway the time has come; the other follows within a second, when it reads the vault's clock.
    let first = loop {
        ahead.gateway.clock.advance(Duration::from_secs(20));
        let next = Tokens::of(&ahead.gateway.refresh(&tokens.refresh).await);
        if kid(&next.refresh) != kid(&tokens.refresh) {
            break next;
        }
        tokens = next;
    };
    let again = Tokens::of(&one.gateway.refresh(&tokens.refresh).await);
    assert_eq!(again.refresh, first.refresh, "byte for byte, though this one's key is another");
    // A hundred concurrent refreshes at both.
    let mut all = tokio::task::JoinSet::new();
    for at in 0..100 {
        let address = if at % 2 == 0 { one.gateway.address() } else { ahead.gateway.address() };
        let body = json!({ "refresh_token": first.refresh }).to_string();
        all.spawn(async move {
            let headers = [("Content-Type", "application/json")];
            http::request(address, "POST", "/auth/refresh", &headers, body.as_bytes()).await
        });
    }
    let responses = all.join_all().await;
    let tokens: std::collections::BTreeSet<_> =
        responses.iter().map(|response| Tokens::of(response).refresh).collect();
    assert_eq!(tokens.len(), 1, "one successor");
    assert!(!tokens.contains(&first.refresh));
}

/// Guard: the generation is compared under the row lock.
#[tokio::test(flavor = "multi_thread")]
async fn old_generation_during_owner_renewal_gets_nothing_and_ends_nothing() {
    let world = World::start().await;
    let (slow, faults, quick) = two(&world).await;
    let first = quick.gateway.login("ada").await;
    let second = Tokens::of(&quick.gateway.refresh(&first.refresh).await);
    // The owner's renewal is committed and its response is in flight; a slow request presents a token that is now two
    // generations behind.
    let gate = faults.hold_after(Op::Rotate);
    let renewing = {
        let (address, refresh) = (slow.gateway.address(), second.refresh.clone());
        tokio::spawn(async move {
            let body = json!({ "refresh_token": refresh }).to_string();
            let headers = [("Content-Type", "application/json")];
            http::request(address, "POST", "/auth/refresh", &headers, body.as_bytes()).await
        })
    };
    gate.until_reached().await;
    let old = quick.gateway.refresh(&first.refresh).await;
    assert_eq!((old.status, old.code().as_str()), (401, "refresh_invalid"));
    gate.open();
    let renewed = Tokens::of(&renewing.await.expect("an answer"));
    for replica in [&slow, &quick] {
        for tokens in [&second, &renewed] {
            assert_eq!(ask(replica.gateway.address(), &tokens.access).await, 200);
        }
    }
    Tokens::of(&quick.gateway.refresh(&renewed.refresh).await);
}

/// Guard: the session ends in the transaction that disables its user.
#[tokio::test(flavor = "multi_thread")]
async fn disabled_user_gets_nothing_from_renewal_or_repeat() {
    let world = World::start().await;
    let (one, other) = (world.replica("").await, world.replica("").await);
    one.gateway.user("ada", &[]).await;
    for round in 0..10 {
        let tokens = one.gateway.login("ada").await;
        let command = ["user", "disable", "ada"];
        let (renewed, _) =
            tokio::join!(other.gateway.refresh(&tokens.refresh), one.gateway.command(&command));
        // Granted before or refused: either way invalid from now on, including the repeat.
        assert!(matches!(renewed.status, 200 | 401), "round {round}: {}", renewed.text());
        assert_eq!(other.gateway.refresh(&tokens.refresh).await.status, 401, "round {round}");
        if renewed.status == 200 {
            let renewed = Tokens::of(&renewed);
            assert_eq!(one.gateway.refresh(&renewed.refresh).await.status, 401);
            assert_eventually("refused", SOON, async || {
                ask(other.gateway.address(), &renewed.access).await == 401
            })
            .await;
        }
        one.gateway.command(&["user", "enable", "ada"]).await;
    }
}
