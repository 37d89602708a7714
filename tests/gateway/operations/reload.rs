//! Configuration reload: changed settings, kept settings and rejected files.

use std::time::Duration;

use crate::support::gateway::{ROUTES, SOON, Tokens};
use crate::support::{Client, Setup, Socket, TestApp, TestGateway, assert_eventually};

const MORE: &str = r#"
[[routes]]
name = "more"
path = "/more"
access = "public"
upstream = "app"
"#;

async fn followed(setup: Setup) -> TestGateway {
    let mut gateway = TestGateway::with(setup).await;
    gateway.follow();
    gateway
}

async fn reloads(gateway: &TestGateway, outcome: &str) -> f64 {
    gateway.metric(&format!(r#"doorward_config_reloads_total{{outcome="{outcome}"}}"#)).await
}

fn with(more: &str) -> impl FnOnce(&str) -> String {
    let more = more.to_owned();
    move |text| format!("{text}{more}")
}

fn instead<'a>(old: &'a str, new: &'a str) -> impl FnOnce(&str) -> String + 'a {
    move |text| {
        assert!(text.contains(old), "no `{old}` in {text}");
        text.replacen(old, new, 1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_changes_routes_but_not_for_running_requests() {
    let hold = MORE.replace("more", "hold");
    let gateway = followed(Setup { routes: format!("{ROUTES}{MORE}{hold}"), ..Setup::default() }).await;
    let mut held = Client::connect(gateway.address()).await;
    held.send(b"GET /hold HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await;
    assert_eventually("the app is asked", SOON, async || gateway.app.heads() == 1).await;
    let mut kept = Client::connect(gateway.address()).await;
    assert_eq!(kept.request("GET", "/more", &[], b"").await.status, 200);

    gateway.reconfigure(|text| text.replace(MORE, "").replace(&hold, "")).await;
    for path in ["/more", "/hold"] {
        assert_eq!(gateway.get(path, &[]).await.status, 401, "the route of / has it now");
        assert_eq!(
            kept.request("GET", path, &[], b"").await.status,
            401,
            "also on a connection that was kept"
        );
    }
    gateway.app.release(1);
    assert_eq!(held.response("GET").await.expect("an answer").status, 200);

    gateway.reconfigure(with(MORE)).await;
    assert_eq!(kept.request("GET", "/more", &[], b"").await.status, 200);
    assert_eq!(gateway.metric("doorward_config_generation").await, 3.0);
    assert_eq!(reloads(&gateway, "applied").await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_file_changes_nothing_and_is_reported_until_fixed() {
    let mut gateway = TestGateway::start().await;
    let reloads_of = gateway.follow();
    assert_eventually("the file is known", SOON, async || gateway.metric("doorward_config_hash").await > 0.0)
        .await;
    let hash = gateway.metric("doorward_config_hash").await;
    assert_eq!(gateway.probe("/readyz").await.text(), "ready\n");
    let good = std::fs::read_to_string(gateway.config_file()).expect("the file");

    // A valid route beside an invalid one: nothing of the file applies.
    gateway.rewrite(with(&format!(
        "{MORE}[[routes]]\nname = \"bad\"\npath = \"/x\"\naccess = \"nobody\"\nupstream = \"app\"\n"
    )));
    assert_eventually("it is refused", SOON, async || {
        gateway.metric("doorward_config_rejected").await == 1.0
    })
    .await;
    assert_eq!(gateway.get("/more", &[]).await.status, 401);
    let line = 1 + good.lines().count() + MORE.lines().count() + 3;
    let ready = gateway.probe("/readyz").await;
    let problem = format!("gateway.toml:{line}: routes[5].access: ");
    assert_eq!(ready.status, 200);
    assert!(
        ready.text().starts_with("ready, with an older configuration: ") && ready.text().contains(&problem),
        "{}",
        ready.text()
    );
    assert_eq!(gateway.metric("doorward_config_hash").await, hash);

    // A rejected file is tried once, and again on request.
    assert_eq!(reloads(&gateway, "rejected").await, 1.0);
    reloads_of.now();
    assert_eventually("asked", SOON, async || reloads(&gateway, "rejected").await == 2.0).await;
    gateway.rewrite(|_| "[server".to_owned());
    assert_eventually("another fault", SOON, async || {
        gateway.probe("/readyz").await.text().contains("gateway.toml:1: ")
    })
    .await;
    std::fs::remove_file(gateway.config_file()).expect("removed");
    assert_eventually("none at all", SOON, async || {
        gateway.probe("/readyz").await.text().contains("cannot be read")
    })
    .await;
    assert_eq!(gateway.get("/public", &[]).await.status, 200);

    std::fs::write(gateway.config_file(), good).expect("written");
    assert_eventually("mended", SOON, async || gateway.probe("/readyz").await.text() == "ready\n").await;
    assert_eq!(gateway.metric("doorward_config_rejected").await, 0.0);
    assert_eq!(gateway.metric("doorward_config_generation").await, 1.0, "what is in force was all the time");
    assert_eq!((reloads(&gateway, "applied").await, reloads(&gateway, "unchanged").await), (0.0, 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requested_reload_runs_at_once_even_without_changes() {
    let mut gateway = TestGateway::start().await;
    let follower = gateway.follow();
    follower.now();
    assert_eventually("nothing is new", SOON, async || reloads(&gateway, "unchanged").await == 1.0).await;
    gateway.rewrite(with(MORE));
    follower.now();
    // File watching needs two checks, half a second apart; a requested reload needs none.
    assert_eventually("taken", Duration::from_millis(450), async || {
        gateway.get("/more", &[]).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_only_settings_are_kept_while_others_apply() {
    let gateway = followed(Setup::default()).await;
    let needed = async || gateway.metric("doorward_config_restart_needed").await;
    gateway.reconfigure(|text| text.replace("[login]\n", "[login]\nhash_threads = 3\n") + MORE).await;
    assert_eq!((gateway.get("/more", &[]).await.status, needed().await), (200, 1.0));
    gateway.reconfigure(|text| text.replace("hash_threads = 3\n", "")).await;
    assert_eq!((gateway.get("/more", &[]).await.status, needed().await), (200, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_issuer_invalidates_already_verified_tokens() {
    let gateway = followed(Setup::default()).await;
    gateway.user("ada", &[]).await;
    let old = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &old.access).await.status, 200);
    gateway.reconfigure(instead("issuer = \"http://gateway.test\"", "issuer = \"http://other.test\"")).await;
    assert_eq!(gateway.call("GET", "/", &old.access).await.status, 401);
    let new = Tokens::of(&gateway.refresh(&old.refresh).await);
    assert_eq!(gateway.call("GET", "/", &new.access).await.status, 200, "its session goes on");
    gateway.reconfigure(instead("issuer = \"http://other.test\"", "issuer = \"http://gateway.test\"")).await;
    assert_eq!(gateway.call("GET", "/", &new.access).await.status, 401);
    assert_eq!(gateway.call("GET", "/", &old.access).await.status, 200, "until it expires");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloaded_limits_and_lifetimes_apply() {
    let gateway = followed(Setup::default()).await;
    gateway.user("ada", &[]).await;
    let mut kept = Client::connect(gateway.address()).await;
    assert_eq!(kept.request("GET", "/public", &[], b"").await.status, 200);
    gateway
        .reconfigure(|text| {
            text.replace("[login]\n", "[login]\nattempts_per_account = 1\n")
                .replace("[tokens]\n", "[tokens]\naccess_ttl = \"1m\"\n")
        })
        .await;
    let credentials = |password: &str| serde_json::json!({ "username": "ada", "password": password });
    let response = gateway.post("/auth/login", None, &credentials(crate::support::PASSWORD)).await;
    let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(body["expires_in"], 60);
    assert_eq!(
        gateway.post("/auth/login", None, &credentials("wrong horse battery staple")).await.status,
        401
    );
    assert_eq!(
        gateway.post("/auth/login", None, &credentials("wrong horse battery staple")).await.status,
        429
    );
    gateway.reconfigure(instead("[admin]\n", "[server.limits]\nconnections_per_ip = 2\n[admin]\n")).await;
    assert_eventually("one is left", SOON, async || gateway.metric("doorward_connections_open").await == 1.0)
        .await;
    let mut second = Client::connect(gateway.address()).await;
    assert_eq!(second.request("GET", "/public", &[], b"").await.status, 200);
    let mut third = Client::connect(gateway.address()).await;
    let served = third.try_send(b"GET /public HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await
        && third.response("GET").await.is_some();
    assert!(!served, "three are one too many now");
    assert_eq!(kept.request("GET", "/public", &[], b"").await.status, 200, "who is there stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloaded_upstream_address_is_used() {
    let gateway = followed(Setup::default()).await;
    let moved = TestApp::start().await;
    assert_eq!(gateway.get("/public", &[]).await.status, 200);
    let (from, to) = (gateway.app.address().to_string(), moved.address().to_string());
    gateway.reconfigure(move |text| text.replace(&from, &to)).await;
    let before = gateway.app.heads();
    assert_eq!(gateway.get("/public", &[]).await.status, 200);
    assert_eq!((gateway.app.heads(), moved.heads()), (before, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_survive_reloads() {
    let gateway = followed(Setup::default()).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    socket.echo("before").await;
    gateway.reconfigure(with(MORE)).await;
    socket.echo("between").await;
    gateway.reconfigure(|text| text.replace(ROUTES, "")).await;
    socket.echo("after").await;
    assert_eq!(
        gateway.post("/auth/logout", Some(&tokens.access), &serde_json::json!(null)).await.status,
        200
    );
    socket.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_uses_the_reloaded_timeout_and_stops_reloading() {
    let mut gateway = followed(Setup { server: "drain_timeout = \"1h\"".into(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let heads = gateway.app.heads();
    let mut held = Client::asking(gateway.address(), "/hold", &tokens.access).await;
    assert_eventually("the app is asked", SOON, async || gateway.app.heads() > heads).await;
    gateway.reconfigure(instead("drain_timeout = \"1h\"", "drain_timeout = \"100ms\"")).await;
    tokio::time::timeout(SOON, gateway.drain()).await.expect("a drain as the file says now");
    assert!(held.response("GET").await.is_none(), "cut");
}
