//! Requests as they reach the app.

mod app_headers;
pub(crate) mod assertion;
mod bodies;
mod credentials;
pub(crate) mod encrypted_claims;
mod framing;
mod identity;
mod origin;
mod prefix;
mod request_ids;
mod response_headers;
mod routes;
mod second;
mod targets;
mod upgrades;
mod upstreams;
