//! Cost of server selection and of reporting the response, in nanoseconds; forwarding takes tens of microseconds.
//! `cargo bench --bench turn`.

use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use doorward::clock::{Clock, SystemClock};
use doorward::config::Config;
use doorward::id::SystemRandom;
use doorward::metrics::Metrics;
use doorward::snapshot::upstreams::Group;
use doorward::snapshot::{ProviderParts, Snapshot};

const REQUESTS: u32 = 2_000_000;

fn main() -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let mut out = std::io::stdout().lock();
    for servers in [1, 10, 100] {
        let snapshot = snapshot(servers)?;
        let group = snapshot.upstreams.find("app").ok_or_else(|| anyhow::anyhow!("the upstream"))?;
        writeln!(out, "{servers:4} addresses, all well    {:6.1} ns a request", measure(group, &clock))?;
        if servers == 1 {
            continue;
        }
        for _ in 0..3 {
            group.candidates()[0].connect_failed(false, &clock);
        }
        writeln!(out, "{servers:4} addresses, one put last {:6.1} ns a request", measure(group, &clock))?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn measure(group: &Group, clock: &dyn Clock) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            let mut selection = black_box(group).attempts(clock);
            // The ejected server is not selected: a response would readmit it.
            if let Some(candidate) = selection.next() {
                candidate.response_started(200, None, clock);
            }
        }
        best = best.min(began.elapsed().as_nanos() as f64 / f64::from(REQUESTS));
    }
    best
}

fn snapshot(servers: u16) -> anyhow::Result<Snapshot> {
    let servers: Vec<String> =
        (0..servers).map(|at| format!("\"http://127.0.0.1:{}\"", 10_000 + at)).collect();
    let text = format!("[upstreams.app]\nservers = [{}]\n", servers.join(", "));
    let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None)?;
    let parts = ProviderParts::new(
        &|_| None,
        Arc::new(SystemClock::new()),
        Arc::new(SystemRandom),
        Arc::new(Metrics::new()),
    );
    Ok(Snapshot::new(&config, &parts, None)?)
}
