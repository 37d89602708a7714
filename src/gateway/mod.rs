//! The gateway: Pingora's callbacks around the walk of a request.
//!
//! ```text
//! gate      connection cap, TLS, header deadline, cut from outside     (one task per request)
//! portion   as much of a connection as is one request's
//!  proxy    early_request_filter -> request_filter -> upstream_peer -> upstream_request_filter -> response_filter
//!   judge   header checks -> target -> route -> credential -> auth -> policy -> Permit | own endpoint | refusal
//!   cross_origin  requests that pages of other origins send with our cookies
//!   upstream  which server, which headers                             (only with a Permit)
//!   checks    asks the servers how they are, beside the requests
//!   failure   what a failed request says of the server, and to the client
//!   endpoints login, refresh, logout, me, sessions, password, keys
//!   answer    what of the app's answer crosses
//!   shared_caches  keeps one person's responses out of them
//!   request_framing, response_framing  how a message is framed on each side, and which fields are of one connection only
//!   respond   the one table of status codes and bodies
//!   parting   what the client still sends once it is answered
//! backlog   what a client has not taken yet of its response
//! stalled   the limit on what is held for clients that take nothing
//! ```

mod authorize;
mod connection;
mod endpoints;
mod request;
pub mod response;
mod upstream;

pub use connection::acceptor::Acceptor;
pub use connection::backlog::stalled::bound_stalled;
pub use connection::listener::Listener;
pub use connection::traffic::Traffic;
pub use request::access_log::ACCESS;
pub use request::callbacks::Gateway;
pub use upstream::health_checks::{Checking, keep_checking};
