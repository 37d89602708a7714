//! Health check for load balancers on the public listener (`server.health_path`): 200 while requests are served, 503 while the
//! gateway drains or cannot decide.
//!
//! Served before routing and without credentials. It shows no details; those are on the admin listener (`/readyz`).

use http::{HeaderValue, Method, header};
use pingora::http::RequestHeader;

use crate::auth::{Auth, Mode};
use crate::config::Server;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::request::request_target::path_of;
use crate::gateway::response::OwnResponse;
use crate::snapshot::Snapshot;

/// Whether a request is a health check: `GET`, `HEAD` or `OPTIONS` for the path, or `OPTIONS *`, which concerns the whole server
/// (RFC 9110 section 9.3.7). HAProxy's `option httpchk` sends each of these, in HTTP/1.0 without `Host`.
pub(crate) fn is_check(request: &RequestHeader, server: &Server) -> bool {
    let Some(path) = &server.health_path else { return false };
    match request.method {
        Method::GET | Method::HEAD => path_of(request) == path.as_bytes(),
        Method::OPTIONS => matches!(path_of(request), sent if sent == b"*" || sent == path.as_bytes()),
        _ => false,
    }
}

/// Returns the response to a health check.
pub(crate) async fn response(auth: &Auth, traffic: &Traffic, snapshot: &Snapshot) -> OwnResponse {
    let response = if traffic.is_draining() {
        OwnResponse::not_ready("draining")
    } else {
        match auth.mode(&snapshot.settings).await {
            Mode::Current | Mode::WithoutVault => OwnResponse::text("text/plain; charset=utf-8", "ready\n"),
            Mode::Undecided => OwnResponse::not_ready("not ready"),
        }
    };
    response.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn only_safe_requests_for_the_path_are_health_checks() {
        let mut server = Config::defaults(Path::new("")).server;
        let is_check = |server: &Server, method: &str, target: &str| {
            is_check(&RequestHeader::build(method, target.as_bytes(), None).expect("a request"), server)
        };
        assert!(
            !is_check(&server, "GET", "/healthz") && !is_check(&server, "OPTIONS", "*"),
            "off by default"
        );
        server.health_path = Some("/healthz".to_owned());
        for (method, target, expected) in [
            ("GET", "/healthz", true),
            ("HEAD", "/healthz?x", true),
            ("GET", "http://app.test/healthz", true),
            ("OPTIONS", "/healthz", true),
            ("OPTIONS", "*", true),
            ("POST", "/healthz", false),
            ("GET", "*", false),
            ("GET", "/healthz/", false),
            ("GET", "/Healthz", false),
            ("GET", "/%68ealthz", false),
            ("GET", "//healthz", false),
            ("OPTIONS", "/", false),
        ] {
            assert_eq!(is_check(&server, method, target), expected, "{method} {target}");
        }
    }
}
