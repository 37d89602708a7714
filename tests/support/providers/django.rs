//! django-oauth-toolkit of PyPI: `tests/oidc/server.py`, below which libfaketime answers for the system's clock.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use super::process::{Process, table};
use crate::support::port::free_port;

/// A running provider; it ends when dropped.
pub(crate) struct Django {
    process: Process,
    folder: tempfile::TempDir,
    ahead: AtomicI64,
}

impl Django {
    /// Starts the provider of a gateway with this public URL.
    pub(crate) async fn start(public_url: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(".venv/bin/python");
        assert!(python.is_file(), "{} is missing: run .ci/setup test", python.display());
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let clock = folder.path().join("clock");
        tell(&clock, 0);
        let mut command = Command::new(python);
        command
            .arg(root.join("tests/oidc/server.py"))
            .arg(port.to_string())
            .arg(folder.path())
            .arg(format!("{public_url}/auth/providers/sso/callback"))
            .arg(format!("{public_url}/auth/providers/sso/signed-out"))
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", clock)
            // It reads the file each time.
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        Self { process: Process::start(command, port).await, folder, ahead: AtomicI64::new(0) }
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
    pub(crate) fn advance(&self, seconds: i64) {
        let ahead = self.ahead.fetch_add(seconds, Ordering::SeqCst) + seconds;
        tell(&self.folder.path().join("clock"), ahead);
    }
}

/// libfaketime for programs with threads.
fn faketime() -> PathBuf {
    let machines = std::fs::read_dir("/usr/lib").expect("a folder").flatten().map(|entry| entry.path());
    let folders = machines.chain(["/usr/lib".into(), "/usr/lib64".into()]);
    let mut found =
        folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.is_file());
    found.next().expect("no libfaketimeMT.so.1: run .ci/setup test")
}

/// Tells libfaketime another time. It never finds half a file.
fn tell(file: &Path, ahead: i64) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{ahead:+}")).and_then(|()| std::fs::rename(&new, file)).expect("written");
}
