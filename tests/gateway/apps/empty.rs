//! Responses without content (to HEAD, 204, 205, 304): they end with their header section, and their connections are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::scene::{BOTH, Scene, Wire};
use crate::support::http::message;
use crate::support::http2;

/// Longer than the clients wait for any part of a response: a response that waits for it fails the test.
const TIMEOUT: &str = "timeout = \"10m\"";

/// Requests whose responses have no content, with the status that the path names.
const EMPTY: [(&str, &str, u16); 5] = [
    ("HEAD", "/200", 200),
    ("GET", "/304", 304),
    ("HEAD", "/304", 304),
    ("GET", "/204", 204),
    ("GET", "/205", 205),
];

/// An app whose path names the status: 200 has five bytes of content, and others have none.
struct App {
    server: String,
    /// Number of accepted connections.
    connections: Arc<AtomicUsize>,
    /// Lets the app break off the response in progress.
    breaks_off: Arc<Notify>,
    serving: JoinHandle<()>,
}

/// How responses without content end, if not with their header section.
#[derive(Clone)]
struct Fault {
    /// Code of the reset. Over HTTP/1.1 the connection is closed instead.
    reason: Reason,
    after: Arc<Notify>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl App {
    /// With a reason, responses without content are broken off.
    async fn start(wire: Wire, reason: Option<Reason>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let scheme = if wire == Wire::Http1 { "http" } else { "h2c" };
        let server = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let breaks_off = Arc::new(Notify::new());
        let fault = reason.map(|reason| Fault { reason, after: Arc::clone(&breaks_off) });
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                match wire {
                    Wire::Http1 => tokio::spawn(http1(stream, fault.clone())),
                    Wire::Http2 => tokio::spawn(http2(stream, fault.clone())),
                };
            }
        });
        Self { server, connections, breaks_off, serving }
    }
}

async fn http1(mut stream: TcpStream, fault: Option<Fault>) {
    let mut received = Vec::new();
    loop {
        while !received.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8(std::mem::take(&mut received)).expect("text");
        let is_head = head.starts_with("HEAD ");
        let status =
            head.split(' ').nth(1).and_then(|path| path.strip_prefix('/')).expect("a status").to_owned();
        let length = match (status.as_str(), &fault) {
            ("204", _) => "",
            ("205", None) => "Content-Length: 0\r\n",
            // A 304 has the length of the 200 (RFC 9110 section 8.6). The content of the 205 is cut off.
            _ => "Content-Length: 5\r\n",
        };
        let content = if status == "200" && !is_head { "hello" } else { "" };
        let response = format!("HTTP/1.1 {status} Named\r\n{length}\r\n{content}");
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
        if let Some(fault) = fault.as_ref().filter(|_| content.is_empty()) {
            return fault.after.notified().await;
        }
    }
}

async fn http2(stream: TcpStream, fault: Option<Fault>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let status = request.uri().path().trim_start_matches('/').parse::<u16>().expect("a status");
        let is_empty = status != 200 || request.method() == http::Method::HEAD;
        let mut response = http::Response::builder().status(status);
        if matches!(status, 200 | 304) {
            response = response.header("content-length", "5");
        }
        let response = response.body(()).expect("a response");
        let mut send = respond.send_response(response, is_empty && fault.is_none()).expect("sent");
        match fault.clone().filter(|_| is_empty) {
            Some(Fault { reason, after }) => {
                tokio::spawn(async move {
                    after.notified().await;
                    send.send_reset(reason);
                });
            }
            None if is_empty => {}
            None => send.send_data(Bytes::from_static(b"hello"), true).expect("sent"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_responses_end_at_once_and_keep_both_connections() {
    for app_wire in BOTH {
        let app = App::start(app_wire, None).await;
        let scene = Scene::before(&app.server, "", TIMEOUT).await;
        let (mut http1, mut http2) = (scene.http1().await, scene.http2().await);
        // The app announces no keep-alive timeout: from now on its connections are kept.
        for _ in 0..2 {
            assert_eq!(http1.request("GET", "/200", &[], b"").await.status, 200);
        }
        let connections = app.connections.load(Ordering::Relaxed);
        for (method, path, status) in EMPTY {
            // The next response on the connection shows where the empty one ended.
            let response = http1.request(method, path, &[], b"").await;
            assert_eq!(
                (response.status, response.body.len()),
                (status, 0),
                "{method} {path} to {app_wire:?}"
            );
            assert_eq!(http1.request("GET", "/200", &[], b"").await.text(), "hello", "{method} {path}");

            let response = http2.request(method, path, &[], b"").await;
            assert_eq!(
                (response.status, response.body.len()),
                (status, 0),
                "{method} {path} to {app_wire:?}"
            );
            assert_eq!(http2.request("GET", "/200", &[], b"").await.text(), "hello", "{method} {path}");
        }
        // A response may reach the client before its connection is back in the pool, so a few more may be made, not one each.
        let made = app.connections.load(Ordering::Relaxed) - connections;
        assert!(made < EMPTY.len(), "{made} to {app_wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_response_is_complete_when_the_app_breaks_it_off() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        for app_wire in BOTH {
            let app = App::start(app_wire, Some(reason)).await;
            let scene = Scene::before(&app.server, "", TIMEOUT).await;
            let mut http2 = scene.http2().await;
            for (method, path, status) in EMPTY {
                let context = format!("{method} {path} to {app_wire:?}, {reason:?}");
                let response = http2.ask(method, path, &[], b"").await.expect("a header section");
                app.breaks_off.notify_one();
                let response = http2::whole(response).await;
                assert_eq!((response.status, response.body.len()), (status, 0), "{context}");
                assert_eq!(http2.request("GET", "/200", &[], b"").await.text(), "hello", "{context}");

                let mut http1 = scene.http1().await;
                let response = http1.request(method, path, &[], b"").await;
                app.breaks_off.notify_one();
                assert_eq!((response.status, response.body.len()), (status, 0), "{context}");
                // The connection serves the next request or is closed: nothing else follows the response.
                http1.try_send(&message("GET", "/200", &[], b"")).await;
                let next = http1.response("GET").await.map(|response| response.text());
                assert!(next.is_none() || next.as_deref() == Some("hello"), "{context}: {next:?}");
            }
            let failed = scene.gateway.metric("doorward_requests_total{class=\"5xx\"").await;
            let aborted = scene.gateway.metric("doorward_requests_total{class=\"none\"").await;
            assert_eq!((failed, aborted), (0.0, 0.0), "{app_wire:?}, {reason:?}");
        }
    }
}
