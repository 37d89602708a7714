//! Passive health checks: failing servers and their effect on requests.

use std::net::SocketAddr;
use std::time::Duration;

use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::http::{self, Client, message};
use crate::support::{Behaviour, FlakyServer, Setup, TestGateway, assert_eventually};

/// Public routes to these servers; `/slow` has a timeout of one second. `more` belongs to the upstream.
pub(crate) fn in_front_of(servers: &[SocketAddr], more: &str) -> Setup {
    let servers: Vec<String> = servers.iter().map(|address| format!("\"http://{address}\"")).collect();
    let routes = format!(
        r#"
[upstreams.flaky]
servers = [{}]
{more}
[[routes]]
name = "flaky"
path = "/"
access = "public"
upstream = "flaky"
[[routes]]
name = "slow"
path = "/slow"
access = "public"
upstream = "flaky"
timeout = "1s"
"#,
        servers.join(", ")
    );
    Setup { routes, ..Setup::default() }
}

/// Value of a series of a server of `flaky`. `labels` are its other labels, sorted by name.
pub(crate) async fn series(gateway: &TestGateway, name: &str, labels: &str, server: &FlakyServer) -> f64 {
    let (before, after) = labels.split_once('*').unwrap_or((labels, ""));
    let address = server.address();
    let line =
        format!("doorward_upstream_{name}{{{before}server=\"http://{address}\",{after}upstream=\"flaky\"}}");
    gateway.metric(&line).await
}

async fn healthy(gateway: &TestGateway, server: &FlakyServer) -> bool {
    series(gateway, "addresses_healthy", "", server).await == 1.0
}

async fn ejections(gateway: &TestGateway, cause: &str, server: &FlakyServer) -> f64 {
    series(gateway, "ejections_total", &format!("cause=\"{cause}\",*"), server).await
}

