//! One request on its way through Pingora's callbacks: its context, cancellation, access log entry and timeouts.
//!
//! In: a parsed header section. Out: a response, and one log entry. Decides nothing about access, which `authorize` does.

pub(crate) mod access_log;
pub(crate) mod callbacks;
pub(crate) mod client;
pub(crate) mod context;
pub(crate) mod current_request;
pub(crate) mod framing;
pub(crate) mod http10;
pub(crate) mod ignored_fields;
pub(crate) mod interrupt;
pub(crate) mod lingering_close;
pub(crate) mod panic_guard;
pub(crate) mod request_target;
pub(crate) mod send;
pub(crate) mod send_backlog;
pub(crate) mod silence;
