//! A provider's process, and its endpoints for the tests.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http;

/// Secret of the client. Its blanks must be encoded in the Authorization header (RFC 6749 section 2.3.1).
const SECRET: &str = "a secret of the tests, long enough";

/// Longest wait for `ready`: a start takes 2 s on two cores beside four busy loops.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running provider; it ends when dropped.
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts a program that listens on a port of this machine, and waits until it says `ready`. Fails the test with what the
    /// program complained of if it ends before, or says nothing.
    pub(super) async fn start(mut command: Command, port: u16) -> Self {
        // They warn about settings that only tests have, so it is shown only if they fail to start.
        let complaints = tempfile::tempfile().expect("a file");
        let mut child = command
            // A test that is killed closes it, which ends the program.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().expect("a file"))
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
        // Dropped on failure, which ends the program, and with it the reading.
        let process = Self { child, address: ([127, 0, 0, 1], port).into() };
        let said = tokio::time::timeout(PATIENCE, reading).await;
        let is_ready = said.is_ok_and(|read| read.expect("read"));
        assert!(is_ready, "the provider did not start: {}", whole(complaints));
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

fn whole(mut complaints: File) -> String {
    let mut text = String::new();
    complaints.rewind().and_then(|()| complaints.read_to_string(&mut text)).expect("text");
    text
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
