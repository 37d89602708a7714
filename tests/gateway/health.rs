//! Servers of an app that fail, and what requests notice of it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::http::{self, Client, message};
use crate::support::{Mood, Moody, Setup, TestGateway, assert_eventually};

/// Anybody may ask these servers, `/slow` with a patience of a second; `more` belongs to the upstream.
pub(crate) fn in_front_of(servers: &[SocketAddr], more: &str) -> Setup {
    let servers: Vec<String> = servers.iter().map(|address| format!("\"http://{address}\"")).collect();
    let routes = format!(
        r#"
[upstreams.moody]
servers = [{}]
{more}
[[routes]]
name = "moody"
path = "/"
access = "public"
upstream = "moody"
[[routes]]
name = "slow"
path = "/slow"
access = "public"
upstream = "moody"
timeout = "1s"
"#,
        servers.join(", ")
    );
    Setup { routes, ..Setup::default() }
}

/// The value of a series of a server of `moody`; `labels` are those beside it, in order of name.
pub(crate) async fn series(gateway: &TestGateway, name: &str, labels: &str, server: &Moody) -> f64 {
    let (before, after) = labels.split_once('*').unwrap_or((labels, ""));
    let address = server.address();
    let line =
        format!("doorward_upstream_{name}{{{before}server=\"http://{address}\",{after}upstream=\"moody\"}}");
    gateway.metric(&line).await
}

async fn healthy(gateway: &TestGateway, server: &Moody) -> bool {
    series(gateway, "addresses_healthy", "", server).await == 1.0
}

async fn ejections(gateway: &TestGateway, cause: &str, server: &Moody) -> f64 {
    series(gateway, "ejections_total", &format!("cause=\"{cause}\",*"), server).await
}

async fn refused_connects(gateway: &TestGateway) -> f64 {
    gateway.metric("doorward_upstream_connect_failures_total{upstream=\"moody\"}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_left_alone_for_a_while_and_then_tried_by_one_request() {
    let (mut dead, live) = (Moody::asleep(), Moody::start());
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
async fn a_server_that_does_not_answer_is_put_last_and_nothing_is_sent_twice() {
    let (silent, live) = (Moody::start(), Moody::start());
    silent.set(Mood::Hangs);
    let gateway = TestGateway::with(in_front_of(&[silent.address(), live.address()], "")).await;
    let mut timeouts = 0;
    for _ in 0..12 {
        let answer = gateway.get("/slow", &[]).await;
        match answer.status {
            200 => {}
            _ => {
                assert_refused(&answer, 504, "upstream_timeout");
                timeouts += 1;
            }
        }
    }
    assert_eq!((timeouts, silent.heads().len(), live.heads().len()), (3, 3, 9));
    assert_eq!(ejections(&gateway, "timeout", &silent).await, 1.0);

    // Its time is over: one request tries it, and while that one waits the others go elsewhere.
    gateway.clock.advance(Duration::from_secs(10));
    let mut trying = Client::connect(gateway.address()).await;
    trying.send(&message("GET", "/slow", &[], b"")).await;
    assert_eventually("it is tried", Duration::from_secs(5), async || silent.heads().len() == 4).await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/slow", &[]).await.status, 200);
    }
    assert_eq!(trying.response("GET").await.expect("an answer").status, 504);
    assert_eq!(silent.heads().len(), 4);
    silent.set(Mood::Answers(200));
    gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(gateway.get("/slow", &[]).await.status, 200);
    assert_eq!(silent.heads().len(), 5);
    assert!(healthy(&gateway, &silent).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_its_app_is_not_there_is_put_last() {
    for status in [502, 503, 504] {
        let (failing, live) = (Moody::start(), Moody::start());
        failing.set(Mood::Answers(status));
        let gateway = TestGateway::with(in_front_of(&[failing.address(), live.address()], "")).await;
        let mut passed = 0;
        for _ in 0..20 {
            let answer = gateway.get("/", &[]).await;
            assert_eq!(answer.text(), "mood", "the app's answer is passed on as it is");
            passed += usize::from(answer.status == status);
        }
        assert_eq!((status, passed, failing.heads().len()), (status, 5, 5));
        assert_eq!(ejections(&gateway, "status", &failing).await, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_error_of_the_app_itself_is_the_apps_business() {
    let (failing, live) = (Moody::start(), Moody::start());
    failing.set(Mood::Answers(500));
    let gateway = TestGateway::with(in_front_of(&[failing.address(), live.address()], "")).await;
    for _ in 0..20 {
        gateway.get("/", &[]).await;
    }
    assert_eq!((failing.heads().len(), live.heads().len()), (10, 10));
    assert!(healthy(&gateway, &failing).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_without_an_answer_is_put_last() {
    let (failing, live) = (Moody::start(), Moody::start());
    failing.set(Mood::HangsUp);
    let gateway = TestGateway::with(in_front_of(&[failing.address(), live.address()], "")).await;
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(http::request(gateway.address(), "POST", "/", &[], b"").await.status == 502);
    }
    assert_eq!((refused, failing.heads().len()), (5, 5));
    assert_eq!(ejections(&gateway, "status", &failing).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_server_fails_all_are_asked_as_if_none_did() {
    let (mut one, other) = (Moody::asleep(), Moody::asleep());
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
async fn the_only_server_of_an_app_goes_on_being_asked() {
    let app = Moody::start();
    app.set(Mood::Answers(503));
    let gateway = TestGateway::with(in_front_of(&[app.address()], "")).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/", &[]).await.status, 503);
    }
    assert_eq!((app.heads().len(), healthy(&gateway, &app).await), (10, false));
    app.set(Mood::Answers(200));
    assert_eq!(gateway.get("/", &[]).await.status, 200);
    assert!(healthy(&gateway, &app).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_midway_cannot_put_a_server_last() {
    let app = Moody::start();
    app.set(Mood::Hangs);
    let gateway = TestGateway::with(in_front_of(&[app.address()], "")).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(gateway.address()).await;
        client.send(b"POST /slow HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 10\r\n\r\nhalf").await;
        stalled.push(client);
    }
    // Longer than the route's timeout: it is they who are waited for, and not the app.
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
async fn a_kept_connection_that_ends_says_nothing_about_the_server() {
    let app = Moody::start();
    let gateway = TestGateway::with(in_front_of(&[app.address()], "")).await;
    for _ in 0..8 {
        app.set(Mood::Answers(200));
        assert_eq!(gateway.get("/", &[]).await.status, 200);
        // The connection is kept, and the app ends it when it is used again.
        app.set(Mood::HangsUp);
        assert_eq!(http::request(gateway.address(), "POST", "/", &[], b"").await.status, 502);
    }
    assert!(healthy(&gateway, &app).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_patient_it_is_stands_in_the_configuration() {
    let (failing, live) = (Moody::start(), Moody::start());
    failing.set(Mood::Answers(503));
    let health = "[upstreams.moody.health]\ninterval = \"0s\"\neject_after = { responses = 1 }\nbase_ejection_time = \"1h\"\nmax_ejection_time = \"1h\"\n";
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
