//! A gateway process and its clients.

use std::net::SocketAddr;
use std::process::{Command, ExitStatus};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually::assert_eventually;
use crate::house::PASSWORD;
use crate::http::{self, Response};
use crate::process::{self, Running};

/// A running `doorward serve`; killed when dropped.
pub(crate) struct Serving {
    pub(crate) process: Running,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Serving {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::of(Running::start(command))
    }

    /// Waits until it has printed its addresses.
    pub(crate) fn of(process: Running) -> Self {
        let public = address(&process, "public", "doorward serves ");
        let admin = address(&process, "admin", "metrics and health on ");
        Self { process, public, admin }
    }

    pub(crate) fn signal(&self, name: &str) {
        process::signal(self.process.id(), name);
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.process.end().0
    }

    /// Sends SIGTERM and returns all lines of its log.
    pub(crate) fn log(self) -> Vec<Value> {
        self.signal("TERM");
        let (status, _, lines) = self.process.end();
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }

    pub(crate) async fn get(&self, path: &str, access: &str) -> Response {
        self.call("GET", path, access, &[], b"").await
    }

    /// Sends a request of any method with a bearer.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        access: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let bearer = format!("Bearer {access}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(more);
        http::request(self.public, method, path, &headers, body).await
    }

    pub(crate) async fn login(&self, name: &str) -> Tokens {
        Tokens::of(&self.sign_in(name, PASSWORD).await)
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Response {
        let body = credentials(name, password);
        post(self.public, "/auth/login", &body).await.expect("an answer")
    }

    pub(crate) async fn refresh(&self, token: &str) -> Response {
        post(self.public, "/auth/refresh", &json!({ "refresh_token": token })).await.expect("an answer")
    }

    /// Status and code of the refusal for `path`.
    pub(crate) async fn refusal(&self, path: &str, access: &str) -> (u16, String) {
        code(&self.get(path, access).await)
    }
}

/// Tokens of a login or refresh response.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) session: String,
}

impl Tokens {
    pub(crate) fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{}", response.text());
        Self {
            access: response.member("access_token"),
            refresh: response.member("refresh_token"),
            session: response.member("session_id"),
        }
    }
}

/// Status and code of a refusal.
pub(crate) fn code(response: &Response) -> (u16, String) {
    (response.status, response.code())
}

pub(crate) fn credentials(name: &str, password: &str) -> Value {
    json!({ "username": name, "password": password })
}

/// Sends `POST` with JSON; `None` without a complete response, for example when the gateway is killed.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &Value) -> Option<Response> {
    send(address, path, &[("Content-Type", "application/json")], body.to_string().as_bytes()).await
}

/// Sends `POST /auth/logout`; `None` without a complete response.
pub(crate) async fn logout(address: SocketAddr, access: &str) -> Option<Response> {
    send(address, "/auth/logout", &[("Authorization", &format!("Bearer {access}"))], b"").await
}

async fn send(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Response> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut headers = headers.to_vec();
    headers.push(("Connection", "close"));
    stream.write_all(&http::message("POST", path, &headers, body)).await.ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (line, fields) = head.split_once("\r\n")?;
    let pair =
        |field: &str| field.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let response = Response {
        status: line.split(' ').nth(1)?.parse().ok()?,
        headers: fields.lines().filter_map(pair).collect(),
        body: body.as_bytes().to_vec(),
    };
    let length: usize = response.header("content-length")?.parse().ok()?;
    (response.body.len() == length).then_some(response)
}

/// Address of a listener in the next line: a JSON line, or a sentence as the previous release prints it.
fn address(process: &Running, listener: &str, start: &str) -> SocketAddr {
    let line = process.line().unwrap_or_else(|| panic!("it ended: {}", process.complaint_with("")));
    let text = match serde_json::from_str::<Value>(&line) {
        Ok(record) => {
            assert_eq!(
                (&record["reason"], &record["listener"]),
                (&json!("listening"), &json!(listener)),
                "{line}"
            );
            record["address"].as_str().unwrap_or_default().to_owned()
        }
        Err(_) => {
            let rest = line.strip_prefix(start).unwrap_or_else(|| panic!("not `{start}`: {line}"));
            rest.trim_start_matches("http://").trim_start_matches("https://").to_owned()
        }
    };
    text.parse().unwrap_or_else(|_| panic!("no address: {line}"))
}

/// Fails unless every token of the sessions is soon refused and stays refused.
pub(crate) async fn assert_revoked(gateway: &Serving, sessions: &[&Tokens]) {
    let patience = std::time::Duration::from_secs(20);
    for tokens in sessions {
        let followed = async || gateway.get("/", &tokens.access).await.status == 401;
        assert_eventually("the gateway follows", patience, followed).await;
        assert_eq!(gateway.refusal("/", &tokens.access).await, (401, "token_revoked".into()));
        assert_eq!(code(&gateway.refresh(&tokens.refresh).await), (401, "refresh_invalid".into()));
    }
}
