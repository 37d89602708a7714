//! The gateway: Pingora's callbacks around the walk of a request.
//!
//! ```text
//! gate      connection cap, TLS, header deadline, cut from outside     (one task per request)
//!  proxy    early_request_filter -> request_filter -> upstream_peer -> upstream_request_filter -> response_filter
//!   judge   header checks -> target -> route -> credential -> auth -> policy -> Permit | own endpoint | refusal
//!   upstream  which server, which headers                             (only with a Permit)
//!   endpoints login, refresh, logout, me, sessions, password, keys
//!   respond   the one table of status codes and bodies
//! ```

mod account;
mod caught;
mod context;
mod cors;
mod credential;
mod downstream;
mod endpoints;
mod framing;
mod gate;
mod judge;
mod proxy;
mod redirect;
pub mod respond;
mod response;
mod tls;
mod tunnel;
mod upstream;

pub use account::ACCESS;
pub use gate::{Gate, Listener, Traffic};
pub use proxy::Gateway;
