//! HTTP/1.1 requests that never fail a test: whatever happens to one is its outcome.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::check::HUNG_UP;

/// Time after which a request counts as never answered.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Outcome of a request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// 0 without a response.
    pub(crate) status: u16,
    /// Code of a problem document; without a response, what happened.
    pub(crate) code: String,
    pub(crate) retry_after: bool,
    pub(crate) body: Value,
}

impl Outcome {
    pub(crate) fn lost(code: &str) -> Self {
        Self { status: 0, code: code.to_owned(), retry_after: false, body: Value::Null }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.body[name].as_str().map(str::to_owned)
    }
}

/// A request of one client.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) bearer: Option<&'a str>,
    pub(crate) body: Value,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str, bearer: Option<&'a str>) -> Self {
        Self { method: "GET", path, bearer, body: Value::Null }
    }

    pub(crate) fn post(path: &'a str, bearer: Option<&'a str>, body: Value) -> Self {
        Self { method: "POST", path, bearer, body }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n", self.method, self.path);
        if let Some(bearer) = self.bearer {
            text.push_str(&format!("Authorization: Bearer {bearer}\r\n"));
        }
        let body = if self.body.is_null() { String::new() } else { self.body.to_string() };
        if !body.is_empty() {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        (text + "\r\n" + &body).into_bytes()
    }

    /// Sends it and waits for the response.
    pub(crate) async fn send(&self, gateway: SocketAddr) -> Outcome {
        let outcome = tokio::time::timeout(PATIENCE, self.exchange(gateway)).await;
        outcome.unwrap_or_else(|_| Outcome::lost("timeout"))
    }

    /// Sends it and hangs up after `patience` without reading anything.
    pub(crate) async fn send_and_hang_up(&self, gateway: SocketAddr, patience: Duration) -> Outcome {
        let Ok(mut stream) = TcpStream::connect(gateway).await else { return Outcome::lost("refused") };
        if stream.write_all(&self.bytes()).await.is_ok() {
            tokio::time::sleep(patience).await;
        }
        Outcome::lost(HUNG_UP)
    }

    async fn exchange(&self, gateway: SocketAddr) -> Outcome {
        let Ok(mut stream) = TcpStream::connect(gateway).await else { return Outcome::lost("refused") };
        let _ = stream.set_nodelay(true);
        let mut bytes = Vec::new();
        if stream.write_all(&self.bytes()).await.is_err() {
            return Outcome::lost("cut");
        }
        // Bytes before a reset may be a whole response.
        let _ = stream.read_to_end(&mut bytes).await;
        parsed(&bytes).unwrap_or_else(|| Outcome::lost("cut"))
    }

    /// Opens a stream of events, or a WebSocket where `more` asks for one. Returns the refusal, or the connection behind the
    /// header of the response.
    pub(crate) async fn open(&self, gateway: SocketAddr, more: &str) -> Result<TcpStream, Outcome> {
        let opening = async {
            let mut stream = TcpStream::connect(gateway).await.map_err(|_| Outcome::lost("refused"))?;
            let request = String::from_utf8(self.bytes()).expect("text");
            let request = request.replacen("Connection: close\r\n", more, 1);
            stream.write_all(request.as_bytes()).await.map_err(|_| Outcome::lost("cut"))?;
            let mut bytes = Vec::new();
            loop {
                let mut chunk = [0; 1024];
                let read = stream.read(&mut chunk).await.unwrap_or(0);
                bytes.extend_from_slice(&chunk[..read]);
                let is_open = bytes.starts_with(b"HTTP/1.1 200") || bytes.starts_with(b"HTTP/1.1 101");
                if is_open && bytes.windows(4).any(|four| four == b"\r\n\r\n") {
                    return Ok(stream);
                }
                // The connection stays open after the refusal of a WebSocket.
                let refusal = parsed(&bytes).filter(|_| !is_open);
                if read == 0 || refusal.is_some() {
                    return Err(refusal.unwrap_or_else(|| Outcome::lost("cut")));
                }
            }
        };
        tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err(Outcome::lost("timeout")))
    }
}

fn parsed(bytes: &[u8]) -> Option<Outcome> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let field = |name: &str| {
        let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let body = &bytes[end + 4..];
    // A body that was cut is no response.
    if field("content-length").and_then(|length| length.parse().ok()) != Some(body.len()) {
        return None;
    }
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    Some(Outcome {
        status: head.split(' ').nth(1)?.parse().ok()?,
        code: body["code"].as_str().unwrap_or_default().to_owned(),
        retry_after: field("retry-after").is_some(),
        body,
    })
}
