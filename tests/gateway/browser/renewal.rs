use std::time::Duration;

use doorward::identity::Roles;
use doorward::vault::UserChange;
use tokio::task::JoinSet;

use super::Browser;
use super::jar::{PAGE, later};
use crate::support::gateway::SOON;
use crate::support::http::{Client, message};
use crate::support::{Faults, Op, Setup, TestGateway, assert_eventually};

/// Just longer than the access token lifetime.
const EXPIRED: Duration = Duration::from_secs(15 * 60 + 6);
const DAY: Duration = Duration::from_secs(24 * 3600);

const RENEWED: &str = r#"doorward_vault_statement_seconds_count{statement="renew"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn thirty_requests_with_expired_cookie_cost_one_vault_query() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    later(&gateway, EXPIRED).await;
    let mut asking = JoinSet::new();
    for n in 0..30 {
        let mut one = browser.clone();
        asking.spawn(async move { one.fetch(&format!("/part/{n}")).await });
    }
    let responses = asking.join_all().await;
    for response in &responses {
        assert_eq!(response.status, 200, "{}", response.text());
        let [cookie] = response.all("set-cookie")[..] else { panic!("{:?}", response.all("set-cookie")) };
        assert!(cookie.starts_with("__Host-doorward-access="), "the refresh cookie stays: {cookie}");
        assert_eq!(response.header("cache-control"), Some("private"));
    }
    assert_eq!(gateway.metric(RENEWED).await, 1.0);
    for seen in gateway.app.seen() {
        assert_eq!((seen.header("cookie"), seen.header("x-auth-user").as_deref()), (None, Some("ada")));
    }
    // With the new cookie nothing is renewed.
    browser.take(&responses[7]);
    let next = browser.fetch("/next").await;
    assert_eq!(
        (next.status, next.all("set-cookie").len(), next.header("cache-control")),
        (200, 0, Some("private"))
    );
    assert_eq!(gateway.metric(RENEWED).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn app_cookies_and_renewed_cookies_are_set_together() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    browser.cookies.insert("app".into(), "1".into());
    later(&gateway, EXPIRED).await;
    let response = browser.fetch("/cookie").await;
    let set = response.all("set-cookie");
    assert_eq!(set.len(), 2, "{set:?}");
    assert_eq!(set[0], "app=1; Path=/");
    assert!(set[1].starts_with("__Host-doorward-access=ey"), "{}", set[1]);
    assert_eq!(gateway.app.last().header("cookie").as_deref(), Some("app=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn expiring_and_missing_access_cookies_are_renewed() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    later(&gateway, EXPIRED - Duration::from_secs(26)).await;
    let response = browser.fetch("/").await;
    assert_eq!((response.status, response.all("set-cookie").len()), (200, 1), "20 seconds are left of it");
    browser.cookies.remove("__Host-doorward-access");
    assert_eq!(browser.fetch("/").await.status, 200);
    assert_eq!(browser.fetch("/auth/me").await.member("user"), "ada");
    // A public route performs no session lookup.
    browser.cookies.remove("__Host-doorward-access");
    let public = browser.fetch("/public").await;
    assert_eq!((public.status, public.all("set-cookie").len()), (200, 0));
    let optional = browser.fetch("/optional").await;
    assert_eq!((optional.status, optional.all("set-cookie").len()), (200, 1));
    assert_eq!(gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateway_renews_the_session() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let browser = Browser::signed_in(&gateway, "ada").await;
    let written = std::fs::read(gateway.config_file()).expect("the file");
    let (folder, clock) = (Some(gateway.folder.clone()), gateway.clock.clone());
    let other = TestGateway::with(Setup { folder, clock, ..Setup::default() }).await;
    std::fs::write(gateway.config_file(), written).expect("the file as it was");
    later(&gateway, EXPIRED).await;
    let mut there = browser.at(&other);
    assert_eventually("the other is current", SOON, async || other.probe("/readyz").await.status == 200)
        .await;
    assert_eq!(there.fetch("/").await.status, 200);
    assert_eq!(other.app.last().header("x-auth-user").as_deref(), Some("ada"));
    // Its renewed cookies are valid at this gateway.
    assert_eq!(there.at(&gateway).fetch("/").await.status, 200);
    assert_eq!(gateway.metric(RENEWED).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_handshake_renews_the_cookie() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    later(&gateway, EXPIRED).await;
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let response = browser.ask("GET", "/ws", &upgrade, b"").await;
    assert_eq!((response.status, response.all("set-cookie").len()), (101, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_roles_reach_a_browser_without_sign_in() {
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let refused = browser.go("/admin").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("content-type"), Some("text/html; charset=utf-8"));
    let roles = Roles::parse(["admin"]).expect("a role");
    gateway.vault.users.change(user, &UserChange::Roles(roles)).await.expect("changed");
    assert_eventually("the new role is there", SOON, async || {
        browser.clone().go("/admin").await.status == 200
    })
    .await;
    assert_eq!(browser.go("/admin").await.status, 200);
    assert_eq!(gateway.app.last().header("x-auth-roles").as_deref(), Some("admin"));
}

/// With cookies of two users, as when one of them was set for another path or domain.
#[tokio::test(flavor = "multi_thread")]
async fn stream_is_cut_when_the_roles_of_its_own_user_change() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    let (ada, bob) = (gateway.user("ada", &[]).await, gateway.user("bob", &[]).await);
    let mut both = Browser::signed_in(&gateway, "ada").await;
    let mut other = Browser::signed_in(&gateway, "bob").await;
    let change = async |user| {
        let roles = Roles::parse(["admin"]).expect("a role");
        gateway.vault.users.change(user, &UserChange::Roles(roles)).await.expect("changed");
    };
    // Both access tokens end in ten seconds.
    later(&gateway, EXPIRED - Duration::from_secs(16)).await;
    // This renewal is repeated for five seconds, though bob's roles change.
    assert_eq!(other.fetch("/").await.status, 200);
    change(bob).await;
    assert_eventually("bob's old roles are refused", SOON, async || {
        gateway.call("GET", "/", other.access()).await.status == 401
    })
    .await;
    faults.fail(&[Op::Renew]);
    both.cookies.insert("__Host-doorward-refresh".into(), other.refresh().into());
    let mut stream = Client::connect(gateway.address()).await;
    stream.send(&message("GET", "/events", &[("Cookie", &both.cookie())], b"")).await;
    assert_eq!(stream.head().await.expect("a response").status, 200);
    assert_eq!(gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
    change(ada).await;
    let ended = async { while stream.some().await.is_some() {} };
    tokio::time::timeout(SOON, ended).await.expect("ada's stream is cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_session_is_not_renewed() {
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let mut disabled = Browser::signed_in(&gateway, "ada").await;
    later(&gateway, EXPIRED).await;
    assert_eq!(browser.fetch("/").await.status, 200);
    let api = gateway.login("ada").await;
    gateway.post("/auth/logout-all", Some(&api.access), &serde_json::json!(null)).await;
    assert_eq!(browser.fetch("/").await.code(), "token_revoked");
    browser.cookies.remove("__Host-doorward-access");
    // For some seconds the shared renewal result is used, which is invalid too; later the vault refuses.
    let refused = browser.fetch("/").await;
    assert_eq!((refused.code().as_str(), refused.all("set-cookie").len()), ("token_revoked", 0));
    later(&gateway, Duration::from_secs(6)).await;
    let refused = browser.fetch("/").await;
    assert_eq!((refused.code().as_str(), refused.all("set-cookie").len()), ("token_missing", 0));
    gateway.vault.users.change(user, &UserChange::Disabled(true)).await.expect("changed");
    assert_eq!(disabled.fetch("/").await.code(), "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_without_vault_is_undecided_and_keeps_cookies() {
    let faults = Faults::new();
    let setup = Setup { stores: faults.wrap(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    later(&gateway, EXPIRED).await;
    faults.fail(&[Op::Renew]);
    let undecided = browser.fetch("/").await;
    assert_eq!((undecided.code().as_str(), undecided.all("set-cookie").len()), ("store_unavailable", 0));
    let page = browser.go("/").await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("1")));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.all("set-cookie").is_empty());
    faults.heal();
    assert_eq!(browser.fetch("/").await.status, 200);
    // A valid access cookie needs no renewal.
    later(&gateway, EXPIRED - Duration::from_secs(26)).await;
    faults.fail(&[Op::Renew]);
    assert_eq!(browser.fetch("/").await.status, 200);
    assert_eq!(faults.calls(Op::Rotate), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn page_view_rotates_daily_and_detects_old_refresh_cookies() {
    let setup = Setup { login: "[browser]\nidle_timeout = \"7d\"".into(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    later(&gateway, DAY - Duration::from_secs(60)).await;
    let before = browser.refresh().to_owned();
    assert_eq!(browser.go("/").await.all("set-cookie").len(), 1, "not a day yet");
    later(&gateway, EXPIRED).await;
    let fetched = browser.fetch("/").await;
    assert_eq!(fetched.all("set-cookie").len(), 1, "no page view");
    later(&gateway, EXPIRED).await;
    let mut other_tab = browser.clone();
    let thief = browser.clone();
    assert_eq!(browser.go("/").await.all("set-cookie").len(), 2);
    assert_ne!(browser.refresh(), before);
    // A tab with the previous cookie continues and receives the new one.
    later(&gateway, Duration::from_secs(30)).await;
    other_tab.cookies.remove("__Host-doorward-access");
    assert_eq!(other_tab.fetch("/").await.all("set-cookie").len(), 2);
    assert_eq!(other_tab.refresh(), browser.refresh());
    // After the grace the old cookie counts as stolen, and the session ends for both holders.
    later(&gateway, Duration::from_secs(60)).await;
    let mut thief = thief;
    thief.cookies.remove("__Host-doorward-access");
    assert_eq!(thief.fetch("/").await.code(), "token_revoked");
    assert_eq!(browser.fetch("/").await.code(), "token_revoked");
    assert_eq!(gateway.metric(r#"doorward_refresh_reuses_total{cause="after_grace"}"#).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_and_forged_cookies_are_not_adopted() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let eve = {
        gateway.user("eve", &[]).await;
        Browser::signed_in(&gateway, "eve").await
    };
    later(&gateway, EXPIRED).await;
    let doubled = [
        format!("{}; __Host-doorward-refresh={}", browser.cookie(), eve.refresh()),
        format!("{}; __Host-doorward-access={}", browser.cookie(), eve.access()),
    ];
    for cookie in doubled {
        let headers = [PAGE[0], PAGE[1], PAGE[2], ("Cookie", cookie.as_str())];
        let response = gateway.get("/", &headers).await;
        assert_eq!((response.status, response.all("set-cookie").len()), (303, 0), "{cookie}");
        // The login page then shows a message instead of redirecting in a loop.
        let login = gateway.get("/auth/login", &headers).await;
        assert_eq!((login.status, login.header("content-type")), (400, Some("text/html; charset=utf-8")));
    }
    assert_eq!(gateway.metric(RENEWED).await, 0.0);
    let good = browser.refresh().to_owned();
    for forged in ["x", "x.r", &good[1..], &good.to_uppercase()] {
        browser.cookies.insert("__Host-doorward-refresh".into(), forged.into());
        assert_eq!(browser.fetch("/").await.code(), "token_expired", "{forged}");
    }
    assert_eq!(gateway.metric(RENEWED).await, 0.0, "no question for a forged one");
    // A gateway bearer is handled by itself, not as a browser's.
    let api = gateway.login("ada").await;
    later(&gateway, EXPIRED).await;
    let bearer = format!("Bearer {}", api.access);
    let refresh = format!("__Host-doorward-refresh={good}");
    let response =
        gateway.get("/", &[("Authorization", bearer.as_str()), ("Cookie", refresh.as_str())]).await;
    assert_eq!((response.code().as_str(), response.all("set-cookie").len()), ("token_expired", 0));
    // The app's own Authorization beside it is not a gateway credential.
    let basic = [("Authorization", "Basic YTpi"), ("Cookie", refresh.as_str())];
    let response = gateway.get("/", &basic).await;
    assert_eq!((response.status, response.all("set-cookie").len()), (200, 1));
    assert_eq!(gateway.app.last().header("authorization").as_deref(), Some("Basic YTpi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_renewals_are_counted_beside_api_refreshes() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let counted = async |name: &str, outcome: &str| {
        gateway.metric(&format!(r#"doorward_{name}_total{{outcome="{outcome}"}}"#)).await
    };
    let mut browser = Browser::new(&gateway);
    browser.sign_in("ada", "not the password at all", "/auth/login", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    assert_eq!((counted("logins", "ok").await, counted("logins", "credentials_wrong").await), (1.0, 1.0));
    later(&gateway, EXPIRED).await;
    let mut asking = JoinSet::new();
    for n in 0..10 {
        let mut one = browser.clone();
        asking.spawn(async move { one.fetch(&format!("/part/{n}")).await.status });
    }
    assert_eq!(asking.join_all().await, [200; 10]);
    assert_eq!(counted("refreshes", "renewed").await, 1.0, "ten requests, one renewal");
    let mut forged = browser.clone();
    forged.cookies.insert("__Host-doorward-refresh".into(), "none-of-ours".into());
    assert_eq!(forged.fetch("/").await.code(), "token_expired");
    assert_eq!(counted("refreshes", "refresh_invalid").await, 1.0);
    let ended = browser.clone();
    let page = browser.go("/auth/logout").await;
    browser.post("/auth/logout", &super::jar::hidden(&page)).await;
    later(&gateway, Duration::from_secs(6)).await;
    let mut ended = ended;
    ended.cookies.remove("__Host-doorward-access");
    assert_eq!(ended.fetch("/").await.code(), "token_missing");
    assert_eq!(counted("refreshes", "refresh_invalid").await, 2.0);
    assert_eq!(counted("refreshes", "rotated").await, 0.0);
}
