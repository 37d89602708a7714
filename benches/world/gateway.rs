//! A gateway process and its resource usage.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// A gateway process, stopped when dropped.
pub(crate) struct Gateway {
    child: Child,
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
        let mut child = program(&config)
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .context("the program does not run")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let address = address_in(&line);
        let address = address.with_context(|| format!("no address in `{line}`"))?;
        Ok(Self { child, address })
    }

    /// CPU microseconds used.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        cpu_micros(self.child.id())
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

/// The program, for its commands.
pub(crate) fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.arg("--config").arg(config);
    command
}

/// User and system time of a process, in microseconds (proc(5), fields 14 and 15, in hundredths of a second).
pub(crate) fn cpu_micros(pid: u32) -> anyhow::Result<f64> {
    ticks(pid, 2)
}

/// Including its ended children (fields 16 and 17).
pub(crate) fn cpu_with_ended_children(pid: u32) -> anyhow::Result<f64> {
    ticks(pid, 4)
}

fn ticks(pid: u32, fields: usize) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("proc/stat")?;
    let times = rest.split_whitespace().skip(11).take(fields);
    Ok(times.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * 10_000.0)
}

/// Address in the first line of a gateway: `{"reason":"listening","address":"127.0.0.1:8080",…}`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let told: serde_json::Value = serde_json::from_str(line).ok()?;
    told["address"].as_str()?.parse().ok()
}
