//! Connections to Postgres: how each is made, the pool that lends them, and new credentials while it runs.

pub(super) mod clients;
pub(super) mod connect;
pub(super) mod credentials;
