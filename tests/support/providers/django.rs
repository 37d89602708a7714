//! django-oauth-toolkit of PyPI: `tests/oidc/server.py`, whose clock time-machine moves.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::process::{Process, table};
use crate::support::port::free_port;

/// A running provider; it ends when dropped.
pub(crate) struct Django {
    process: Process,
    _folder: tempfile::TempDir,
}

impl Django {
    /// Starts the provider of a gateway with this public URL.
    pub(crate) async fn start(public_url: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(".venv/bin/python");
        assert!(python.is_file(), "{} is missing: run .ci/setup test", python.display());
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let mut command = Command::new(python);
        command
            .arg(root.join("tests/oidc/server.py"))
            .arg(port.to_string())
            .arg(folder.path())
            .arg(format!("{public_url}/auth/providers/sso/callback"))
            .arg(format!("{public_url}/auth/providers/sso/signed-out"));
        Self { process: Process::start(command, port).await, _folder: folder }
    }

    /// The `[[providers]]` table, with more lines.
    pub(crate) fn table(&self, id: &str, more: &str) -> String {
        table(id, &self.issuer(), more)
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}/o", self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Adds or changes a person, whose password is the name.
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

    /// Responses of one kind: `keys`, `token:refresh_token`, `refused:invalid_grant`.
    pub(crate) async fn count(&self, kind: &str) -> u64 {
        self.process.count(kind).await
    }

    /// Moves the provider's clock by seconds, forwards or backwards.
    pub(crate) async fn advance(&self, seconds: i64) {
        self.process.control("PUT", "clock", &json!({ "seconds": seconds })).await;
    }
}
