//! `oidc-provider` of npm: `tests/oidc/server.js` under node.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::{Process, table};
use crate::support::port::free_port;

/// A running provider; it ends when dropped.
pub(crate) struct Provider {
    process: Process,
    ahead: Mutex<Duration>,
}

impl Provider {
    /// Starts the provider of a gateway with this public URL, which listens on this port.
    pub(crate) async fn start(public_url: &str, gateway_port: u16) -> Self {
        Self::with(public_url, gateway_port, &json!({})).await
    }

    /// Starts it with these people, by name.
    pub(crate) async fn with(public_url: &str, gateway_port: u16, people: &Value) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join(".venv/node/oidc");
        assert!(
            modules.join("node_modules").is_dir(),
            "{} is missing: run .ci/setup test",
            modules.display()
        );
        let port = free_port();
        let mut command = Command::new("node");
        command
            .arg(root.join("tests/oidc/server.js"))
            .arg(port.to_string())
            .arg(format!("{public_url}/auth/providers/sso/callback"))
            .arg(format!("{public_url}/auth/providers/sso/signed-out"))
            .arg(format!("http://127.0.0.1:{gateway_port}/auth/providers/sso/backchannel-logout"))
            .env("MODULES", &modules)
            .env("PEOPLE", people.to_string());
        Self { process: Process::start(command, port).await, ahead: Mutex::default() }
    }

    /// The `[[providers]]` table, with more lines.
    pub(crate) fn table(&self, id: &str, more: &str) -> String {
        table(id, &self.issuer(), more)
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Adds or changes a person.
    pub(crate) async fn put(&self, name: &str, claims: &Value) {
        self.process.control("PUT", &format!("people/{name}"), claims).await;
    }

    /// Removes a person.
    pub(crate) async fn remove(&self, name: &str) {
        self.process.control("DELETE", &format!("people/{name}"), &json!({})).await;
    }

    /// Makes another key sign.
    pub(crate) async fn rotate_keys(&self) {
        self.process.control("PUT", "keys", &json!({})).await;
    }

    /// Responses of one kind, such as `token:refresh_token`.
    pub(crate) async fn count(&self, kind: &str) -> u64 {
        self.process.count(kind).await
    }

    /// A logout token with changed claims and header fields; null leaves one out.
    pub(crate) async fn logout_token(&self, header: &Value, claims: &Value) -> String {
        let body = json!({ "header": header, "claims": claims });
        let signed = self.process.control("PUT", "sign", &body).await;
        signed["token"].as_str().expect("a token").to_owned()
    }

    /// Makes the provider answer 503, or stops that.
    pub(crate) async fn away(&self, is_away: bool) {
        self.process.control(if is_away { "PUT" } else { "DELETE" }, "away", &json!({})).await;
    }

    /// Delays every response of the token endpoint.
    pub(crate) async fn slow(&self, by: Duration) {
        self.process.control("PUT", &format!("slow/{}", by.as_millis()), &json!({})).await;
    }

    /// Makes the provider take requests and never respond, or stops that.
    pub(crate) async fn hang(&self, hangs: bool) {
        self.process.control(if hangs { "PUT" } else { "DELETE" }, "hang", &json!({})).await;
    }

    /// Requests that wait for a response now, and the largest number of them so far.
    pub(crate) async fn held(&self) -> (u64, u64) {
        let held = self.process.control("GET", "held", &json!({})).await;
        (held["now"].as_u64().expect("a number"), held["peak"].as_u64().expect("a number"))
    }

    /// Refresh tokens that were sent to the token endpoint, and how often the one was that was sent most.
    pub(crate) async fn uses(&self) -> (u64, u64) {
        serde_json::from_value(self.process.control("GET", "uses", &json!({})).await).expect("two numbers")
    }

    /// Every code and token that it has issued.
    pub(crate) async fn secrets(&self) -> Vec<String> {
        serde_json::from_value(self.process.control("GET", "secrets", &json!({})).await).expect("texts")
    }

    /// Advances the provider's clock.
    pub(crate) async fn advance(&self, span: Duration) {
        let ahead = {
            let mut ahead = self.ahead.lock().expect("not poisoned");
            *ahead += span;
            *ahead
        };
        self.process.control("PUT", &format!("clock/{}", ahead.as_millis()), &json!({})).await;
    }

    /// Ends the process; nothing listens on its port any more.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }
}
