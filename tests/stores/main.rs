//! Several gateways on one Redis and one Postgres, and what happens when either is lost: to all of them, or to one.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod instances;
#[path = "../support/link.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod link;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod servers;

mod credentials;
mod cut_off;
mod load;
mod lost;
mod postgres;
mod races;
mod redis;
mod reference_day;
mod secrets;
mod streams;
mod urls;
mod world;

// Where the shared helpers of Redis look for it.
use support::eventually;
