//! The way to an app and back: server selection glue, header rewriting, response framing, failures and health checks.
//!
//! In: a request with a `Permit`. Out: the request as the app sees it, and its response as the client may see it. Never looks at
//! credentials beyond removing them.

pub(crate) mod failure;
pub(crate) mod fields;
pub(crate) mod handshake;
pub(crate) mod health_checks;
pub(crate) mod origin_headers;
pub(crate) mod request_framing;
pub(crate) mod response_framing;
pub(crate) mod response_rewrite;
pub(crate) mod shared_caches;
pub(crate) mod upstream_request;
pub(crate) mod upstream_response;
pub(crate) mod websocket_tunnel;
