//! Rolling update: gateways of the previous release are replaced one by one on the same Postgres and Redis under
//! traffic, and each release reads what the other writes.

#[path = "../support/app.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod app;
#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/http.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod http;
#[path = "../support/stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod instances;
#[path = "../support/measured.rs"]
mod measured;
#[path = "../support/program/process.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "../support/stores/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod servers;
#[path = "../support/socket.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod socket;

mod fleet;
mod update;
