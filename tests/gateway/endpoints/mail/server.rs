//! aiosmtpd of PyPI: `tests/mail/server.py`, a process that can be killed and started again on the same port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::port::free_port;

/// A mail server; it ends when dropped.
pub(super) struct MailServer {
    child: Option<Child>,
    pub(super) port: u16,
    folder: tempfile::TempDir,
    options: Vec<String>,
}

/// A message that the server has taken.
#[derive(Clone, Debug)]
pub(super) struct Received(Value);

impl MailServer {
    pub(super) async fn start(options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { child: None, port: free_port(), folder, options };
        server.restart().await;
        server
    }

    /// Kills it, without a chance to finish anything.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) async fn restart(&mut self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(".venv/bin/python");
        assert!(python.is_file(), "{} is missing: run .ci/setup test", python.display());
        let mut child = Command::new(python)
            .arg(root.join("tests/mail/server.py"))
            .arg(self.port.to_string())
            .arg(self.folder.path())
            .args(&self.options)
            // A test that is killed closes it, which ends the server.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts: run .ci/setup test");
        let out = child.stdout.take().expect("piped");
        self.child = Some(child);
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let read = BufReader::new(out).read_line(&mut line);
            read.is_ok() && line.trim() == "ready"
        });
        assert!(reading.await.expect("read"), "the mail server did not start");
    }

    /// Messages so far.
    pub(super) fn received(&self) -> Vec<Received> {
        let text = std::fs::read_to_string(self.folder.path().join("messages")).unwrap_or_default();
        // A killed server may leave half a line: it has not answered.
        let whole = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        whole.map(Received).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Received {
    pub(super) fn get(&self, name: &str) -> &Value {
        &self.0[name]
    }

    pub(super) fn to(&self) -> String {
        self.0["to"][0].as_str().unwrap_or_default().to_owned()
    }

    /// The message, with the soft line breaks of quoted-printable removed.
    pub(super) fn text(&self) -> String {
        let content = self.0["content"].as_str().unwrap_or_default().replace("\r\n", "\n");
        content.replace("=\n", "").replace("=3D", "=")
    }

    pub(super) fn header(&self, name: &str) -> String {
        let text = self.text();
        let prefix = format!("{name}: ");
        let line =
            text.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
    }

    /// The path of the link in it that sets a password.
    pub(super) fn link(&self, origin: &str) -> String {
        self.path(origin, "/reset/link?token=")
    }

    /// The path of the link in it with this text.
    pub(super) fn path(&self, origin: &str, part: &str) -> String {
        let text = self.text();
        let rest = text.split(origin).find(|rest| rest.contains(part) && rest.starts_with('/'));
        let rest = rest.unwrap_or_else(|| panic!("no link to {origin}: {text}"));
        rest.split(|c: char| c.is_whitespace() || c == '"' || c == '<').next().unwrap_or_default().to_owned()
    }
}
