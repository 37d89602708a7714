//! User journeys in front of an unmodified app, over real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http::{self, Client};
use crate::measured::measured;
use crate::process::Running;
use crate::redis::free_port;
use crate::serving::{Serving, Tokens, code, logout};

/// Python starts slowly on a busy machine.
const START: Duration = Duration::from_secs(30);

/// Duration of the request flow after the command has ended. The first refusal must come within it; the measured delay
/// is printed.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// Starts an unmodified httpbin and returns its address.
async fn httpbin() -> (Running, SocketAddr) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(python.exists(), "there is no .venv: run `.ci/setup test`, which makes it");
    for _ in 0..5 {
        // If another process takes the port first, httpbin ends and the next port is tried.
        let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(&python);
        command.args(["-m", "httpbin.core", "--host", "127.0.0.1", "--port", &free.port().to_string()]);
        let mut app = Running::start(&mut command);
        let listens = async || !app.is_alive() || TcpStream::connect(free).await.is_ok();
        assert_eventually("httpbin listens", START, listens).await;
        if app.is_alive() {
            return (app, free);
        }
    }
    panic!("httpbin does not start");
}

#[tokio::test(flavor = "multi_thread")]
async fn app_without_login_support_is_served_unchanged() {
    let (_app, address) = httpbin().await;
    let house = House::new(address, "");
    house.add("ada", &["admin", "user"]);
    house.add("bob", &[]);
    let gateway = house.serve();
    let (ada, bob) = (gateway.login("ada").await, gateway.login("bob").await);

    let headers = gateway.get("/headers", &ada.access).await;
    let seen = &headers.json()["headers"];
    assert_eq!(
        [&seen["X-Auth-User"], &seen["X-Auth-Roles"], &seen["X-Auth-Session"]],
        ["ada", "admin,user", &ada.session]
    );
    assert_eq!(seen["X-Auth-User-Id"].as_str().map(str::len), Some(22));
    assert!(!headers.text().contains(&ada.access) && seen["Authorization"].is_null(), "{seen}");

    let json_type = [("Content-Type", "application/json")];
    let anything =
        gateway.call("PUT", "/anything/a%20b?x=1&y=%2F", &ada.access, &json_type, b"[1]").await.json();
    assert_eq!((&anything["method"], &anything["json"]), (&json!("PUT"), &json!([1])));
    assert_eq!(anything["args"], json!({ "x": "1", "y": "/" }));
    let sent = json!({ "name": "Ada", "numbers": [1, 2.5, null] });
    let posted = gateway.call("POST", "/post", &ada.access, &json_type, sent.to_string().as_bytes()).await;
    assert_eq!(posted.json()["json"], sent);

    assert_eq!(gateway.get("/status/418", &ada.access).await.status, 418);
    assert_eq!(code(&gateway.get("/status/418", &bob.access).await), (403, "role_missing".into()));
    let gzip = gateway.get("/gzip", &bob.access).await;
    assert_eq!(
        (gzip.header("content-encoding"), gzip.body.get(..2)),
        (Some("gzip"), Some(&[0x1f, 0x8b][..]))
    );
    let stream = gateway.get("/stream/20", &bob.access).await.text();
    let numbers =
        stream.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_u64());
    assert_eq!(numbers.collect::<Vec<_>>(), (0..20).map(Some).collect::<Vec<_>>());
    assert_eq!(gateway.get("/bytes/100000", &bob.access).await.body.len(), 100_000);
    let cookies =
        gateway.call("GET", "/cookies", &bob.access, &[("Cookie", "taste=good; size=2")], b"").await;
    assert_eq!(cookies.json()["cookies"], json!({ "taste": "good", "size": "2" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_revocations_survive_restarts() {
    let (_app, address) = httpbin().await;
    let house = House::new(address, "[tokens]\nrefresh_grace = \"1s\"\nrefresh_grace_unused = \"0s\"");
    house.add("ada", &[]);
    let gateway = house.serve();

    // Repeated within the grace: the same token. Reused after it: the session ends.
    let first = gateway.login("ada").await;
    let second = Tokens::of(&gateway.refresh(&first.refresh).await);
    let refreshed = Instant::now();
    let again = Tokens::of(&gateway.refresh(&first.refresh).await);
    assert_eq!(again.refresh, second.refresh);
    for token in [&first.access, &second.access, &again.access] {
        assert_eq!(gateway.get("/get", token).await.status, 200);
    }
    let kept = gateway.login("ada").await;
    let ended = gateway.login("ada").await;
    assert_eq!(logout(gateway.public, &ended.access).await.expect("an answer").status, 200);
    let over = async || refreshed.elapsed() > Duration::from_millis(1_050);
    assert_eventually("the grace is over", Duration::from_secs(5), over).await;
    assert_eq!(code(&gateway.refresh(&first.refresh).await), (401, "refresh_reused".into()));

    let dead = async |gateway: &Serving| {
        for token in [&first.access, &second.access, &again.access, &ended.access] {
            assert_eq!(gateway.refusal("/get", token).await, (401, "token_revoked".into()));
        }
        for token in [&second.refresh, &ended.refresh] {
            assert_eq!(code(&gateway.refresh(token).await), (401, "refresh_invalid".into()));
        }
    };
    dead(&gateway).await;
    assert_eq!(gateway.stop().code(), Some(0));
    let gateway = house.serve();
    dead(&gateway).await;
    let seen = gateway.get("/headers", &kept.access).await.json();
    assert_eq!(seen["headers"]["X-Auth-Session"], kept.session);
    let renewed = Tokens::of(&gateway.refresh(&kept.refresh).await);
    assert_eq!(gateway.get("/get", &renewed.access).await.status, 200);
}

/// One request of the flow.
#[derive(Debug)]
struct Call {
    sent: Instant,
    answered: Instant,
    /// None when the connection was closed: requests in flight are cut.
    status: Option<u16>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocation_by_another_process_applies_immediately_and_permanently() {
    let (_app, address) = httpbin().await;
    let house = House::new(address, "");
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let start = || flow(gateway.public, tokens.access.clone(), Arc::clone(&stop), Arc::clone(&served));
    let flows: Vec<_> = (0..2).map(|_| tokio::spawn(start())).collect();
    assert_eventually("requests flow", START, async || served.load(Ordering::Relaxed) >= 4).await;

    let session = tokens.session.clone();
    let revoked = tokio::task::spawn_blocking(move || {
        let done = house.run(&["session", "revoke", &session]);
        (Instant::now(), done.good(), house)
    });
    let (exited, printed, _house) = revoked.await.expect("the command");
    assert_eq!(printed, "sessions ended: 1\n");
    // Long enough for a wrongly accepted request to show up.
    assert_eventually("a while", START, async || exited.elapsed() > REVOKED_WITHIN).await;
    stop.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    for flow in flows {
        calls.extend(flow.await.expect("a flow"));
    }

    assert!(
        calls.iter().any(|call| call.status == Some(200) && call.answered < exited),
        "requests flowed before"
    );
    let first = calls
        .iter()
        .filter(|call| call.status == Some(401))
        .map(|call| call.answered)
        .min()
        .expect("a refusal");
    let took = first.saturating_duration_since(exited);
    measured(format_args!("the first refusal came {took:?} after the command had ended"));
    assert!(took < REVOKED_WITHIN, "the first refusal came {took:?} after the command had ended");
    let accepted = |call: &&Call| call.sent > first && call.status.is_some_and(|status| status != 401);
    let late: Vec<_> = calls.iter().filter(accepted).collect();
    assert!(late.is_empty(), "accepted after a refusal: {late:?}");
}

/// Sends sequential requests until stopped.
async fn flow(
    address: SocketAddr,
    access: String,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
) -> Vec<Call> {
    let bearer = format!("Bearer {access}");
    let mut calls = Vec::new();
    let mut client = Client::connect(address).await;
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        client.send(&http::message("GET", "/get", &[("Authorization", &bearer)], b"")).await;
        let response = client.response("GET").await;
        let status = response.as_ref().map(|response| response.status);
        calls.push(Call { sent, answered: Instant::now(), status });
        served.fetch_add(usize::from(status == Some(200)), Ordering::Relaxed);
        if response.is_none_or(|response| response.header("connection") == Some("close")) {
            client = Client::connect(address).await;
        }
    }
    calls
}
