//! A folder of its own with a `gateway.toml`, and the commands that are run on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Done};
use crate::serving::Serving;

/// A password that is long enough.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A folder with all a gateway needs; gone when dropped.
pub(crate) struct House {
    folder: tempfile::TempDir,
}

impl House {
    /// In front of the app at `app`; `more` is put before the upstreams (tables that are not there yet).
    pub(crate) fn new(app: SocketAddr, more: &str) -> Self {
        let house = Self { folder: tempfile::tempdir().expect("a folder") };
        house.write("gateway.toml", &settings(app, more));
        house
    }

    /// Without an app.
    pub(crate) fn empty() -> Self {
        Self::new(SocketAddr::from(([127, 0, 0, 1], 9)), "")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As one change: a gateway that looks at its files never sees half of one.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        std::fs::write(&new, text).expect("a file");
        if let Ok(known) = std::fs::metadata(&path) {
            std::fs::set_permissions(&new, known.permissions()).expect("its permissions");
        }
        std::fs::rename(new, path).expect("its name");
    }

    /// The names of the files in it, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        files(self.folder.path())
    }

    /// The program on this folder's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = doorward();
        command.arg("--config").arg(self.path("gateway.toml")).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, "")
    }

    /// With `stdin` as its input.
    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &str) -> Done {
        process::run(&mut self.command(arguments), stdin)
    }

    /// Adds a user with [`PASSWORD`].
    pub(crate) fn add(&self, name: &str, roles: &[&str]) {
        let mut arguments = vec!["user", "add", name, "--password-stdin"];
        arguments.extend(roles.iter().flat_map(|role| ["--role", role]));
        assert_eq!(self.run_with(&arguments, PASSWORD).good(), format!("added `{name}`\n"));
    }

    pub(crate) fn serve(&self) -> Serving {
        Serving::start(&mut self.command(&["serve"]))
    }
}

/// The program.
pub(crate) fn doorward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    // Texts do not depend on how wide the terminal of the one who tests is.
    command.env("COLUMNS", "100");
    command
}

/// The names of the files in a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn settings(app: SocketAddr, more: &str) -> String {
    format!(
        r#"[server]
listen = ["127.0.0.1:0"]
public_urls = ["http://gateway.test"]
[admin]
listen = ["127.0.0.1:0"]
[login]
hash_threads = 2
attempts_per_account = 100
attempts_per_address = 500
{more}
[upstreams.app]
servers = ["http://{app}"]
[[routes]]
name = "app"
path = "/"
access = "signed-in"
upstream = "app"
[[routes]]
name = "admin"
path = "/status"
access = {{ roles = ["admin"] }}
upstream = "app"
strict_siblings = true
"#
    )
}