async fn refused_connects(gateway: &TestGateway) -> f64 {
    gateway.metric("doorward_upstream_connect_failures_total{upstream=\"flaky\"}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn refusing_server_is_ejected_then_probed_by_one_request() {
    let (mut dead, live) = (FlakyServer::asleep(), FlakyServer::start());
    let gateway = TestGateway::with(in_front_of(&[dead.address(), live.address()], "")).await;
    assert!(healthy(&gateway, &dead).await, "until somebody finds out");
    for at in 0..20 {
        let method = if at % 2 == 0 { "GET" } else { "POST" };
        assert_eq!(http::request(gateway.address(), method, "/", &[], b"").await.status, 200);
    }
    assert_eq!(refused_connects(&gateway).await, 3.0);
    assert_eq!((healthy(&gateway, &dead).await, healthy(&gateway, &live).await), (false, true));
    assert_eq!(ejections(&gateway, "connect", &dead).await, 1.0);
    assert_eq!(series(&gateway, "addresses", "", &dead).await, 1.0);

    gateway.clock.advance(Duration::from_secs(10));
    for _ in 0..5 {
        assert_eq!(http::request(gateway.address(), "POST", "/", &[], b"").await.status, 200);
    }
    assert_eq!(refused_connects(&gateway).await, 4.0, "one of them tried it");
    dead.wake();
    gateway.clock.advance(Duration::from_secs(19));
    for _ in 0..5 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert_eq!(dead.heads().len(), 0, "twice as long the second time");
    gateway.clock.advance(Duration::from_secs(1));
    for _ in 0..6 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert!(healthy(&gateway, &dead).await);
    assert!(dead.heads().len() >= 3, "it has its turn again: {}", dead.heads().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn unresponsive_server_is_ejected_without_retries() {
    let (silent, live) = (FlakyServer::start(), FlakyServer::start());
    silent.set(Behaviour::Hangs);
    let gateway = TestGateway::with(in_front_of(&[silent.address(), live.address()], "")).await;
    let mut timeouts = 0;
    for _ in 0..12 {
        let response = gateway.get("/slow", &[]).await;
        match response.status {
            200 => {}
            _ => {
                assert_refused(&response, 504, "upstream_timeout");
                timeouts += 1;
            }
        }
    }
    assert_eq!((timeouts, silent.heads().len(), live.heads().len()), (3, 3, 9));
    assert_eq!(ejections(&gateway, "timeout", &silent).await, 1.0);

    // The ejection is over: one request probes the server while the others go elsewhere.
    gateway.clock.advance(Duration::from_secs(10));
    let mut trying = Client::connect(gateway.address()).await;
    trying.send(&message("GET", "/slow", &[], b"")).await;
    assert_eventually("it is tried", Duration::from_secs(5), async || silent.heads().len() == 4).await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/slow", &[]).await.status, 200);
    }
    assert_eq!(trying.response("GET").await.expect("an answer").status, 504);
    assert_eq!(silent.heads().len(), 4);
    silent.set(Behaviour::Answers(200));
    gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(gateway.get("/slow", &[]).await.status, 200);
    assert_eq!(silent.heads().len(), 5);
    assert!(healthy(&gateway, &silent).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_answering_502_to_504_is_ejected() {
    for status in [502, 503, 504] {
        let (failing, live) = (FlakyServer::start(), FlakyServer::start());
        failing.set(Behaviour::Answers(status));
        let gateway = TestGateway::with(in_front_of(&[failing.address(), live.address()], "")).await;
        let mut passed = 0;
        for _ in 0..20 {
            let response = gateway.get("/", &[]).await;
            assert_eq!(response.text(), "mood", "the app's answer is passed on as it is");
            passed += usize::from(response.status == status);
        }
        assert_eq!((status, passed, failing.heads().len()), (status, 5, 5));
        assert_eq!(ejections(&gateway, "status", &failing).await, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_server_error_does_not_eject_the_server() {
    let (failing, live) = (FlakyServer::start(), FlakyServer::start());
    failing.set(Behaviour::Answers(500));
    let gateway = TestGateway::with(in_front_of(&[failing.address(), live.address()], "")).await;
    for _ in 0..20 {
        gateway.get("/", &[]).await;
    }
    assert_eq!((failing.heads().len(), live.heads().len()), (10, 10));
    assert!(healthy(&gateway, &failing).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_closing_without_response_is_ejected() {
    let (failing, live) = (FlakyServer::start(), FlakyServer::start());
    failing.set(Behaviour::HangsUp);
    let gateway = TestGateway::with(in_front_of(&[failing.address(), live.address()], "")).await;
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(http::request(gateway.address(), "POST", "/", &[], b"").await.status == 502);
    }
    assert_eq!((refused, failing.heads().len()), (5, 5));
    assert_eq!(ejections(&gateway, "status", &failing).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_are_tried_when_every_server_fails() {
    let (mut one, other) = (FlakyServer::asleep(), FlakyServer::asleep());
    let gateway = TestGateway::with(in_front_of(&[one.address(), other.address()], "")).await;
    for _ in 0..10 {
        assert_refused(&gateway.get("/", &[]).await, 502, "upstream_unavailable");
    }
    assert_eq!((healthy(&gateway, &one).await, healthy(&gateway, &other).await), (false, false));
    assert_eq!(refused_connects(&gateway).await, 20.0, "each request tries both");
    one.wake();
    for _ in 0..4 {
        assert_eq!(gateway.get("/", &[]).await.status, 200, "found by the next request, whatever its time");
    }
    assert!(healthy(&gateway, &one).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_server_of_an_app_is_never_ejected() {
    let app = FlakyServer::start();
    app.set(Behaviour::Answers(503));
    let gateway = TestGateway::with(in_front_of(&[app.address()], "")).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/", &[]).await.status, 503);
    }
    assert_eq!((app.heads().len(), healthy(&gateway, &app).await), (10, false));
    app.set(Behaviour::Answers(200));
    assert_eq!(gateway.get("/", &[]).await.status, 200);
    assert!(healthy(&gateway, &app).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_stopping_midway_does_not_eject_a_server() {
    let app = FlakyServer::start();
    app.set(Behaviour::Hangs);
    let gateway = TestGateway::with(in_front_of(&[app.address()], "")).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(gateway.address()).await;
        client.send(b"POST /slow HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 10\r\n\r\nhalf").await;
        stalled.push(client);
    }
    // Longer than the route's timeout: the gateway waits for the clients, not for the app.
    assert_eventually("the app has been asked", SOON * 6, async || app.heads().len() == 4).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for client in stalled {
        client.hang_up();
    }
    assert!(healthy(&gateway, &app).await);
    for _ in 0..3 {
        assert_eq!(gateway.get("/slow", &[]).await.status, 504);
    }
    assert!(!healthy(&gateway, &app).await, "those who sent all they had tell");
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_idle_connection_does_not_eject_the_server() {
    let app = FlakyServer::start();
    let gateway = TestGateway::with(in_front_of(&[app.address()], "")).await;
    for _ in 0..8 {
        app.set(Behaviour::Answers(200));
        assert_eq!(gateway.get("/", &[]).await.status, 200);
        // The connection is kept, and the app closes it on its next use.
        app.set(Behaviour::HangsUp);
        assert_eq!(http::request(gateway.address(), "POST", "/", &[], b"").await.status, 502);
    }
    assert!(healthy(&gateway, &app).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ejection_threshold_and_time_are_configurable() {
    let (failing, live) = (FlakyServer::start(), FlakyServer::start());
    failing.set(Behaviour::Answers(503));
    let health = "[upstreams.flaky.health]\ninterval = \"0s\"\neject_after = { responses = 1 }\nbase_ejection_time = \"1h\"\nmax_ejection_time = \"1h\"\n";
    let gateway = TestGateway::with(in_front_of(&[failing.address(), live.address()], health)).await;
    for _ in 0..10 {
        gateway.get("/", &[]).await;
    }
    gateway.clock.advance(Duration::from_secs(3599));
    gateway.get("/", &[]).await;
    assert_eq!(failing.heads().len(), 1);
    gateway.clock.advance(Duration::from_secs(1));
    gateway.get("/", &[]).await;
    assert_eq!(failing.heads().len(), 2);
}
