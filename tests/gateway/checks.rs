//! Active checks: servers are asked how they are, whether requests come or not.

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

use crate::health::{in_front_of, series};
use crate::support::port::free_port;
use crate::support::{Mood, Moody, TestGateway, assert_eventually};

const HEALTHZ: &str = "[upstreams.moody.health]\npath = \"/healthz\"\n";

/// Waits while the time for checks flies.
async fn in_time(gateway: &TestGateway, what: &str, mut check: impl AsyncFnMut() -> bool) {
    assert_eventually(what, Duration::from_secs(20), async || {
        gateway.clock.advance(Duration::from_millis(200));
        check().await
    })
    .await;
}

async fn is_healthy(gateway: &TestGateway, server: &Moody) -> bool {
    series(gateway, "addresses_healthy", "", server).await == 1.0
}

async fn checks(gateway: &TestGateway, result: &str, server: &Moody) -> f64 {
    let line = format!(
        "doorward_upstream_checks_total{{result=\"{result}\",server=\"http://{}\",upstream=\"moody\"}}",
        server.address()
    );
    gateway.metric(&line).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_check_fails_is_put_last_before_any_request_finds_out() {
    let (sick, well) = (Moody::start(), Moody::start());
    let gateway = TestGateway::with(in_front_of(&[sick.address(), well.address()], HEALTHZ)).await;
    in_time(&gateway, "both are asked", async || sick.asked("/healthz") > 0 && well.asked("/healthz") > 0)
        .await;
    sick.set(Mood::Answers(404));
    in_time(&gateway, "it is put last", async || !is_healthy(&gateway, &sick).await).await;
    assert!(is_healthy(&gateway, &well).await);
    assert!(checks(&gateway, "failed", &sick).await >= 3.0);
    assert!(checks(&gateway, "ok", &well).await >= 1.0 && checks(&gateway, "failed", &well).await == 0.0);
    assert_eq!(series(&gateway, "ejections_total", "cause=\"check\",*", &sick).await, 1.0);
    for _ in 0..6 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert_eq!((sick.asked("/"), well.asked("/")), (0, 6));
    sick.set(Mood::Answers(204));
    in_time(&gateway, "it is back", async || is_healthy(&gateway, &sick).await).await;
    for _ in 0..6 {
        gateway.get("/", &[]).await;
    }
    assert_eq!((sick.asked("/"), well.asked("/")), (3, 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_as_configured_on_a_connection_of_its_own() {
    let app = Moody::start();
    app.set(Mood::Answers(418));
    let health =
        "[upstreams.moody.health]\npath = \"/up?deep=1\"\nhost = \"app.example.com\"\nstatus = [418]\n";
    let gateway = TestGateway::with(in_front_of(&[app.address()], health)).await;
    in_time(&gateway, "it is asked", async || checks(&gateway, "ok", &app).await >= 2.0).await;
    let head = app.heads()[0].to_ascii_lowercase();
    assert!(head.starts_with("get /up?deep=1 http/1.1\r\n"), "{head}");
    for field in ["host: app.example.com", "connection: close", "user-agent: doorward/"] {
        assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
    }
    app.set(Mood::Answers(200));
    in_time(&gateway, "another status is none", async || checks(&gateway, "failed", &app).await >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_path_a_connect_tells() {
    let (mut dead, live) = (Moody::asleep(), Moody::start());
    let health = "[upstreams.moody.health]\n";
    let gateway = TestGateway::with(in_front_of(&[dead.address(), live.address()], health)).await;
    in_time(&gateway, "it is put last", async || !is_healthy(&gateway, &dead).await).await;
    assert!(is_healthy(&gateway, &live).await);
    dead.wake();
    in_time(&gateway, "it is back", async || is_healthy(&gateway, &dead).await).await;
    assert_eq!(dead.heads().len() + live.heads().len(), 0, "nothing is said");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_a_failed_check() {
    let (silent, rude) = (Moody::start(), Moody::start());
    silent.set(Mood::Hangs);
    rude.set(Mood::HangsUp);
    let health = format!("{HEALTHZ}interval = \"300ms\"\ntimeout = \"300ms\"\n");
    let gateway = TestGateway::with(in_front_of(&[silent.address(), rude.address()], &health)).await;
    for app in [&silent, &rude] {
        in_time(&gateway, "it is put last", async || !is_healthy(&gateway, app).await).await;
        app.set(Mood::Answers(200));
    }
    for app in [&silent, &rude] {
        in_time(&gateway, "it is back", async || is_healthy(&gateway, app).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_check_is_good_all_are_asked_all_the_same() {
    let apps = [Moody::start(), Moody::start()];
    let health = "[upstreams.moody.health]\npath = \"/healthz\"\nstatus = [299]\n";
    let gateway = TestGateway::with(in_front_of(&[apps[0].address(), apps[1].address()], health)).await;
    for app in &apps {
        in_time(&gateway, "it is put last", async || !is_healthy(&gateway, app).await).await;
    }
    for _ in 0..6 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert_eq!(apps.each_ref().map(|app| app.asked("/")), [3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_check_lets_a_request_try_a_server_that_refused() {
    let (mut dead, live) = (Moody::asleep(), Moody::start());
    let health = "[upstreams.moody.health]\nunhealthy_after = 100\nbase_ejection_time = \"1h\"\nmax_ejection_time = \"1h\"\n";
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

/// Remembers the version and the target of each request, and what it was asked as.
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
async fn an_h2c_server_is_asked_in_http_2_with_prior_knowledge() {
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
