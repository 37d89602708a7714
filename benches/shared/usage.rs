//! CPU time and memory of a process, read from `/proc` (proc(5)).

use std::fs;

use anyhow::Context as _;

/// User and system time in microseconds (fields 14 and 15, in hundredths of a second).
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

/// Microseconds as the kernel scheduler counts them, in nanoseconds per thread: for spans too short for
/// [`cpu_micros`]. Threads that have ended are not counted.
pub(crate) fn scheduled_micros(pid: u32) -> anyhow::Result<f64> {
    let mut nanos = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let spent = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += spent.split(' ').next().context("a figure")?.parse::<f64>()?;
    }
    Ok(nanos / 1000.0)
}

/// Resident memory in MiB.
pub(crate) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmRSS:")
}

/// Highest resident memory so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a line of status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
