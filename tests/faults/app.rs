//! The app behind the gateways: responds with the identity that it was told, or streams events.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::history::Seen;

/// Pause between two events of a stream.
const TICK: Duration = Duration::from_millis(20);

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl App {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { address, accepting }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
            buffer.extend_from_slice(&chunk[..read]);
        };
        let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<u8>>()).into_owned();
        let field = |name: &str| {
            let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            fields
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        if head.starts_with("GET /socket ") {
            return socket(stream, &field("sec-websocket-key")?).await;
        }
        if head.starts_with("GET /events ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(b"data: tick\n\n").await.ok()?;
                tokio::time::sleep(TICK).await;
            }
        }
        let body = json!({
            "user": field("x-auth-user"),
            "session": field("x-auth-session"),
            "roles": field("x-auth-roles"),
        });
        let body = body.to_string();
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(response.as_bytes()).await.ok()?;
    }
}

/// A WebSocket with a text now and then.
async fn socket(mut stream: TcpStream, key: &str) -> Option<()> {
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    loop {
        // A final frame of text, unmasked (RFC 6455 section 5.2).
        stream.write_all(b"\x81\x04tick").await.ok()?;
        tokio::time::sleep(TICK).await;
    }
}

/// Reads what the app responded; `None` for a response of the gateway.
pub(crate) fn seen(body: &Value) -> Option<Seen> {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let roles = text("roles")?;
    Some(Seen { user: text("user")?, session: text("session")?, roles: version(roles.split(',')) })
}

/// The version among the names of roles (`v7`); 0 without one.
pub(crate) fn version<'a>(mut roles: impl Iterator<Item = &'a str>) -> u32 {
    roles.find_map(|role| role.trim().strip_prefix('v')?.parse().ok()).unwrap_or(0)
}
