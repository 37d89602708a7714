//! A gateway process.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};

use super::usage;

/// Password of the users that a bench adds.
pub(crate) const PASSWORD: &str = "violet kettle harbour lantern";

/// A gateway process, stopped when dropped.
pub(crate) struct Gateway {
    child: Child,
    /// Kept open: a gateway with an admin listener announces that as well.
    _stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    /// Starts a gateway with this configuration, written into `folder`.
    pub(crate) fn start(folder: &Path, name: &str, settings: &str) -> anyhow::Result<Self> {
        let config = folder.join(format!("{name}.toml"));
        fs::write(&config, settings)?;
        Self::serve(&config)
    }

    /// Starts a gateway with this configuration file.
    pub(crate) fn serve(config: &Path) -> anyhow::Result<Self> {
        let mut child = program(config)
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .context("the program does not run")?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().context("stdout")?);
        stdout.read_line(&mut line)?;
        let address = listening_address(&line);
        let address = address.with_context(|| format!("no address in `{line}`"))?;
        Ok(Self { child, _stdout: stdout, address })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU microseconds used.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        usage::cpu_micros(self.id())
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        usage::resident_mib(self.id())
    }
}

/// The program, for its commands.
pub(crate) fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.arg("--config").arg(config);
    command
}

/// Adds a user with [`PASSWORD`], as an operator does.
pub(crate) fn add_user(config: &Path, name: &str, role: &str) -> anyhow::Result<()> {
    let mut add = program(config)
        .args(["user", "add", name, "--role", role, "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    add.stdin.take().context("stdin")?.write_all(PASSWORD.as_bytes())?;
    ensure!(add.wait()?.success(), "the user was not added");
    Ok(())
}

/// Address in the first line of a gateway: `{"reason":"listening","address":"127.0.0.1:8080",…}`.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["address"].as_str()?.parse().ok()
}
