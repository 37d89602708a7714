//! Several gateways on one Redis and one Postgres, and the loss of either store by all gateways or by one.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../support/stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod instances;
#[path = "../support/stores/link.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod link;
#[path = "../support/stores/redis.rs"]
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
mod woken;
mod world;

// The Redis helpers import this from the crate root.
use support::eventually;
