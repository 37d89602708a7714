//! What people who operate gateways are given: the metrics, the alerts on them, the dashboard, the runbook. Read as files, asked
//! of a real Prometheus under load, and told apart from what a stranger may add to them.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod instances;
#[path = "../stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod postgres;
#[path = "../program/process.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod servers;

mod dashboard;
mod files;
mod prometheus;
mod promtool;
mod replica;
mod rules;
mod series;
mod traffic;
mod under_load;

// Where the shared helpers of Redis look for it.
use support::eventually;

/// A file of this repository.
fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}
