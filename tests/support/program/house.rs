//! A temporary folder with a `gateway.toml`, and commands that run on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Done};
use crate::serving::Serving;

/// A valid password.
pub(crate) const PASSWORD: &str = "violet kettle harbour lantern";

/// A folder with everything a gateway needs; removed when dropped.
pub(crate) struct House {
    folder: tempfile::TempDir,
}

impl House {
    /// With the app at `app`. `more` is inserted before the upstreams and must start new tables.
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

    /// Atomic, so that a watching gateway never reads half a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        std::fs::write(&new, text).expect("a file");
        if let Ok(known) = std::fs::metadata(&path) {
            std::fs::set_permissions(&new, known.permissions()).expect("its permissions");
        }
        std::fs::rename(new, path).expect("its name");
    }

    /// Sorted names of its files.
    pub(crate) fn files(&self) -> Vec<String> {
        files(self.folder.path())
    }

    /// The program with this folder's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = doorward();
        command.arg("--config").arg(self.path("gateway.toml")).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, "")
    }

    /// Runs the program with `stdin` as its input.
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
    // Output must not depend on the terminal width of the tester.
    command.env("COLUMNS", "100");
    command
}

/// Sorted names of the files in a folder.
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
