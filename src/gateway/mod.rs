//! The gateway: one request from the client's socket to the upstream and back, through Pingora's callbacks.
//!
//! In: sockets of the listeners, and the configuration snapshot in force. Out: responses, requests to upstreams, the access log.
//! Must not know: which stores are used, how tokens are signed, where the configuration comes from.
//!
//! ```text
//! connection/   connection limit, PROXY protocol, TLS, header deadline, send backlog     (one task per request)
//! request/      early_request_filter -> request_filter -> upstream_peer -> upstream_request_filter -> response_filter
//! authorize/    header checks, then the typed steps of pipeline.rs up to a Permit, an endpoint of ours or a refusal
//! endpoints/    login, refresh, logout, me, sessions, password, keys
//! upstream/     server, headers and framing of both messages, health checks               (only with a Permit)
//! response.rs   the one table of status codes and bodies
//! ```

mod authorize;
mod connection;
mod endpoints;
mod request;
pub mod response;
mod timer;
mod tls_error;
mod upstream;

pub use connection::acceptor::Acceptor;
pub use connection::backlog::stalled::bound_stalled;
pub use connection::listener::Listener;
pub use connection::traffic::Traffic;
pub use request::access_log::ACCESS;
pub use request::callbacks::Gateway;
pub use upstream::health_checks::{Checking, keep_checking};
