//! Connections of clients: limits, TLS, client certificates, versions of HTTP.

mod client_certificates;
mod http2;
mod limits;
mod pipelined;
mod stalled;
pub(crate) mod tls;
mod versions;
