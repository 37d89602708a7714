//! Operations material: metrics, alerts, dashboard and runbook. Checked as files, queried on a real Prometheus under
//! load, and protected against series that clients could add.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../support/stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod instances;
#[path = "../stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod postgres;
#[path = "../support/program/process.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "../support/stores/redis.rs"]
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

// The Redis helpers import this from the crate root.
use support::eventually;

/// Content of a file of this repository.
fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}
