//! gRPC with unmodified grpcio on both sides: trailers, errors, bidirectional streams and their end.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::house::House;
use crate::measured::measured;
use crate::process::Running;
use crate::redis::free_port;
use crate::serving::{Serving, Tokens};
use crate::tls::{self, Trust, Tunnel};

fn python() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    assert!(python.is_file(), "no {}: run `.ci/setup test`", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/program/apps/grpc_echo.py"));
    command
}

/// Starts the app. Also returns the value of its `servers` line.
fn app(house: &House, encrypted: bool) -> (Running, String) {
    let port = free_port();
    let mut command = python();
    command.args(["serve", &port.to_string()]);
    let upstream = if encrypted {
        tls::make(&house.path(""), "inner", &["localhost"]);
        command.args([house.path("inner.crt"), house.path("inner.key")]);
        format!("servers = [\"https://localhost:{port}\"]\nca_file = \"inner.crt\"")
    } else {
        format!("servers = [\"h2c://127.0.0.1:{port}\"]")
    };
    let app = Running::start(&mut command);
    assert_eq!(app.line().as_deref(), Some("serving"));
    (app, upstream)
}

fn result(client: &Running) -> Value {
    let line = client.line().unwrap_or_else(|| panic!("{}", client.complaint_with("Error")));
    serde_json::from_str(&line).expect("JSON")
}

async fn talk(encrypted: bool) {
    let house = House::empty();
    let certificate: PathBuf = tls::make(&house.path(""), "app", &["gateway.test"]);
    let (_app, upstream) = app(&house, encrypted);
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let text = text
        .replace("http://gateway.test", "https://gateway.test")
        .replace("servers = [\"http://127.0.0.1:9\"]", &upstream);
    let shown =
        "[server.tls]\ncertificates = [{ cert_file = \"app.crt\", key_file = \"app.key\" }]\n[login]\n";
    house.write("gateway.toml", &text.replacen("[login]\n", shown, 1));
    house.add("ada", &[]);
    let mut gateway: Serving = house.serve();
    let encrypted_port = gateway.public.port();
    let tunnel = Tunnel::start(Trust::of(&[&certificate]), gateway.public, "gateway.test");
    gateway.public = tunnel.address();
    let tokens: Tokens = gateway.login("ada").await;

    let mut command = python();
    command.args(["ask", &encrypted_port.to_string()]).arg(&certificate).arg(&tokens.access);
    let client = Running::start(&mut command);
    assert_eq!(result(&client), json!({ "unary": "ada:hello", "trailers": "after" }));
    assert_eq!(
        result(&client),
        json!({ "method": "Missing", "code": "NOT_FOUND", "details": "there is no such thing" })
    );
    // An HTTP 401, which gRPC clients map to UNAUTHENTICATED (gRPC over HTTP2, "HTTP-to-gRPC status").
    let refused = result(&client);
    assert_eq!((&refused["method"], &refused["code"]), (&"Unary".into(), &"UNAUTHENTICATED".into()));
    assert_eq!(result(&client), json!({ "echoed": 200 }));

    let logout = gateway.call("POST", "/auth/logout", &tokens.access, &[], b"").await;
    let acknowledged = Instant::now();
    assert_eq!(logout.status, 200);
    let end = result(&client);
    measured(format_args!(
        "gRPC, app {}: a revoked session's stream ends {:?} after the acknowledgement ({})",
        if encrypted { "over TLS" } else { "in clear" },
        acknowledged.elapsed(),
        end["stream"]
    ));
    assert_ne!(end["stream"], "went on");
    // A response in progress has 100 ms to complete; a stream has none. The margin is for a busy machine.
    assert!(acknowledged.elapsed() < std::time::Duration::from_secs(5));
    assert_eq!(client.end().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_works_in_clear_and_streams_end_with_session() {
    talk(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_works_to_an_app_over_tls() {
    talk(true).await;
}
