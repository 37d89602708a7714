//! Sessions and tokens: refresh, idle timeouts, forged tokens, changes of users and keys.

mod changes;
mod factors;
pub(crate) mod forged;
mod idle;
mod refreshing;
mod unusual;
