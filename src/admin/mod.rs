//! The admin listener: metrics and health, for those who operate the gateway, never for the internet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use http::{Method, Response};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::auth::{Auth, Standing};
use crate::error::Refusal;
use crate::gateway::respond::Answer;
use crate::metrics;
use crate::snapshot::Current;

/// Whether new traffic should come here, and the state it follows from.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
}

impl Readiness {
    /// From now on, not ready: the gateway is about to stop.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// What is so when it is ready, or why it is not.
    async fn state(&self, auth: &Auth, current: &Current) -> Result<String, &'static str> {
        if self.draining.load(Ordering::Acquire) {
            return Err("draining: this gateway is about to stop");
        }
        let mut state = String::from("ready");
        match auth.standing(&current.load().settings).await {
            Standing::Current => {}
            // Still the right place for signed-in traffic: no other gateway of this vault can do more.
            Standing::WithoutVault => state.push_str(", without the vault: nobody can sign in or refresh"),
            Standing::Undecided => {
                return Err("vault: the revocation set and the keys are not proven current");
            }
        }
        // What serves is good; the file is for whoever changed it to mend.
        if let Some(problem) = current.state().rejected.first() {
            state.push_str(", with an older configuration: ");
            state.push_str(problem);
        }
        state.push('\n');
        Ok(state)
    }
}

/// `/metrics`, `/livez`, `/readyz`.
pub struct AdminApp {
    auth: Arc<Auth>,
    current: Current,
    readiness: Arc<Readiness>,
}

impl AdminApp {
    /// For one gateway.
    pub const fn new(auth: Arc<Auth>, current: Current, readiness: Arc<Readiness>) -> Self {
        Self { auth, current, readiness }
    }

    async fn answer(&self, method: &Method, path: &str) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Answer::refusal(&Refusal::MethodNotAllowed("GET, HEAD".into()), None);
        }
        match path {
            "/metrics" => {
                let ready = self.readiness.state(&self.auth, &self.current).await.is_ok();
                let snapshot = self.current.load();
                self.auth.metrics().process.ready.set(i64::from(ready));
                self.auth.observe();
                snapshot.upstreams.observe();
                Answer::text(metrics::CONTENT_TYPE, self.auth.metrics().text())
            }
            "/livez" => Answer::text("text/plain; charset=utf-8", "alive\n"),
            "/readyz" => match self.readiness.state(&self.auth, &self.current).await {
                Ok(state) => Answer::text("text/plain; charset=utf-8", state),
                Err(why) => Answer::not_ready(why),
            },
            _ => Answer::refusal(&Refusal::RouteUnknown, None),
        }
    }
}

#[async_trait]
impl ServeHttp for AdminApp {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let answer = self.answer(&request.method, request.uri.path()).await;
        let body = if answer.sends_body(&request.method) { answer.body.to_vec() } else { Vec::new() };
        let mut response =
            Response::builder().status(answer.status).header("content-length", answer.body.len());
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap_or_default()
    }
}
