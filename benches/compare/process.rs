//! Server processes of the bench: pinned to cores, stopped at the end.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

/// Core assignment: the gateway under test has its own cores, everything else shares the others.
#[derive(Clone)]
pub(crate) struct Cores {
    pub(crate) gateway: String,
    pub(crate) rest: String,
}

impl Cores {
    /// Cores of this machine, with this many for the gateways.
    pub(crate) fn of_this_machine(gateways: usize) -> Self {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let gateways = gateways.min(all);
        let range = |from: usize, to: usize| format!("{from}-{to}");
        match all - gateways {
            0 => Self { gateway: range(0, gateways - 1), rest: range(0, all - 1) },
            _ => Self { gateway: range(0, gateways - 1), rest: range(gateways, all - 1) },
        }
    }
}

/// `program`, pinned to these cores.
pub(crate) fn pinned(cores: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}

/// A server process, stopped when dropped.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts the server with its output in a file of the folder, and waits until it accepts connections on this port.
    pub(crate) fn start(mut command: Command, port: u16, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("output.log");
        let output = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        // In its own process group: Ctrl-C goes to the bench, which stops the server.
        let child = command.process_group(0).spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut server = Self { child };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let words = fs::read_to_string(&log).unwrap_or_default();
                let errors = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
                bail!("{command:?} does not listen ({ended:?}):\n{words}{errors}");
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pins all threads of a running process to these cores.
pub(crate) fn pin(cores: &str, pid: u32) -> anyhow::Result<()> {
    let done = Command::new("taskset").args(["-acp", cores]).arg(pid.to_string()).output()?;
    anyhow::ensure!(done.status.success(), "taskset: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// A free port.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
