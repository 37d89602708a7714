//! The provider: `tests/oidc/server.js` under node.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::ORIGIN;
use crate::support::http;
use crate::support::port::free_port;

/// Secret of the client. Its blanks must be encoded in the Authorization header (RFC 6749 section 2.3.1).
const SECRET: &str = "a secret of the tests, long enough";

/// A running provider; it ends when dropped.
pub(super) struct Provider {
    child: Child,
    port: u16,
    gateway_port: u16,
    ahead: Mutex<Duration>,
}

impl Provider {
    pub(super) async fn start() -> Self {
        Self::with(&json!({})).await
    }

    /// Starts it with these people, by name.
    pub(super) async fn with(people: &Value) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join(".venv/node/oidc");
        assert!(
            modules.join("node_modules").is_dir(),
            "{} is missing: run .ci/setup test",
            modules.display()
        );
        let (port, gateway_port) = (free_port(), free_port());
        let mut child = Command::new("node")
            .arg(root.join("tests/oidc/server.js"))
            .arg(port.to_string())
            .arg(format!("{ORIGIN}/auth/providers/sso/callback"))
            .arg(format!("{ORIGIN}/auth/providers/sso/signed-out"))
            .arg(format!("http://127.0.0.1:{gateway_port}/auth/providers/sso/backchannel-logout"))
            .env("MODULES", &modules)
            .env("PEOPLE", people.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It warns about settings that only tests have.
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts: run .ci/setup test");
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
        // Dropped on failure, which ends the process.
        let provider = Self { child, port, gateway_port, ahead: Mutex::default() };
        assert!(reading.await.expect("read"), "the provider did not start");
        provider
    }

    /// The `[[providers]]` table, with more lines.
    pub(super) fn table(&self, id: &str, more: &str) -> String {
        let scopes =
            if more.contains("scopes") { "" } else { r#"scopes = ["openid", "profile", "email", "groups"]"# };
        format!(
            "\n[[providers]]\nid = \"{id}\"\nissuer = \"{}\"\nclient_id = \"doorward\"\nclient_secret = \"{SECRET}\"\n\
             label = \"Example SSO\"\n{scopes}\n{more}\n",
            self.issuer()
        )
    }

    pub(super) fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Port at which the provider expects the gateway.
    pub(super) fn gateway_port(&self) -> u16 {
        self.gateway_port
    }

    async fn control(&self, method: &str, what: &str, body: &Value) -> Value {
        let host = self.address().to_string();
        let (target, body) = (format!("/control/{what}"), body.to_string());
        let response =
            http::request(self.address(), method, &target, &[("Host", host.as_str())], body.as_bytes()).await;
        assert_eq!(response.status, 200, "{what}: {}", response.text());
        response.json()
    }

    /// Adds or changes a person.
    pub(super) async fn put(&self, name: &str, claims: &Value) {
        self.control("PUT", &format!("people/{name}"), claims).await;
    }

    /// Removes a person.
    pub(super) async fn remove(&self, name: &str) {
        self.control("DELETE", &format!("people/{name}"), &json!({})).await;
    }

    /// Makes another key sign.
    pub(super) async fn rotate_keys(&self) {
        self.control("PUT", "keys", &json!({})).await;
    }

    /// Responses of the token endpoint of one kind, such as `token:refresh_token`.
    pub(super) async fn count(&self, kind: &str) -> u64 {
        let counts = self.control("GET", "counts", &json!({})).await;
        let counts: BTreeMap<String, u64> = serde_json::from_value(counts).expect("numbers");
        counts.get(kind).copied().unwrap_or(0)
    }

    /// A logout token with changed claims and header fields; null leaves one out.
    pub(super) async fn logout_token(&self, header: &Value, claims: &Value) -> String {
        let signed = self.control("PUT", "sign", &json!({ "header": header, "claims": claims })).await;
        signed["token"].as_str().expect("a token").to_owned()
    }

    /// Makes the provider answer 503, or stops that.
    pub(super) async fn away(&self, is_away: bool) {
        self.control(if is_away { "PUT" } else { "DELETE" }, "away", &json!({})).await;
    }

    /// Delays every response of the token endpoint.
    pub(super) async fn slow(&self, by: Duration) {
        self.control("PUT", &format!("slow/{}", by.as_millis()), &json!({})).await;
    }

    /// Makes the provider take requests and never respond, or stops that.
    pub(super) async fn hang(&self, hangs: bool) {
        self.control(if hangs { "PUT" } else { "DELETE" }, "hang", &json!({})).await;
    }

    /// Requests that wait for a response now, and the largest number of them so far.
    pub(super) async fn held(&self) -> (u64, u64) {
        let held = self.control("GET", "held", &json!({})).await;
        (held["now"].as_u64().expect("a number"), held["peak"].as_u64().expect("a number"))
    }

    /// Refresh tokens that were sent to the token endpoint, and how often the one was that was sent most.
    pub(super) async fn uses(&self) -> (u64, u64) {
        serde_json::from_value(self.control("GET", "uses", &json!({})).await).expect("two numbers")
    }

    /// Every code and token that it has issued.
    pub(super) async fn secrets(&self) -> Vec<String> {
        serde_json::from_value(self.control("GET", "secrets", &json!({})).await).expect("texts")
    }

    /// Advances the provider's clock.
    pub(super) async fn advance(&self, span: Duration) {
        let ahead = {
            let mut ahead = self.ahead.lock().expect("not poisoned");
            *ahead += span;
            *ahead
        };
        self.control("PUT", &format!("clock/{}", ahead.as_millis()), &json!({})).await;
    }

    /// Ends the process; nothing listens on its port any more.
    pub(super) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
    }
}
