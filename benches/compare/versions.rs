//! Versions of the tools, and the machine.

use std::fs;
use std::process::Command;
use std::time::Duration;

use doorward::clock::{Clock as _, SystemClock};

/// One line with date, machine and versions.
pub(crate) fn about(took: Duration) -> String {
    let date = SystemClock::new().wall().to_string();
    let date = date.split('T').next().unwrap_or_default().to_owned();
    let machine = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = machine.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("an unknown CPU", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let versions: Vec<String> = [
        ("nginx", "/usr/sbin/nginx", "-v"),
        ("HAProxy", "/usr/sbin/haproxy", "-v"),
        ("Envoy", concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/envoy"), "--version"),
        ("Redis", "redis-server", "--version"),
        ("wrk", "wrk", "-v"),
        ("h2load", "h2load", "--version"),
    ]
    .iter()
    .filter_map(|(name, program, flag)| Some(format!("{name} {}", version(program, flag)?)))
    .collect();
    format!(
        "{date}, doorward {}, {}; {cores} cores of {model} (shared), Linux {}, {} minutes in all. One worker thread each.\n",
        env!("CARGO_PKG_VERSION"),
        versions.join(", "),
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        took.as_secs().div_ceil(60),
    )
}

/// First word of a program's version output that looks like a version.
fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '/' | '=' | ',' | '-' | '['));
    words
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
}
