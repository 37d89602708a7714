//! A raw HTTP/1.1 client that sends and reads exact bytes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Response timeout; exceeding it fails the test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A complete response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let of = |(known, value): &'_ (String, String)| {
            known.eq_ignore_ascii_case(name).then_some(()).map(|()| value.len())
        };
        self.headers.iter().filter(|h| of(h).is_some()).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {} {}", self.status, self.text()))
    }

    /// A member of a JSON object, as text.
    pub(crate) fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {}", self.text())).to_owned()
    }

    /// The stable code of a problem document.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        assert_eq!(self.json()["status"], self.status);
        self.member("code")
    }
}

/// One connection for sequential requests.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("the gateway listens")
    }

    pub(crate) async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address).await?))
    }

    /// Opens a connection and sends a `GET` with a bearer, without waiting for the response.
    pub(crate) async fn asking(address: SocketAddr, target: &str, bearer: &str) -> Self {
        let mut client = Self::connect(address).await;
        let bearer = format!("Bearer {bearer}");
        client.send(&message("GET", target, &[("Authorization", &bearer)], b"")).await;
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client on an existing connection.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends raw bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the connection is open");
    }

    /// Sends raw bytes. Returns false if the connection did not accept them.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The underlying connection.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Sends a request with `Host` and `Content-Length`, and reads the response.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send(&message(method, target, headers, body)).await;
        self.response(method).await.expect("a response")
    }

    /// Reads a response header and its body; `None` when the connection is closed instead.
    pub(crate) async fn response(&mut self, method: &str) -> Option<Response> {
        let reading = async {
            let mut response = self.head().await?;
            while response.status / 100 == 1 && response.status != 101 {
                response = self.head().await?;
            }
            response.body = self.body(method, &response).await?;
            Some(response)
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an answer or an end in time")
    }

    /// Reads only a response header.
    pub(crate) async fn head(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer.drain(..end).collect::<Vec<u8>>()).into_owned();
        let (line, fields) = head.split_once("\r\n").expect("a status line");
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| panic!("a status in {line:?}"));
        let pair = |field: &str| {
            field.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        };
        Some(Response { status, headers: fields.lines().filter_map(pair).collect(), body: Vec::new() })
    }

    async fn body(&mut self, method: &str, response: &Response) -> Option<Vec<u8>> {
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Some(Vec::new());
        }
        if response.header("transfer-encoding").is_some() {
            return self.chunks().await;
        }
        match response.header("content-length").and_then(|v| v.parse::<usize>().ok()) {
            Some(length) => {
                while self.buffer.len() < length {
                    self.more().await?;
                }
                Some(self.buffer.drain(..length).collect())
            }
            None => {
                while self.more().await.is_some() {}
                Some(std::mem::take(&mut self.buffer))
            }
        }
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let end = loop {
                match self.buffer.windows(2).position(|w| w == b"\r\n") {
                    Some(at) => break at,
                    None => self.more().await?,
                }
            };
            let size = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let size =
                usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).expect("a chunk size");
            while self.buffer.len() < end + 2 + size + 2 {
                self.more().await?;
            }
            whole.extend_from_slice(&self.buffer[end + 2..end + 2 + size]);
            self.buffer.drain(..end + 2 + size + 2);
            if size == 0 {
                return Some(whole);
            }
        }
    }

    /// Reads at least one byte; `None` when the connection is closed.
    pub(crate) async fn some(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() {
            self.more().await?;
        }
        Some(std::mem::take(&mut self.buffer))
    }

    /// Reads until the peer closes or resets the connection; fails the test if it does not.
    pub(crate) async fn until_closed(&mut self) {
        let closed = async { while self.more().await.is_some() {} };
        tokio::time::timeout(PATIENCE, closed).await.expect("the connection is closed");
    }

    /// Shuts down the write side.
    pub(crate) async fn shut(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Closes the connection at once.
    pub(crate) fn hang_up(self) {
        drop(self.stream);
    }

    /// Fails the test after four times the patience: some tests let a peer be silent for longer than the patience.
    async fn more(&mut self) -> Option<()> {
        let mut chunk = vec![0; 16 * 1024];
        let reading = tokio::time::timeout(4 * PATIENCE, self.stream.read(&mut chunk));
        match reading.await.expect("something or an end in time") {
            Ok(0) | Err(_) => None,
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Some(())
            }
        }
    }
}

/// A request with `Host` (unless given) and, with a body, `Content-Length`.
pub(crate) fn message(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("Host: gateway.test\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends one request on a new connection.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    Client::connect(address).await.request(method, target, headers, body).await
}
