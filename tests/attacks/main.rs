//! The real program under attack: its memory is measured and well-behaved clients run beside the attackers. Also large
//! transfers, slow readers and real clients.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../support/program/house.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod house;
#[path = "../support/program/process.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "../support/program/serving.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod serving;

mod blob_server;
mod frames;
mod load;
mod memory;
mod stage;
mod well_behaved_client;

mod bombs;
mod bulk;
mod curl;
mod idle;
mod readers;
mod resets;
mod slow;

// The program helpers import these from the crate root.
use support::{eventually, http};
