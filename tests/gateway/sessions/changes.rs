//! Changes of users and keys under traffic.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorward::identity::Roles;
use doorward::password::{Hasher, Password};
use doorward::secret::Secret;
use doorward::vault::{SessionPage, UserChange, UserKey};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gateway::{SOON, Tokens};
use crate::support::http;
use crate::support::{Faults, Op, PASSWORD, Setup, TestGateway, assert_eventually};

#[tokio::test(flavor = "multi_thread")]
async fn login_fails_when_password_changes_before_the_insert() {
    let hasher = Hasher::start(1, 1, std::sync::Arc::new(doorward::id::SystemRandom)).expect("a thread");
    let new = hasher.hash(Password::new("a quite different one").expect("short")).await.expect("a hash");
    let password = UserChange::Password { new, expected: None, keep: None };
    for change in [password, UserChange::Disabled(true), UserChange::Deleted] {
        let faults = Faults::new();
        let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
        let ada = gateway.user("ada", &[]).await;
        let gate = faults.hold_before(Op::OpenSession);
        let changing = async {
            gate.until_reached().await;
            gateway.vault.users.change(ada, &change).await.expect("a change");
            gate.open();
        };
        let body = json!({ "username": "ada", "password": PASSWORD });
        let (refused, ()) = tokio::join!(gateway.post("/auth/login", None, &body), changing);
        assert_eq!((refused.status, refused.code().as_str()), (401, "credentials_wrong"), "{change:?}");
        let left = gateway.vault.sessions.list(None, SessionPage::first(1000)).await.expect("a vault");
        assert!(left.is_empty(), "{change:?}: no session was left behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_hash_never_overwrites_a_password_changed_meanwhile() {
    // A bcrypt hash of "violet kettle harbour l\u{e4}ntern", made by bcrypt 5.0.0 of PyPI.
    let imported = "$2b$04$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2";
    let hasher = Hasher::start(1, 1, std::sync::Arc::new(doorward::id::SystemRandom)).expect("a thread");
    let new = hasher.hash(Password::new("a quite different one").expect("short")).await.expect("a hash");
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    let ada = gateway.user("ada", &[]).await;
    let password =
        |new: &Secret<String>| UserChange::Password { new: new.clone(), expected: None, keep: None };
    let imported = Secret::new(imported.to_owned());
    gateway.vault.users.change(ada, &password(&imported)).await.expect("a change");
    let gate = faults.hold_before(Op::ChangeUser);
    let changing = async {
        gate.until_reached().await;
        gateway.vault.users.change(ada, &password(&new)).await.expect("a change");
        gate.open();
    };
    let body = json!({ "username": "ada", "password": "violet kettle harbour l\u{e4}ntern" });
    let (refused, ()) = tokio::join!(gateway.post("/auth/login", None, &body), changing);
    assert_eq!((refused.status, refused.code().as_str()), (401, "credentials_wrong"));
    let user = gateway.vault.users.find(&UserKey::Id(ada)).await.expect("an answer").expect("ada");
    assert_eq!(user.password, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn role_change_applies_within_250_ms_and_after_refresh() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &["user"]).await;
    let old = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &old.access).await.status, 200);
    assert_eq!(gateway.call("GET", "/admin", &old.access).await.code(), "role_missing");
    let roles = Roles::parse(["admin"]).expect("roles");
    gateway.vault.users.change(ada, &UserChange::Roles(roles)).await.expect("a change");
    assert_eventually("the old rights are refused", Duration::from_millis(250), async || {
        gateway.call("GET", "/", &old.access).await.status != 200
    })
    .await;
    let refused = gateway.call("GET", "/", &old.access).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_expired"));
    let new = Tokens::of(&gateway.refresh(&old.refresh).await);
    assert_eq!(gateway.call("GET", "/admin", &new.access).await.status, 200);
    assert_eq!(gateway.app.last().header("x-auth-roles").as_deref(), Some("admin"));
    assert_eq!(gateway.call("GET", "/", &old.access).await.code(), "token_expired", "the old one stays so");
}

/// The `kid` of an access token.
fn kid(access: &str) -> String {
    use base64::Engine as _;
    let header = access.split('.').next().expect("a header");
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url");
    let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a kid").to_owned()
}

async fn published(gateway: &TestGateway) -> usize {
    gateway.get("/.well-known/jwks.json", &[]).await.json()["keys"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn key_rotation_under_traffic_loses_no_request() {
    let faults = Faults::new();
    let setup = Setup {
        // The clock jumps below by less than the lease.
        vault: r#"lease = "60s""#.to_owned(),
        sessions: r#"stream_lease = "2m""#.to_owned(),
        stores: faults.wrap(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let old = gateway.login("ada").await;
    // The clock jumps only between requests, so that no request lasts ten minutes.
    let leaping = tokio::sync::Mutex::new(());
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let traffic = async {
        let mut refresh = old.refresh.clone();
        while !stop.load(Ordering::SeqCst) {
            let _leap = leaping.lock().await;
            assert_eq!(gateway.call("GET", "/", &old.access).await.status, 200);
            let renewed = Tokens::of(&gateway.refresh(&refresh).await);
            assert_eq!(gateway.call("GET", "/", &renewed.access).await.status, 200);
            refresh = renewed.refresh;
            answered.fetch_add(1, Ordering::SeqCst);
        }
    };
    let rotation = async {
        assert_eventually("traffic flows", SOON, async || answered.load(Ordering::SeqCst) > 2).await;
        assert_eq!(published(&gateway).await, 1);
        gateway.command(&["key", "rotate"]).await;
        assert_eventually("both keys are published", SOON, async || published(&gateway).await == 2).await;
        assert_eq!(kid(&gateway.login("ada").await.access), kid(&old.access), "published before it signs");
        // Ten minutes later every JWKS cache has the new key.
        for _ in 0..13 {
            let _leap = leaping.lock().await;
            let reads = faults.calls(Op::ReadLog);
            gateway.clock.advance(Duration::from_secs(50));
            assert_eventually("the lease is renewed", SOON, async || faults.calls(Op::ReadLog) >= reads + 2)
                .await;
        }
        let new = gateway.login("ada").await;
        assert_ne!(kid(&new.access), kid(&old.access), "now it signs");
        assert_eq!(gateway.call("GET", "/", &new.access).await.status, 200);
        assert_eq!(gateway.call("GET", "/", &old.access).await.status, 200, "old tokens stay good");
        assert_eq!(published(&gateway).await, 2);
        let before = answered.load(Ordering::SeqCst);
        assert_eventually("traffic flows", SOON, async || answered.load(Ordering::SeqCst) > before + 2).await;
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(traffic, rotation);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_first_uses_of_one_token_cost_one_vault_lookup() {
    let first = TestGateway::start().await;
    first.user("ada", &[]).await;
    let tokens = first.login("ada").await;
    let clock = first.clock.clone();
    let folder = first.stop().await;
    let faults = Faults::new();
    let setup = Setup { folder: Some(folder), clock, stores: faults.wrap(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    let gate = faults.hold_before(Op::FindSession);
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (address, bearer) = (gateway.address(), format!("Bearer {}", tokens.access));
        asking.spawn(
            async move { http::request(address, "GET", "/", &[("Authorization", &bearer)], b"").await },
        );
    }
    assert_eventually("all have asked the session store", SOON, async || faults.calls(Op::Check) == 50).await;
    gate.until_reached().await;
    gate.open();
    assert!(asking.join_all().await.iter().all(|response| response.status == 200));
    assert_eq!(faults.calls(Op::FindSession), 1);
}
