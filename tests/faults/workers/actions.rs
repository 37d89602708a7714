//! Actions of clients and operators, one recorded operation each.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::Desk;
use super::people::password;
use crate::app;
use crate::client::{Outcome, Request};
use crate::history::{Entry, Micros, Op, Scope};

/// A session as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) user: &'static str,
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// Version of the roles in the access token.
    pub(crate) roles: u32,
    /// Since when the refresh token has been presented without a response.
    pub(crate) pending: Option<Instant>,
    /// When a refresh was last sent that had no response.
    pub(crate) unanswered: Option<Instant>,
}

/// Time after which a refresh without a response has been decided. A starved gateway may hold it for seconds.
const DECIDED: Duration = Duration::from_secs(15);

/// Handshake of a WebSocket, with the key of RFC 6455 section 1.3.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

impl Session {
    /// Returns true while a gateway may still hold a refresh without a response. A client that goes on by two generations
    /// meanwhile loses its session: that refresh is then a reuse, by the rules.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unanswered.is_some_and(|at| at.elapsed() < DECIDED)
    }

    fn note_unanswered(&mut self) {
        self.pending.get_or_insert_with(Instant::now);
        self.unanswered = Some(Instant::now());
    }
}

/// Short name of a token: its last characters are of its MAC.
fn short(token: &str) -> String {
    token[token.len().saturating_sub(14)..].to_owned()
}

fn roles_of(access: &str) -> u32 {
    let claims = access.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let roles = claims["roles"].as_array().cloned().unwrap_or_default();
    app::version(roles.iter().filter_map(Value::as_str))
}

impl Desk {
    fn now(&self) -> Micros {
        self.fleet.recorder.now()
    }

    /// Records an operation that began at `start` and ends now. It is a client's own (`by`), or nobody's.
    fn record(&self, (start, gateway): (Micros, Option<usize>), by: (&str, &str), op: Op, outcome: &Outcome) {
        let was_forwarded = matches!(op, Op::Call { .. }) && outcome.status == 200;
        self.fleet.recorder.record(Entry {
            start,
            end: self.now(),
            gateway,
            user: by.0.to_owned(),
            session: by.1.to_owned(),
            op,
            status: outcome.status,
            code: outcome.code.clone(),
            retry_after: outcome.retry_after,
            seen: if was_forwarded { app::seen(&outcome.body) } else { None },
        });
    }

    /// Requests the signed-in route.
    pub(crate) async fn call(&self, gateway: usize, session: &Session) -> Outcome {
        let start = self.now();
        let address = self.fleet.address(gateway);
        let outcome = match &self.kept {
            Some(kept) => kept.call(gateway, address, &session.access).await,
            None => Request::get("/", Some(&session.access)).send(address).await,
        };
        let op = Op::Call { roles: session.roles };
        self.record((start, Some(gateway)), (session.user, &session.id), op, &outcome);
        outcome
    }

    pub(crate) async fn call_public(&self, gateway: usize) {
        let start = self.now();
        let outcome = Request::get("/public", None).send(self.fleet.address(gateway)).await;
        self.record((start, Some(gateway)), ("", ""), Op::Public, &outcome);
    }

    pub(crate) async fn log_in(&self, gateway: usize, user: &'static str) -> Option<Session> {
        self.log_in_with(gateway, user, self.people.user(user).password()).await
    }

    /// Signs in with this version of the password.
    pub(crate) async fn log_in_with(
        &self,
        gateway: usize,
        user: &'static str,
        version: u32,
    ) -> Option<Session> {
        let start = self.now();
        let body = json!({ "username": user, "password": password(version) });
        let outcome = Request::post("/auth/login", None, body).send(self.fleet.address(gateway)).await;
        let session = tokens(user, &outcome);
        let id = session.as_ref().map_or("", |session| session.id.as_str());
        self.record((start, Some(gateway)), (user, id), Op::Login { password: version }, &outcome);
        session
    }

    /// Presents the refresh token. A response replaces the session's tokens.
    pub(crate) async fn refresh(&self, gateway: usize, session: &mut Session) -> Outcome {
        let presented = session.refresh.clone();
        let outcome = self.present(gateway, session, &presented).await;
        if let Some(next) = tokens(session.user, &outcome) {
            *session = Session { id: session.id.clone(), unanswered: session.unanswered, ..next };
        } else {
            session.note_unanswered();
        }
        outcome
    }

    /// Presents a refresh token and forgets the response.
    pub(crate) async fn present(&self, gateway: usize, session: &Session, token: &str) -> Outcome {
        let start = self.now();
        let request = Request::post("/auth/refresh", None, json!({ "refresh_token": token }));
        let outcome = request.send(self.fleet.address(gateway)).await;
        let got = outcome.text("refresh_token").filter(|_| outcome.status == 200);
        let op = Op::Refresh { presented: short(token), got: got.as_deref().map(short) };
        self.record((start, Some(gateway)), (session.user, &session.id), op, &outcome);
        outcome
    }

