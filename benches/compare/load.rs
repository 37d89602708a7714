//! Load by wrk and h2load, and its results.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::process::pinned;

/// Protocol of the clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    /// HTTP/1.1 in the clear.
    H1,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    H2,
}

impl Protocol {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::H1 => "HTTP/1.1",
            Self::Tls => "HTTP/1.1 over TLS",
            Self::H2 => "HTTP/2 over TLS",
        }
    }
}

/// Parameters of a load.
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) protocol: Protocol,
    /// Concurrent requests: one per connection, or four per connection over HTTP/2.
    pub(crate) at_once: u32,
    pub(crate) bearer: Option<Bearer>,
}

/// Tokens of the clients.
#[derive(Clone)]
pub(crate) enum Bearer {
    /// The same token for every request.
    One(String),
    /// The tokens of a file in turn, one per line.
    Each(PathBuf),
}

/// Results of one load run; times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// Responses other than 200, and failed connections.
    pub(crate) errors: f64,
}

/// Streams per HTTP/2 connection.
const STREAMS: u32 = 4;

/// Runs at maximum throughput.
pub(crate) fn saturate(target: &Target, seconds: f64, cores: &str, folder: &Path) -> anyhow::Result<Load> {
    match target.protocol {
        Protocol::H1 | Protocol::Tls => wrk(target, seconds, cores),
        Protocol::H2 => h2load(target, seconds, None, cores, folder),
    }
}

/// Runs at a fixed rate of requests per second.
pub(crate) fn pace(
    target: &Target,
    rate: f64,
    seconds: f64,
    cores: &str,
    folder: &Path,
) -> anyhow::Result<Load> {
    h2load(target, seconds, Some(rate), cores, folder)
}

fn wrk(target: &Target, seconds: f64, cores: &str) -> anyhow::Result<Load> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/contenders/report.lua");
    let mut command = pinned(cores, "wrk");
    command.args(["-t1", &format!("-c{}", target.at_once), &format!("-d{}s", seconds.ceil())]);
    command.arg("-s").arg(script);
    match &target.bearer {
        Some(Bearer::One(token)) => {
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        Some(Bearer::Each(file)) => {
            command.env("DOORWARD_BENCH_TOKENS", file);
        }
        None => {}
    }
    let output = command.arg(&target.url).output().context("cannot run wrk: `make bench` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("doorward-bench "));
    let line = line.with_context(|| {
        format!("wrk reported nothing:\n{text}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    let fields: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let &[requests, micros, failed, refused, p50, p99, p999] = &fields[..] else {
        bail!("wrk said `{line}`")
    };
    ensure!(requests > 0.0, "nothing was answered:\n{text}");
    Ok(Load { requests, per_second: requests / micros * 1e6, p50, p99, p999, errors: failed + refused })
}

fn h2load(
    target: &Target,
    seconds: f64,
    rate: Option<f64>,
    cores: &str,
    folder: &Path,
) -> anyhow::Result<Load> {
    let Some(Bearer::One(token)) = &target.bearer else { bail!("h2load sends one token") };
    let log = folder.join("h2load.log");
    // h2load appends to the log.
    let _ = fs::remove_file(&log);
    let (clients, streams) = match target.protocol {
        Protocol::H2 => (target.at_once.div_ceil(STREAMS), STREAMS),
        Protocol::H1 | Protocol::Tls => (target.at_once, 1),
    };
    let mut command = pinned(cores, "h2load");
    if target.protocol != Protocol::H2 {
        command.arg("--h1");
    }
    command.args(["-t1", &format!("-c{clients}"), &format!("-m{streams}"), &format!("-D{}", seconds.ceil())]);
    if let Some(rate) = rate {
        command.arg(format!("--rps={}", rate / f64::from(clients)));
    }
    command.args(["-H", &format!("authorization: Bearer {token}")]).arg("--log-file").arg(&log);
    let output = command.arg(&target.url).output().context("cannot run h2load: `make bench` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "h2load failed:\n{text}{}", String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(&log)?;
    let (mut times, mut errors) = (Vec::new(), 0.0);
    let (mut first, mut last) = (f64::MAX, 0.0_f64);
    for line in log.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().and_then(|field| field.parse::<f64>().ok());
        let (Some(began), Some(status), Some(took)) = (next(), next(), next()) else {
            bail!("h2load wrote `{line}`")
        };
        if status == 200.0 {
            times.push(took);
            first = first.min(began);
            last = last.max(began);
        } else {
            errors += 1.0;
        }
    }
    ensure!(times.len() > 1, "nothing was answered:\n{text}");
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Ok(Load {
        requests: times.len() as f64,
        per_second: times.len() as f64 / (last - first) * 1e6,
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        errors,
    })
}
