//! Active health checks, independent of requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::Response;
use pingora::apps::HttpServerOptions;
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::protocols::http::ServerSession;
use pingora::services::Service as _;
use pingora::services::listening::Service;

use super::passive_health::{in_front_of, series};
use crate::support::port::free_port;
use crate::support::{Behaviour, FlakyServer, TestGateway, assert_eventually};

const HEALTHZ: &str = "[upstreams.flaky.health]\npath = \"/healthz\"\n";

/// Waits while advancing the clock used for checks.
async fn in_time(gateway: &TestGateway, what: &str, mut check: impl AsyncFnMut() -> bool) {
    assert_eventually(what, Duration::from_secs(20), async || {
        gateway.clock.advance(Duration::from_millis(200));
        check().await
    })
    .await;
}

async fn is_healthy(gateway: &TestGateway, server: &FlakyServer) -> bool {
    series(gateway, "addresses_healthy", "", server).await == 1.0
}

async fn checks(gateway: &TestGateway, result: &str, server: &FlakyServer) -> f64 {
    let line = format!(
        "doorward_upstream_checks_total{{result=\"{result}\",server=\"http://{}\",upstream=\"flaky\"}}",
        server.address()
    );
    gateway.metric(&line).await
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_health_check_ejects_server_before_any_request() {
    let (sick, well) = (FlakyServer::start(), FlakyServer::start());
    let gateway = TestGateway::with(in_front_of(&[sick.address(), well.address()], HEALTHZ)).await;
    in_time(&gateway, "both are asked", async || {
        sick.received("/healthz") > 0 && well.received("/healthz") > 0
    })
    .await;
    sick.set(Behaviour::Answers(404));
    in_time(&gateway, "it is put last", async || !is_healthy(&gateway, &sick).await).await;
    assert!(is_healthy(&gateway, &well).await);
    assert!(checks(&gateway, "failed", &sick).await >= 3.0);
    assert!(checks(&gateway, "ok", &well).await >= 1.0 && checks(&gateway, "failed", &well).await == 0.0);
    assert_eq!(series(&gateway, "ejections_total", "cause=\"check\",*", &sick).await, 1.0);
    for _ in 0..6 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert_eq!((sick.received("/"), well.received("/")), (0, 6));
    sick.set(Behaviour::Answers(204));
    in_time(&gateway, "it is back", async || is_healthy(&gateway, &sick).await).await;
    for _ in 0..6 {
        gateway.get("/", &[]).await;
    }
    assert_eq!((sick.received("/"), well.received("/")), (3, 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_check_uses_configured_request_on_its_own_connection() {
    let app = FlakyServer::start();
    app.set(Behaviour::Answers(418));
    let health =
        "[upstreams.flaky.health]\npath = \"/up?deep=1\"\nhost = \"app.example.com\"\nstatus = [418]\n";
    let gateway = TestGateway::with(in_front_of(&[app.address()], health)).await;
    in_time(&gateway, "it is asked", async || checks(&gateway, "ok", &app).await >= 2.0).await;
    let head = app.heads()[0].to_ascii_lowercase();
    assert!(head.starts_with("get /up?deep=1 http/1.1\r\n"), "{head}");
    for field in ["host: app.example.com", "connection: close", "user-agent: doorward/"] {
        assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
    }
    app.set(Behaviour::Answers(200));
    in_time(&gateway, "another status is none", async || checks(&gateway, "failed", &app).await >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_check_without_path_only_connects() {
    let (mut dead, live) = (FlakyServer::asleep(), FlakyServer::start());
    let health = "[upstreams.flaky.health]\n";
    let gateway = TestGateway::with(in_front_of(&[dead.address(), live.address()], health)).await;
    in_time(&gateway, "it is put last", async || !is_healthy(&gateway, &dead).await).await;
    assert!(is_healthy(&gateway, &live).await);
    dead.wake();
    in_time(&gateway, "it is back", async || is_healthy(&gateway, &dead).await).await;
    assert_eq!(dead.heads().len() + live.heads().len(), 0, "nothing is said");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_response_fails_the_health_check() {
    let (silent, rude) = (FlakyServer::start(), FlakyServer::start());
    silent.set(Behaviour::Hangs);
    rude.set(Behaviour::HangsUp);
    let health = format!("{HEALTHZ}interval = \"300ms\"\ntimeout = \"300ms\"\n");
    let gateway = TestGateway::with(in_front_of(&[silent.address(), rude.address()], &health)).await;
    for app in [&silent, &rude] {
        in_time(&gateway, "it is put last", async || !is_healthy(&gateway, app).await).await;
        app.set(Behaviour::Answers(200));
    }
    for app in [&silent, &rude] {
        in_time(&gateway, "it is back", async || is_healthy(&gateway, app).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_are_tried_when_every_check_fails() {
    let apps = [FlakyServer::start(), FlakyServer::start()];
    let health = "[upstreams.flaky.health]\npath = \"/healthz\"\nstatus = [299]\n";
    let gateway = TestGateway::with(in_front_of(&[apps[0].address(), apps[1].address()], health)).await;
    for app in &apps {
        in_time(&gateway, "it is put last", async || !is_healthy(&gateway, app).await).await;
    }
    for _ in 0..6 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert_eq!(apps.each_ref().map(|app| app.received("/")), [3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_check_readmits_a_server_that_refused() {
    let (mut dead, live) = (FlakyServer::asleep(), FlakyServer::start());
    let health = "[upstreams.flaky.health]\nunhealthy_after = 100\nbase_ejection_time = \"1h\"\nmax_ejection_time = \"1h\"\n";
    let gateway = TestGateway::with(in_front_of(&[dead.address(), live.address()], health)).await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert!(!is_healthy(&gateway, &dead).await);
    dead.wake();
    in_time(&gateway, "it is back within its hour", async || {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
        is_healthy(&gateway, &dead).await
    })
    .await;
    assert!(checks(&gateway, "ok", &dead).await >= 2.0);
}

/// Records the version, target and authority of each request.
#[derive(Clone, Default)]
struct Remembers(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl ServeHttp for Remembers {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let seen = format!("{:?} {}", request.version, request.uri);
        self.0.lock().expect("not poisoned").push(seen);
        Response::builder().header("content-length", 2).body(b"ok".to_vec()).expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h2c_server_is_checked_with_http2_prior_knowledge() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let seen = Remembers::default();
    let mut app = HttpServer::new_app(seen.clone());
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    app.server_options = Some(options);
    let mut service = Service::new("h2c".to_owned(), app);
    service.add_tcp(&address.to_string());
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let serving = tokio::spawn(async move { service.start_service(None, stopped, 1).await });

    let mut setup = in_front_of(&[address], HEALTHZ);
    setup.routes = setup.routes.replace("\"http://", "\"h2c://");
    let gateway = TestGateway::with(setup).await;
    let line = format!("doorward_upstream_checks_total{{result=\"ok\",server=\"h2c://{address}\"");
    in_time(&gateway, "it is asked", async || gateway.metric(&line).await >= 2.0).await;
    assert_eq!(gateway.get("/", &[]).await.status, 200, "as requests are");
    let seen = seen.0.lock().expect("not poisoned").clone();
    assert!(seen.contains(&format!("HTTP/2.0 http://{address}/healthz")), "{seen:?}");
    serving.abort();
}