    /// Presents the refresh token and closes before the response is read.
    pub(crate) async fn refresh_and_hang_up(&mut self, gateway: usize, session: &mut Session) {
        session.note_unanswered();
        let (start, address) = (self.now(), self.fleet.address(gateway));
        let request = Request::post("/auth/refresh", None, json!({ "refresh_token": session.refresh }));
        let patience = Duration::from_millis(self.choices.below(20) as u64);
        let outcome = request.send_and_hang_up(address, patience).await;
        let op = Op::Refresh { presented: short(&session.refresh), got: None };
        self.record((start, Some(gateway)), (session.user, &session.id), op, &outcome);
    }

    /// Ends sessions over HTTP. Returns true when it is acknowledged.
    pub(crate) async fn end(&self, gateway: usize, by: &Session, request: Request<'_>, scope: Scope) -> bool {
        let start = self.now();
        let outcome = request.send(self.fleet.address(gateway)).await;
        let complete = outcome.text("propagation").as_deref() == Some("complete");
        let op = Op::End { scope, complete, how: format!("{} {}", request.method, request.path) };
        self.record((start, Some(gateway)), (by.user, &by.id), op, &outcome);
        outcome.status == 200
    }

    /// Sets a new password over HTTP, which ends the user's other sessions.
    pub(crate) async fn change_password(&self, gateway: usize, session: &Session) -> bool {
        let user = self.people.user(session.user);
        let (old, version) = (user.password(), user.next_version());
        let body = json!({ "current_password": password(old), "new_password": password(version) });
        let start = self.now();
        let request = Request::post("/auth/password", Some(&session.access), body);
        let outcome = request.send(self.fleet.address(gateway)).await;
        let complete = outcome.text("propagation").as_deref() == Some("complete");
        let scope = Scope::Others(session.id.clone());
        let op = Op::End { scope, complete, how: "POST /auth/password".to_owned() };
        self.record((start, Some(gateway)), (session.user, &session.id), op, &outcome);
        let op = Op::Password { version };
        self.record((start, Some(gateway)), (session.user, &session.id), op, &outcome);
        if outcome.status == 200 {
            user.set_password(version);
        }
        outcome.status == 200
    }

    /// Runs a command that changes `user` and records it as these operations.
    pub(crate) async fn command(&self, user: &str, words: &[&str], stdin: &str, ops: &[Op]) -> bool {
        let start = self.now();
        let result = self.fleet.command(words, stdin).await;
        let outcome = Outcome {
            status: if result.is_ok() { 200 } else { 0 },
            code: result.as_ref().err().cloned().unwrap_or_default(),
            retry_after: false,
            body: Value::Null,
        };
        for op in ops {
            self.record((start, None), (user, ""), op.clone(), &outcome);
        }
        result.is_ok()
    }

    /// The command line ends one session.
    pub(crate) async fn revoke(&self, session: &Session) -> bool {
        let op =
            Op::End { scope: Scope::Session(session.id.clone()), complete: false, how: "revoke".to_owned() };
        self.command(session.user, &["session", "revoke", &session.id], "", &[op]).await
    }

    /// Reads a stream until it is cut, or until `patience` is over after `ended`, and records it.
    pub(crate) async fn watch(
        &self,
        gateway: usize,
        session: &Session,
        (start, mut stream): (Micros, tokio::net::TcpStream),
        patience: Duration,
    ) {
        let mut last = start;
        let reading = async {
            let mut chunk = [0; 4096];
            while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {
                last = self.now();
            }
        };
        let _ = tokio::time::timeout(patience, reading).await;
        let outcome = Outcome { status: 200, code: String::new(), retry_after: false, body: Value::Null };
        let op = Op::Stream { roles: session.roles, last };
        self.record((start, Some(gateway)), (session.user, &session.id), op, &outcome);
    }

    /// Opens a stream of events or a WebSocket; a refusal is recorded.
    pub(crate) async fn open_stream(
        &self,
        gateway: usize,
        is_socket: bool,
        session: &Session,
    ) -> Option<(Micros, tokio::net::TcpStream)> {
        let start = self.now();
        let (path, more) = if is_socket { ("/socket", UPGRADE) } else { ("/events", "") };
        match Request::get(path, Some(&session.access)).open(self.fleet.address(gateway), more).await {
            Ok(stream) => Some((start, stream)),
            Err(outcome) => {
                let op = Op::Stream { roles: session.roles, last: 0 };
                self.record((start, Some(gateway)), (session.user, &session.id), op, &outcome);
                None
            }
        }
    }
}

/// Tokens of a login or a refresh.
fn tokens(user: &'static str, outcome: &Outcome) -> Option<Session> {
    let (id, access) = (outcome.text("session_id")?, outcome.text("access_token")?);
    let (refresh, roles) = (outcome.text("refresh_token")?, roles_of(&access));
    Some(Session { user, id, access, refresh, roles, pending: None, unanswered: None })
}
