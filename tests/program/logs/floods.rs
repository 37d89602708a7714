//! Log floods and stalled log readers: the gateway continues and reports the number of omitted lines.

use std::io::{BufRead, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::access::requests;
use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http::{self, Client};
use crate::process::Running;
use crate::serving::Serving;

const SOON: Duration = Duration::from_secs(30);

async fn suppressed(gateway: &Serving) -> u64 {
    let text = http::request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix("doorward_log_lines_suppressed_total "));
    line.and_then(|count| count.parse().ok()).expect("the counter")
}

/// Number of omitted lines according to the log.
fn summed_up(log: &[Value], reason: &str) -> u64 {
    let of = |line: &&Value| line["reason"] == "lines_suppressed" && line["suppressed_reason"] == reason;
    log.iter().filter(of).filter_map(|line| line["suppressed"].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_flood_is_summarized_and_forwarded_requests_all_logged() {
    const REFUSED: u64 = 3000;
    const FORWARDED: u64 = 1500;
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let mut client = Client::connect(gateway.public).await;
    for _ in 0..REFUSED {
        assert_eq!(client.request("GET", "/", &[], b"").await.status, 401);
    }
    let bearer = format!("Bearer {}", tokens.access);
    for _ in 0..FORWARDED {
        assert_eq!(client.request("GET", "/", &[("Authorization", &bearer)], b"").await.status, 200);
    }
    let counted = suppressed(&gateway).await;
    let log = gateway.log();
    let of = |reason: &str| requests(&log).iter().filter(|line| line["reason"] == reason).count() as u64;
    let left_out = summed_up(&log, "token_missing");
    assert!(left_out > 0, "3000 refusals are more than the burst");
    assert_eq!((of("token_missing") + left_out, left_out), (REFUSED, counted));
    assert!(of("token_missing") >= 1000, "the burst is written");
    assert_eq!((of("forwarded"), summed_up(&log, "forwarded")), (FORWARDED, 0));
    assert_eq!(summed_up(&log, "answered"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connections_are_logged_and_floods_summarized() {
    const REFUSED: u64 = 300;
    let app = TestApp::start().await;
    let house = House::new(app.address(), "[server.limits]\nconnections_per_ip = 1\n");
    let gateway = house.serve();
    let mut first = Client::connect(gateway.public).await;
    assert_eq!(first.request("GET", "/", &[], b"").await.status, 401);
    for _ in 0..REFUSED {
        Client::connect(gateway.public).await.until_closed().await;
    }
    let counted = suppressed(&gateway).await;
    let log = gateway.log();
    let lines: Vec<&Value> = log.iter().filter(|line| line["reason"] == "connection_refused").collect();
    let left_out = summed_up(&log, "connection_refused");
    assert_eq!((lines.len() as u64 + left_out, left_out), (REFUSED, counted));
    assert!(left_out > 0 && lines.len() >= 50, "{} written", lines.len());
    assert_eq!((&lines[0]["client"], &lines[0]["limit"]), (&"127.0.0.1".into(), &"address".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn summary_is_logged_after_the_flood_ends() {
    // An event unrelated to requests: a failing connect, every time.
    let app = TestApp::start().await;
    let away = "[upstreams.away]\nservers = [\"http://127.0.0.1:1\"]\n[[routes]]\nname = \"away\"\npath = \"/away\"\n\
                access = \"public\"\nupstream = \"away\"\n";
    let house = House::new(app.address(), away);
    let gateway = house.serve();
    for _ in 0..200 {
        assert_eq!(http::request(gateway.public, "GET", "/away", &[], b"").await.status, 502);
    }
    let line: Value =
        serde_json::from_str(&gateway.process.complaint_with("lines_suppressed")).expect("JSON");
    assert_eq!(
        (&line["suppressed_reason"], &line["level"]),
        (&"upstream_connect_failed".into(), &"WARN".into())
    );
    assert_eq!(gateway.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_continue_while_nobody_reads_the_log() {
    // More than the pipe (64 KiB), the queue and the write buffer (1 MiB each) can hold.
    const REQUESTS: u64 = 8000;
    let app = TestApp::start().await;
    // Four clients at full speed keep the machine busy, so a late lease renewal must not matter here.
    let house = House::new(app.address(), "[vault]\nlease = \"30s\"\n");
    house.add("ada", &[]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let gateway = Serving::of(Running::complaining_to(&mut house.command(&["serve"]), Stdio::from(writer)));
    let tokens = gateway.login("ada").await;
    let bearer = format!("Bearer {}", tokens.access);
    let path = format!("/{}", "x".repeat(200));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (address, bearer, path) = (gateway.public, bearer.clone(), path.clone());
        asking.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..REQUESTS / 4 {
                let response = client.request("GET", &path, &[("Authorization", &bearer)], b"").await;
                assert_eq!(response.status, 200);
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.expect("every request is answered");
    }
    let counted = suppressed(&gateway).await;
    assert!(counted > 0, "{REQUESTS} lines found room: make them more");

    // Reading resumes: queued lines arrive, and omitted ones are reported.
    let reading = std::thread::spawn(move || {
        BufReader::new(reader).lines().map_while(Result::ok).collect::<Vec<String>>()
    });
    assert_eventually("the next request has its line", SOON, async || {
        let before = suppressed(&gateway).await;
        gateway.get("/", &tokens.access).await;
        suppressed(&gateway).await == before
    })
    .await;
    // A response may arrive before its line is written or left out; by now all are.
    let counted = suppressed(&gateway).await;
    gateway.signal("TERM");
    assert_eq!(gateway.process.end().0.code(), Some(0));
    let log: Vec<Value> = reading
        .join()
        .expect("lines")
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let written = requests(&log).iter().filter(|line| line["path"] == path.as_str()).count() as u64;
    let stalled = log.iter().filter(|line| line["reason"] == "log_stalled");
    let left_out: u64 = stalled.filter_map(|line| line["suppressed"].as_u64()).sum();
    assert!(left_out >= counted, "{left_out} said, {counted} counted");
    assert!(
        written > 0 && written + counted >= REQUESTS && written + left_out >= REQUESTS,
        "{written} written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_or_closed_log_reader_does_not_block_shutdown() {
    let app = TestApp::start().await;
    for gone in [false, true] {
        let house = House::new(app.address(), "");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let running = Running::complaining_to(&mut house.command(&["serve"]), Stdio::from(writer));
        let gateway = Serving::of(running);
        // The first line has arrived; from now on nothing is read.
        reader.read_exact(&mut [0; 1]).expect("a line");
        let reader = (!gone).then_some(reader);
        let mut client = Client::connect(gateway.public).await;
        for _ in 0..if gone { 50 } else { 900 } {
            assert_eq!(client.request("GET", "/", &[], b"").await.status, 401);
        }
        drop(client);
        assert_eq!(gateway.stop().code(), Some(0), "gone: {gone}");
        drop(reader);
    }
}
