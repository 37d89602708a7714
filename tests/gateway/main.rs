//! The gateway over real sockets, in the test process: user journeys, races and faults.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod postgres;
#[path = "../support/stores/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod redis;

mod apps;
mod browser;
mod canned;
mod connection;
mod endpoints;
mod forwarding;
mod identity;
mod listeners;
mod operations;
mod refusals;
mod regression;
mod revocation;
mod sessions;
mod stores;
mod story;

#[path = "../support/stores/redis_travel.rs"]
mod travel;

// The Redis helpers import these from the crate root.
use redis as servers;
use support::eventually;
