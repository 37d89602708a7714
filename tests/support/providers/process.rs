//! A provider's process, and its endpoints for the tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::http;

/// Secret of the client. Its blanks must be encoded in the Authorization header (RFC 6749 section 2.3.1).
const SECRET: &str = "a secret of the tests, long enough";

/// A running provider; it ends when dropped.
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts a program that listens on a port of this machine, and waits until it says `ready`.
    pub(super) async fn start(mut command: Command, port: u16) -> Self {
        let mut child = command
            // A test that is killed closes it, which ends the program.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // They warn about settings that only tests have.
            .stderr(Stdio::null())
            .spawn()
            .expect("the provider starts: run .ci/setup test");
        let out = child.stdout.take().expect("piped");
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let mut out = BufReader::new(out);
            while line.trim() != "ready" {
                line.clear();
                if out.read_line(&mut line).expect("a line") == 0 {
                    return false;
                }
            }
            true
        });
        // Dropped on failure, which ends the program.
        let process = Self { child, address: ([127, 0, 0, 1], port).into() };
        assert!(reading.await.expect("read"), "the provider did not start");
        process
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests an endpoint below `/control/`.
    pub(super) async fn control(&self, method: &str, what: &str, body: &Value) -> Value {
        let host = self.address.to_string();
        let (target, body) = (format!("/control/{what}"), body.to_string());
        let headers = [("Host", host.as_str())];
        let response = http::request(self.address, method, &target, &headers, body.as_bytes()).await;
        assert_eq!(response.status, 200, "{what}: {}", response.text());
        response.json()
    }

    /// Responses of one kind, such as `token:refresh_token`.
    pub(super) async fn count(&self, kind: &str) -> u64 {
        let counts = self.control("GET", "counts", &json!({})).await;
        let counts: BTreeMap<String, u64> = serde_json::from_value(counts).expect("numbers");
        counts.get(kind).copied().unwrap_or(0)
    }

    pub(super) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The `[[providers]]` table, with more lines.
pub(super) fn table(id: &str, issuer: &str, more: &str) -> String {
    let scopes =
        if more.contains("scopes") { "" } else { r#"scopes = ["openid", "profile", "email", "groups"]"# };
    format!(
        "\n[[providers]]\nid = \"{id}\"\nissuer = \"{issuer}\"\nclient_id = \"doorward\"\nclient_secret = \"{SECRET}\"\n\
         label = \"Example SSO\"\n{scopes}\n{more}\n"
    )
}
