//! The HTTP client for other people's servers: identity providers, collections of leaked passwords.
//!
//! Each request has a time limit and a size limit, goes out on a connection of its own, and follows no redirect. Names
//! that resolve to private addresses are refused unless the operator named the host, so that a document of a stranger
//! cannot point into the internal network. The check is made on the address that is connected to.

mod address;
mod client;
mod connect;
mod error;
mod request;
mod target;

pub use client::{Client, Outbound};
pub use error::OutboundError;
pub use request::{Request, Response, TIMEOUT, form};
pub use target::is_fetched;

#[cfg(test)]
mod tests;
