//! Admin listener: metrics, health and status, for operators, never for the internet.
//!
//! In: requests on the admin listener. Out: `/metrics`, `/livez`, `/readyz`, `/admin/status`. Must not know: routes, the requests of
//! clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use http::{HeaderMap, Method, Response, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::auth::{Auth, Mode};
use crate::clock::Clock;
use crate::error::Refusal;
use crate::gateway::response::OwnResponse;
use crate::metrics;
use crate::snapshot::Current;
use crate::token::sha256;

mod status;

pub use status::Fixed;

/// Readiness of the gateway for new traffic.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
}

impl Readiness {
    /// Marks the gateway as not ready: it is about to stop.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Returns the state if ready, otherwise the reason.
    async fn state(&self, auth: &Auth, current: &Current) -> Result<String, &'static str> {
        if self.draining.load(Ordering::Acquire) {
            return Err("draining: this gateway is about to stop");
        }
        let mut state = String::from("ready");
        match auth.mode(&current.load().settings).await {
            Mode::Current => {}
            // Ready for authenticated traffic: no other gateway of this vault can do more.
            Mode::WithoutVault => state.push_str(", without the vault: nobody can sign in or refresh"),
            Mode::Undecided => {
                return Err("vault: the revocation list and the keys are not proven current");
            }
        }
        // The configuration in force works; the rejected file does not affect readiness.
        if let Some(problem) = current.state().rejected.first() {
            state.push_str(", with an older configuration: ");
            state.push_str(problem);
        }
        state.push('\n');
        Ok(state)
    }
}

/// `/metrics`, `/livez`, `/readyz`; with a credential `/admin/status`.
pub struct AdminApp {
    auth: Arc<Auth>,
    current: Current,
    readiness: Arc<Readiness>,
    clock: Arc<dyn Clock>,
    fixed: Fixed,
}

impl AdminApp {
    /// Creates the app of one gateway.
    pub const fn new(
        auth: Arc<Auth>,
        current: Current,
        readiness: Arc<Readiness>,
        clock: Arc<dyn Clock>,
        fixed: Fixed,
    ) -> Self {
        Self { auth, current, readiness, clock, fixed }
    }

    /// Checks the credential of `/admin/…`. If none is configured, every request is refused with 404.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let expected = self.current.load().admin.ok_or(Refusal::RouteUnknown)?;
        let mut sent = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(sent), None) = (sent.next(), sent.next()) else { return Err(Refusal::TokenMissing) };
        // RFC 9110 section 11.1: the scheme is case-insensitive.
        let token = sent.as_bytes().split_at_checked("Bearer ".len());
        let token =
            token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer ")).map(|(_, token)| token);
        // Compares digests: the time of the comparison reveals nothing about the token.
        if token.map(sha256) == Some(expected) { Ok(()) } else { Err(Refusal::TokenInvalid) }
    }

    async fn respond(&self, method: &Method, path: &str, headers: &HeaderMap) -> OwnResponse {
        if path.starts_with("/admin/")
            && let Err(refusal) = self.admit(headers)
        {
            return OwnResponse::refusal(&refusal, None);
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return OwnResponse::refusal(&Refusal::MethodNotAllowed("GET, HEAD".into()), None);
        }
        match path {
            "/metrics" => {
                let ready = self.readiness.state(&self.auth, &self.current).await.is_ok();
                let snapshot = self.current.load();
                self.auth.metrics().process.ready.set(i64::from(ready));
                self.auth.observe();
                snapshot.upstreams.observe();
                OwnResponse::text(metrics::CONTENT_TYPE, self.auth.metrics().text())
            }
            "/livez" => OwnResponse::text("text/plain; charset=utf-8", "alive\n"),
            "/readyz" => match self.readiness.state(&self.auth, &self.current).await {
                Ok(state) => OwnResponse::text("text/plain; charset=utf-8", state),
                Err(reason) => OwnResponse::not_ready(reason),
            },
            "/admin/status" => OwnResponse::json(&self.status().await),
            _ => OwnResponse::refusal(&Refusal::RouteUnknown, None),
        }
    }
}

#[async_trait]
impl ServeHttp for AdminApp {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let own = self.respond(&request.method, request.uri.path(), &request.headers).await;
        let body = if own.sends_body(&request.method) { own.body.to_vec() } else { Vec::new() };
        let mut response = Response::builder().status(own.status).header("content-length", own.body.len());
        for (name, value) in own.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap_or_default()
    }
}
