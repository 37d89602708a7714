//! Shared parts of the benches: gateway processes, their use of CPU and memory, sessions, and private stores.

#[path = "../../tests/support/eventually.rs"]
pub(crate) mod eventually;
pub(crate) mod first_use;
pub(crate) mod gateway;
#[path = "../../tests/support/http.rs"]
pub(crate) mod http;
#[path = "../../tests/support/stores/postgres.rs"]
pub(crate) mod postgres;
#[path = "../../tests/support/stores/redis.rs"]
pub(crate) mod redis;
pub(crate) mod sessions;
pub(crate) mod usage;
