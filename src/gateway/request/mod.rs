//! One request in Pingora's callbacks: its context, cancellation, timeouts and access log entry.
//!
//! In: a parsed header section, and the connection's [`current_request::CurrentRequest`]. Out: a response, and one access log
//! entry. Must not know: how access is decided (`authorize`), how the app's message is rewritten (`upstream`).

pub(crate) mod access_log;
pub(crate) mod callbacks;
pub(crate) mod client;
pub(crate) mod context;
pub(crate) mod current_request;

pub(crate) mod ignored_fields;
pub(crate) mod interrupt;
pub(crate) mod lingering_close;
pub(crate) mod panic_guard;
pub(crate) mod request_filter;
pub(crate) mod request_target;
pub(crate) mod response_filter;
pub(crate) mod send;
pub(crate) mod send_backlog;
pub(crate) mod silence;
