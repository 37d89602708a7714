//! The real program under attack, with its memory measured and people at work beside the attackers; and what is large, slow
//! or particular about real clients.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../program/house.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod house;
#[path = "../program/process.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "../program/serving.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod serving;

mod depot;
mod frames;
mod memory;
mod polite;
mod siege;
mod stage;

mod bombs;
mod bulk;
mod curl;
mod idle;
mod readers;
mod resets;
mod slow;

// Where the helpers of the program look for them.
use support::{eventually, http};
