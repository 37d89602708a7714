//! Upstream side: peer options, header rewriting, message framing, failures, retries and health checks.
//!
//! In: a request with a `Permit`, and the response of the app. Out: the request as the app sees it, and the response as the client
//! may see it. Must not know: how access was decided. Credentials are only removed here.

pub(crate) mod failure;
pub(crate) mod fields;
pub(crate) mod handshake;
pub(crate) mod health_checks;
pub(crate) mod http10;
pub(crate) mod origin_headers;
pub(crate) mod request_framing;
pub(crate) mod response_framing;
pub(crate) mod response_rewrite;
pub(crate) mod shared_caches;
pub(crate) mod upstream_request;
pub(crate) mod upstream_response;
pub(crate) mod websocket_tunnel;
