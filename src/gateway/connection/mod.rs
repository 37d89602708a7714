//! Client connections: accept, limit, decrypt, and read up to a request.
//!
//! In: sockets of the listeners. Out: one request at a time for Pingora, bounded to its message. Must not know: routes, tokens,
//! upstreams.

pub(crate) mod acceptor;
pub(crate) mod backlog;
pub(crate) mod bounded_stream;
pub(crate) mod client_connection;
pub(crate) mod h2c;
pub(crate) mod head_check;
pub(crate) mod http1;
mod http2_frames;
pub(crate) mod http2_refusals;
pub(crate) mod idle_list;
pub(crate) mod limiter;
pub(crate) mod listener;
pub(crate) mod proxy_protocol;
pub(crate) mod tls;
pub(crate) mod traffic;
pub(crate) mod unanswered;
