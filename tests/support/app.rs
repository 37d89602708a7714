//! An app behind the gateway that records every byte it receives. The request path selects the response.
//!
//! `/page…` is HTML with a form · `/hold…` waits until released · `/ws…` is a WebSocket that echoes messages ·
//! `/events…` streams until cut · `/download…` is 1 GiB that ends when it is cut · `/cookie…` sets gateway cookies and
//! its own · `/big…` 1 MiB · `/fields?<name>=<value>&…` sets these header fields (`+` is a blank, `%2C` a comma) ·
//! anything else: 200 with what was received.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::socket;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Everything before the body, to the byte.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// All values of a header, case-insensitive by name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let of = |field: &str| {
            field
                .split_once(':')
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.trim().to_owned())
        };
        self.head.lines().skip(1).filter_map(of).collect()
    }

    /// The only value of a header; fails the test when there are several.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut all = self.all(name);
        assert!(all.len() < 2, "{name} is there {} times: {}", all.len(), self.head);
        all.pop()
    }
}

const HTML: &str = "Content-Type: text/html; charset=utf-8\r\n";
/// A private page with a form.
const PAGE: &str = "<!doctype html><title>The app</title><h1>Ada's secret notes</h1>\
    <form method=post action=/page/saved><textarea name=text></textarea><button>Save</button></form>";

/// A running app.
pub(crate) struct TestApp {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    heads: AtomicUsize,
    release: Semaphore,
    /// Notified when the gateway closes a WebSocket or stream of this app.
    closed: Notify,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            heads: AtomicUsize::new(0),
            release: Semaphore::new(0),
            closed: Notify::new(),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { address, shared, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests received so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("not poisoned").clone()
    }

    /// Number of request headers received, including those with a body in transit.
    pub(crate) fn heads(&self) -> usize {
        self.shared.heads.load(Ordering::SeqCst)
    }

    /// The last request received.
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("the app was asked")
    }

    /// Releases `count` held requests.
    pub(crate) fn release(&self, count: usize) {
        self.shared.release.add_permits(count);
    }

    /// Resolves when the gateway has closed a WebSocket or stream.
    pub(crate) async fn until_closed(&self) {
        tokio::time::timeout(Duration::from_secs(30), self.shared.closed.notified())
            .await
            .expect("the stream is closed");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let seen = read(&mut stream, &mut buffer, &shared).await?;
        let target = seen.target().to_owned();
        let shown = seen.head.clone() + &format!("{} bytes of body", seen.body.len());
        let websocket_key = seen.header("sec-websocket-key").filter(|_| target.starts_with("/ws"));
        let head_only = seen.line().starts_with("HEAD ");
        shared.seen.lock().expect("not poisoned").push(seen);
        if target.starts_with("/hold") {
            shared.release.acquire().await.ok()?.forget();
        }
        if let Some(key) = websocket_key {
            stream.write_all(socket::accept(&key).as_bytes()).await.ok()?;
            socket::echo(stream).await;
            shared.closed.notify_one();
            return None;
        }
        if target.starts_with("/events") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await.ok()?;
            loop {
                if stream.write_all(b"data: tick\n\n").await.is_err() {
                    shared.closed.notify_one();
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        if target.starts_with("/download") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await.ok()?;
            let chunk = vec![b'x'; 64 * 1024];
            for _ in 0..(1 << 30) / chunk.len() {
                if stream.write_all(&chunk).await.is_err() {
                    shared.closed.notify_one();
                    return None;
                }
            }
        }
        let (extra, body) = if target.starts_with("/page") {
            (HTML.to_owned(), PAGE.to_owned())
        } else if target.starts_with("/cookie") {
            let cookies = "Set-Cookie: __Host-doorward-access=evil; Path=/\r\nSet-Cookie: app=1; Path=/\r\nSet-Cookie: __HOST-doorward-refresh=x\r\n";
            (cookies.to_owned(), shown)
        } else if let Some((_, fields)) = target.split_once("/fields?") {
            let fields = fields.replace('+', " ").replace("%2C", ",");
            let set = |field: &str| field.split_once('=').map(|(name, value)| format!("{name}: {value}\r\n"));
            (fields.split('&').filter_map(set).collect(), shown)
        } else if target.starts_with("/big") {
            (String::new(), "x".repeat(1 << 20))
        } else {
            (String::new(), shown)
        };
        let kind = if extra == HTML { "" } else { "Content-Type: text/plain\r\n" };
        let head = format!("HTTP/1.1 200 OK\r\n{kind}{extra}Content-Length: {}\r\n\r\n", body.len());
        // One write: with two, Nagle's algorithm would wait for the delayed acknowledgement.
        let response = if head_only { head } else { head + &body };
        stream.write_all(response.as_bytes()).await.ok()?;
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, shared: &Shared) -> Option<Seen> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<u8>>()).into_owned();
    shared.heads.fetch_add(1, Ordering::SeqCst);
    let mut seen = Seen { head, body: Vec::new() };
    if seen.header("transfer-encoding").is_some() {
        while !buffer.windows(5).any(|w| w == b"0\r\n\r\n") {
            more(stream, buffer).await?;
        }
        seen.body = std::mem::take(buffer);
    } else if let Some(length) = seen.header("content-length").and_then(|v| v.parse::<usize>().ok()) {
        while buffer.len() < length {
            more(stream, buffer).await?;
        }
        seen.body = buffer.drain(..length).collect();
    }
    Some(seen)
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = vec![0; 16 * 1024];
    match stream.read(&mut chunk).await {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            buffer.extend_from_slice(&chunk[..read]);
            Some(())
        }
    }
}
