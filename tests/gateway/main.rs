//! The gateway over real sockets, in the test process: user journeys, races and faults.

#[path = "../support/mod.rs"]
mod support;

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
