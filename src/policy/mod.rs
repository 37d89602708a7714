//! The policy: target parsing, routing, access decisions and header forwarding.
//!
//! Pure functions of the configuration. Nothing here reads a clock, a store or a socket.
//!
//! ```text
//! target (every plausible reading) -> route (one, the same for each reading) -> access -> Permit -> headers
//! ```

pub mod access;
pub mod cookies;
pub mod forwarded;
pub mod headers;
pub mod public_path;
pub mod return_to;
pub mod route;
pub mod same_origin;
pub mod target;

pub use access::{Permit, decide, decide_also};
pub use route::{Match, RouteTable};
