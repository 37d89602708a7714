//! Sessions and tokens: refresh, idle timeouts, forged tokens, changes of users and keys.

mod changes;
mod factors;
pub(crate) mod forged;
mod guessing;
mod idle;
mod refreshing;
mod unusual;
