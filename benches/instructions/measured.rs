//! A program that runs under callgrind.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::bare_pingora;

/// A program, and how to stop it.
pub(crate) struct Program {
    command: Vec<std::ffi::OsString>,
    /// Signal at which it exits at once, by itself.
    signal: Signal,
}

impl Program {
    /// The gateway.
    pub(crate) fn doorward(config: &Path) -> Self {
        let command =
            vec![env!("CARGO_BIN_EXE_doorward").into(), "--config".into(), config.into(), "serve".into()];
        Self { command, signal: Signal::TERM }
    }

    /// This program, as a bare proxy in front of `app`.
    pub(crate) fn bare_pingora(app: SocketAddr) -> anyhow::Result<Self> {
        // Pingora cannot tell which port it was given.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let command = vec![
            std::env::current_exe()?.into(),
            bare_pingora::COMMAND.into(),
            app.to_string().into(),
            address.to_string().into(),
        ];
        // SIGTERM would begin a drain of five minutes.
        Ok(Self { command, signal: Signal::INT })
    }
}

/// A running program; killed when dropped.
pub(crate) struct Measured {
    child: Child,
    signal: Signal,
    counts: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Measured {
    /// Starts a program, and waits until it prints its address.
    pub(crate) fn start(program: Program, folder: &Path) -> anyhow::Result<Self> {
        let counts = folder.join("callgrind.out");
        let mut child = Command::new("valgrind")
            // Mangled, one function for several types has as many names.
            .args(["--tool=callgrind", "--quiet", "--demangle=no"])
            .arg(format!("--callgrind-out-file={}", counts.display()))
            .args(program.command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run valgrind: install it")?;
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().context("stdout")?);
        out.read_line(&mut line)?;
        // Read to its end, so that the program never waits for a full pipe.
        std::thread::spawn(move || out.read_to_string(&mut String::new()));
        let start: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let address = start.as_ref().and_then(|start| start["address"].as_str()?.parse().ok());
        let address = address.with_context(|| format!("no address in `{line}`"))?;
        Ok(Self { child, signal: program.signal, counts, address })
    }

    /// Stops the program, and returns the instructions that it has executed. `kept` gets callgrind's file.
    pub(crate) fn stop(mut self, kept: Option<&Path>) -> anyhow::Result<u64> {
        let id = Pid::from_child(&self.child);
        kill_process(id, self.signal)?;
        ensure!(self.child.wait()?.success(), "the program failed");
        if let Some(kept) = kept {
            fs::copy(&self.counts, kept)?;
        }
        let counts = fs::read_to_string(&self.counts)?;
        let total = counts.lines().find_map(|line| line.strip_prefix("totals: "));
        Ok(total.context("no total in callgrind's file")?.trim().parse()?)
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
