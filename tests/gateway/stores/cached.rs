//! Session knowledge that needs no store lookup.

use std::sync::Arc;

use doorward::id::SessionId;
use doorward::server::Stores;
use doorward::session::{Lookup, SessionStore};

use crate::sessions::forged::{Forger, stolen_keys};
use crate::support::gateway::{SOON, Tokens};
use crate::support::http::{Client, message};
use crate::support::{Faults, Op, Setup, TestGateway, assert_eventually};

async fn gateway(sessions: &str) -> (TestGateway, Arc<Faults>) {
    let faults = Faults::new();
    let setup = Setup {
        vault: r#"lease = "60s""#.to_owned(),
        sessions: format!("stream_lease = \"2m\"\n{sessions}"),
        stores: faults.wrap(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    (gateway, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn first_request_after_login_or_refresh_queries_no_store() {
    let (gateway, faults) = gateway("").await;
    let first = gateway.login("ada").await;
    let second = Tokens::of(&gateway.refresh(&first.refresh).await);
    let lookups = [Op::Check, Op::FindSession].map(|op| faults.calls(op));
    for tokens in [&first, &second] {
        let response = gateway.call("GET", "/", &tokens.access).await;
        assert_eq!(response.status, 200);
    }
    assert_eq!([Op::Check, Op::FindSession].map(|op| faults.calls(op)), lookups);
    assert_eq!(gateway.app.seen()[0].header("x-auth-user").as_deref(), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_session_continues_without_stores_while_revocations_are_current() {
    let (gateway, faults) = gateway("revalidate_after = \"0s\"\nvault_outage_grace = \"0s\"").await;
    // A session store that stores nothing, as if it were constantly emptied.
    faults.fail(&[Op::Fill]);
    let tokens = gateway.login("ada").await;
    let elsewhere = gateway.login_elsewhere("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    let lookups = faults.calls(Op::FindSession);
    assert!(lookups > 0, "nothing on the guest list: the vault is asked");
    faults.fail(&[Op::FindSession]);
    for _ in 0..3 {
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    }
    assert_eq!(faults.calls(Op::FindSession), lookups + 3, "and asked again each time");
    assert_eq!(gateway.call("GET", "/", &elsewhere.access).await.status, 503, "never confirmed");
}

/// Another gateway of the same stores, started later: it knows no session and no user.
async fn another(one: &TestGateway, shared: &Arc<dyn SessionStore>) -> (TestGateway, Arc<Faults>) {
    let (faults, sessions) = (Faults::new(), Arc::clone(shared));
    let wrap = faults.wrap();
    let setup = Setup {
        folder: Some(one.folder.clone()),
        clock: one.clock.clone(),
        stores: Box::new(move |stores| wrap(Stores { sessions, ..stores })),
        ..Setup::default()
    };
    (TestGateway::with(setup).await, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn started_gateway_asks_the_session_store_alone_about_sessions_it_never_saw() {
    let (one, _) = gateway("").await;
    let tokens = one.login("ada").await;
    let (two, faults) = another(&one, &one.sessions).await;
    for _ in 0..3 {
        assert_eq!(two.call("GET", "/", &tokens.access).await.status, 200);
    }
    assert_eq!(faults.calls(Op::FindSession), 0, "the token carries the name");
    assert_eq!(two.app.seen()[0].header("x-auth-user").as_deref(), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_release_0_1_0_is_looked_up_once_for_the_name() {
    let (one, _) = gateway("").await;
    let tokens = one.login("ada").await;
    let id: SessionId = tokens.session.parse().expect("an id");
    let user = one.vault.sessions.find(id).await.expect("an answer").expect("the session").grant.user_id;
    let (two, faults) = another(&one, &one.sessions).await;
    let mut old = Forger::new(&two, user);
    old.subject.session_id = id;
    let old = old.token(&stolen_keys(&two).await);
    for _ in 0..3 {
        assert_eq!(two.call("GET", "/", &old).await.status, 200);
    }
    assert_eq!(faults.calls(Op::FindSession), 1);
    assert_eq!(two.app.seen()[0].header("x-auth-user").as_deref(), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_by_another_process_writes_a_tombstone() {
    let (gateway, _) = gateway("").await;
    let tokens = gateway.login("ada").await;
    let id = tokens.session.parse().expect("an id");
    assert!(matches!(gateway.sessions.check(id).await.expect("an answer"), Lookup::Live(_)));
    gateway.command(&["session", "revoke", "--user", "ada"]).await;
    assert_eventually("for gateways that lose the vault now", SOON, async || {
        gateway.sessions.check(id).await.expect("an answer") == Lookup::Tombstone
    })
    .await;
}

/// A verified token is cached; any other token, however similar, is verified separately.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_one_connection_are_verified_separately() {
    let (gateway, _) = gateway("").await;
    gateway.user("bob", &[]).await;
    let (ada, bob) = (gateway.login("ada").await, gateway.login("bob").await);
    let mut client = Client::connect(gateway.address()).await;
    let mut status = async |token: &str| {
        let bearer = format!("Bearer {token}");
        client.send(&message("GET", "/", &[("Authorization", &bearer)], b"")).await;
        client.response("GET").await.expect("a response").status
    };
    // A changed payload of the same length.
    let (at, forged) = (ada.access.len() / 2, ada.access.as_bytes()[ada.access.len() / 2]);
    let other = if forged == b'A' { "B" } else { "A" };
    let forged = format!("{}{other}{}", &ada.access[..at], &ada.access[at + 1..]);
    for (token, expected) in [
        (&ada.access, 200),
        (&ada.access, 200),
        (&forged, 401),
        (&ada.access, 200),
        (&bob.access, 200),
        (&bob.access, 200),
        (&ada.access, 200),
    ] {
        assert_eq!(status(token).await, expected);
    }
    let users: Vec<_> = gateway.app.seen().iter().map(|seen| seen.header("x-auth-user")).collect();
    let expected = ["ada", "ada", "ada", "bob", "bob", "ada"].map(|user| Some(user.to_owned()));
    assert_eq!(users, expected);
    gateway.command(&["session", "revoke", "--user", "ada"]).await;
    assert_eventually("revoked", SOON, async || status(&ada.access).await == 401).await;
}
