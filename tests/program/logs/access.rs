//! The log of a running gateway: one line per request, with the fields of `docs/logs.md`.

use std::collections::BTreeSet;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::house::House;
use crate::http::{Client, message, request};
use crate::page::table;
use crate::serving::Tokens;

/// Lines of requests.
pub(crate) fn requests(log: &[Value]) -> Vec<&Value> {
    log.iter().filter(|line| line["target"] == "doorward::access").collect()
}

fn page() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md");
    std::fs::read_to_string(path).expect("the page")
}

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// An address without a listener.
fn dead_server() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    free.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn form_with_unknown_origin_logs_the_origin() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let gateway = house.serve();
    let origin = ("Origin", "http://localhost:9");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for headers in [[origin, form], [origin, ("Content-Type", "application/json")]] {
        let response = request(gateway.public, "POST", "/auth/login", &headers, b"username=ada").await;
        assert_eq!(response.status, 403, "{}", response.text());
    }
    // A refusal for another reason does not mention origins.
    let unsaid = [form, ("Sec-Fetch-Site", "none")];
    let unsaid = request(gateway.public, "POST", "/auth/login", &unsaid, b"username=ada").await;
    assert_eq!(unsaid.status, 403, "{}", unsaid.text());
    let log = gateway.log();
    // A line is written when its request ends, which may be after its response has arrived.
    let mut causes: Vec<Option<&str>> = requests(&log).iter().map(|line| line["cause"].as_str()).collect();
    causes.sort_unstable();
    let logged = Some("the origin http://localhost:9 is not in server.public_urls");
    assert_eq!(causes, [None, logged, logged]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_logs_one_line_with_documented_fields() {
    let app = TestApp::start().await;
    let away = format!(
        "[log]\nuser_agent = true\n[upstreams.away]\nservers = [\"http://{}\"]\n[[routes]]\nname = \"away\"\npath = \"/away\"\n\
         access = \"public\"\nupstream = \"away\"\n",
        dead_server()
    );
    let house = House::new(app.address(), &away);
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let more = [("User-Agent", "curl/8"), trace];
    let seen = gateway.call("POST", "/notes?q=secret", &tokens.access, &more, b"12345").await;
    assert_eq!(seen.status, 200);
    let refused = gateway.get("/status", &tokens.access).await;
    assert_eq!(refused.status, 403);
    assert_eq!(request(gateway.public, "GET", "/away", &[], b"").await.status, 502);
    let mut socket = Client::connect(gateway.public).await;
    let bearer = format!("Bearer {}", tokens.access);
    let mut headers = UPGRADE.to_vec();
    headers.push(("Authorization", &bearer));
    socket.send(&message("GET", "/ws", &headers, b"")).await;
    assert_eq!(socket.head().await.expect("an answer").status, 101);
    let cookie = format!("__Host-doorward-access={}", tokens.access);
    let me = request(gateway.public, "GET", "/auth/me", &[("Cookie", &cookie)], b"").await;
    assert_eq!(me.status, 200, "{}", me.text());
    // Ends the session, and so the WebSocket.
    assert_eq!(gateway.call("POST", "/auth/logout", &tokens.access, &[], b"").await.status, 200);
    socket.until_closed().await;

    let log = gateway.log();
    let lines = requests(&log);
    // A line is written when its request ends, which may be after its response has arrived.
    let mut reasons: Vec<&str> = lines.iter().filter_map(|line| line["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        ["answered", "answered", "answered", "cut", "forwarded", "role_missing", "upstream_unavailable"]
    );
    let at = |path: &str| *lines.iter().find(|line| line["path"] == path).expect("its line");

    let table = table(&page(), "Requests", "field");
    let known: BTreeSet<&str> = table.iter().map(|row| row[0].as_str()).collect();
    let of =
        |line: &Value| line.as_object().expect("an object").keys().cloned().collect::<BTreeSet<String>>();
    let written: BTreeSet<String> = lines.iter().flat_map(|line| of(line)).collect();
    assert_eq!(written.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
    for row in table.iter().filter(|row| row[1] == "always") {
        for line in &lines {
            assert!(line.get(&row[0]).is_some(), "no `{}` in {line}", row[0]);
        }
    }

    let line = at("/notes");
    assert_eq!(line["request_id"].as_str(), seen.header("x-request-id"));
    let expected = json!({
        "level": "INFO", "method": "POST", "host": "gateway.test", "path": "/notes", "status": 200, "route": "app",
        "client": "127.0.0.1", "session": tokens.session, "upstream": "app", "server": app.address().to_string(),
        "bytes_in": 5, "bytes_out": seen.body.len(), "protocol": "HTTP/1.1", "user_agent": "curl/8",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&line[name], value, "{name}");
    }
    let times = ["decision_ms", "upstream_ms", "total_ms"].map(|name| line[name].as_f64().expect(name));
    assert!(times[0] > 0.0 && times[1] > 0.0 && times[0] + times[1] <= times[2] + 0.01, "{times:?}");
    let away = at("/away");
    assert_eq!((&away["level"], &away["cause"]), (&json!("WARN"), &json!("ConnectRefused")));
    let cut = at("/ws");
    assert_eq!(
        (&cut["cut"], &cut["status"], &cut["reason"]),
        (&json!("revoked"), &json!(101), &json!("cut"))
    );
    assert_eq!(at("/auth/me")["user"], line["user"], "by cookie");
    // Sign-in and sign-out lines name the session and user, too.
    assert_eq!(at("/auth/login")["session"], json!(tokens.session));
    let out = at("/auth/logout");
    assert_eq!((&out["session"], &out["user"]), (&json!(tokens.session), &line["user"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_line_of_a_request_has_its_id() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "[tokens]\nrefresh_grace = \"0s\"\n");
    house.add("ada", &[]);
    let gateway = house.serve();
    let first = gateway.login("ada").await;
    Tokens::of(&gateway.refresh(&first.refresh).await);
    // In a separate task: the use case completes even if the client disconnects.
    let reused = gateway.refresh(&first.refresh).await;
    assert_eq!(reused.code(), "refresh_reused");
    let log = gateway.log();
    let caused = log.iter().find(|line| line["reason"] == "session_ended_by_reuse").expect("the event");
    assert_eq!(caused["request_id"].as_str(), reused.header("x-request-id"));
    assert_eq!(caused["session"], json!(first.session));
    assert!(log.iter().any(|line| line["reason"] == "serving" && line.get("request_id").is_none()));
    assert_eq!(log.last().map(|line| &line["reason"]), Some(&json!("stopped")), "the last line is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_refusals_are_logged_when_configured() {
    let app = TestApp::start().await;
    for (setting, expected) in [
        ("access = \"refused\"", &["token_missing", "store_unavailable"][..]),
        ("access = \"none\"", &[]),
        // Faults on the gateway's side are above the info level.
        ("level = \"warn\"", &["store_unavailable"]),
        ("level = \"error\"", &[]),
    ] {
        let house = House::new(app.address(), &format!("[log]\n{setting}\n"));
        house.add("ada", &[]);
        let gateway = house.serve();
        let tokens = gateway.login("ada").await;
        assert_eq!(gateway.get("/notes", &tokens.access).await.status, 200);
        assert_eq!(request(gateway.public, "GET", "/", &[], b"").await.status, 401);
        // The vault is gone: once noticed, no session can be decided.
        std::fs::rename(house.path("doorward.db"), house.path("gone.db")).expect("renamed");
        let undecided = async || gateway.refresh(&tokens.refresh).await.status == 503;
        crate::eventually::assert_eventually("the vault is missed", crate::process::PATIENCE, undecided)
            .await;
        let log = gateway.log();
        let reasons: BTreeSet<&str> =
            requests(&log).iter().filter_map(|line| line["reason"].as_str()).collect();
        assert_eq!(reasons, expected.iter().copied().collect(), "{setting}");
        for line in requests(&log).iter().filter(|line| line["reason"] == "store_unavailable") {
            assert_eq!((&line["path"], &line["client"]), (&json!("/auth/refresh"), &json!("127.0.0.1")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_one_line_for_any_client_input() {
    // T67. Everything the HTTP library accepts, in every logged field.
    let app = TestApp::start().await;
    for format in ["json", "text"] {
        let house = House::new(app.address(), &format!("[log]\nformat = \"{format}\"\nuser_agent = true\n"));
        let gateway = house.serve();
        let hostile = [
            "\"} {\"reason\":\"forged",
            "\u{1b}[2J\u{1b}[31m",
            "\u{9b}31m",
            "a\u{2028}b\u{2029}c",
            "\u{202e}gnirts",
            "\t\ttabs",
            "\\n\\r",
            "=a b=c \"d\"",
            "\u{feff}\u{200b}",
            "\u{ff0f}",
        ];
        let long = "ü".repeat(2000);
        let mut sent = 0;
        for text in hostile.into_iter().chain([long.as_str()]) {
            for (path, headers) in [
                ("/public", vec![("User-Agent", text)]),
                ("/public", vec![("Host", text)]),
                ("/public", vec![("X-Request-Id", text)]),
                ("/public", vec![("traceparent", text)]),
                (text, vec![]),
                ("/%0d%0a%1b[31m%e2%80%ae", vec![("User-Agent", text)]),
            ] {
                let mut client = Client::connect(gateway.public).await;
                let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
                client.send(&message("GET", &path, &headers, b"")).await;
                // Refused by the HTTP library, it has no gateway response and no line.
                let response = client.response("GET").await;
                sent +=
                    usize::from(response.is_some_and(|response| response.header("x-request-id").is_some()));
            }
        }
        assert!(sent > 40, "only {sent} were understood");
        gateway.signal("TERM");
        let (_, _, lines) = gateway.process.end();
        let is_request = |line: &&String| {
            if format == "json" { line.contains("\"doorward::access\"") } else { line.contains(" protocol=") }
        };
        assert_eq!(lines.iter().filter(is_request).count(), sent);
        for line in &lines {
            let bad = |c: char| c.is_control() || "\u{2028}\u{2029}\u{202e}\u{feff}\u{200b}".contains(c);
            assert!(!line.contains(bad), "{line:?}");
            assert!(line.len() < 4096, "{} bytes", line.len());
            if format == "json" {
                let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                assert_ne!(value["reason"], "forged");
            } else {
                let mut words = line.split_whitespace();
                assert!(words.next().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{line}");
                assert!(["INFO", "WARN", "ERROR"].contains(&words.next().unwrap_or_default()), "{line}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_log_has_no_colours_in_a_pipe() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "[log]\nformat = \"text\"\n");
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    gateway.get("/notes?token=secret", &tokens.access).await;
    gateway.signal("TERM");
    let (_, _, lines) = gateway.process.end();
    let line = lines.iter().find(|line| line.contains("/notes")).expect("its line");
    let (_, rest) = line.split_once("Z ").expect("a time");
    assert!(rest.starts_with("INFO  forwarded            200 GET  gateway.test/notes "), "{rest}");
    assert!(
        rest.contains(" ms route=app client=127.0.0.1 session=") && rest.contains(" request_id="),
        "{rest}"
    );
    let started = lines.iter().find(|line| line.contains("serving")).expect("its line");
    assert!(started.contains("serving requests version="), "{started}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unresolvable_name_is_logged_once() {
    let app = TestApp::start().await;
    let away = "[upstreams.away]\nservers = [\"http://nowhere.invalid:1\"]\n";
    let gateway = House::new(app.address(), away).serve();
    // The name is resolved at start, and again at once.
    assert_eq!(gateway.get("/", "").await.status, 401);
    let log = gateway.log();
    let logged: Vec<&Value> = log.iter().filter(|line| line["reason"] == "upstream_unresolved").collect();
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert_eq!(logged[0]["server"], "nowhere.invalid");
    assert!(
        logged[0]["message"].as_str().is_some_and(|text| text.contains("nothing is sent there")),
        "{logged:?}"
    );
}
