//! The gateway over real sockets, in the test process: user journeys, races and faults.

#[path = "../support/mod.rs"]
mod support;

mod apps;
mod browser;
mod changes;
mod checks;
mod client_certificates;
mod connecting;
mod cors;
mod counted;
mod drain;
mod endpoints;
mod faults;
mod forged;
mod forwarding;
mod health;
mod http2;
mod idle;
mod limits;
mod listeners;
mod outages;
mod pipelined;
mod questions;
mod races;
mod refreshing;
mod refusals;
mod regression;
mod reloading;
mod remembered;
mod request_ids;
mod stalled;
mod story;
mod streams;
mod streams_end;
mod tls;
mod versions;
