//! An app scripted by the test, over HTTP/1.1 and HTTP/2 with prior knowledge, and clients for both.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::http::Response;
use crate::support::http2::{self, Http2};
use crate::support::tls::{self, Trust};
use crate::support::{Client, Setup, TestGateway};

/// Protocol of an app or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Http1,
    Http2,
}

pub(super) const BOTH: [Wire; 2] = [Wire::Http1, Wire::Http2];

/// Timeout that only ends a hang.
pub(super) const HANG: Duration = Duration::from_secs(60);

/// One request received by the app.
pub(super) struct Exchange {
    inner: Inner,
}

enum Inner {
    Http1 { stream: TcpStream, buffer: Vec<u8>, left: Left },
    Http2 { body: RecvStream, respond: SendResponse<Bytes>, send: Option<SendStream<Bytes>> },
}

enum Left {
    Bytes(usize),
    Chunks,
}

impl Exchange {
    async fn http1(mut stream: TcpStream) -> Option<Self> {
        let mut buffer = Vec::new();
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).ok()?;
        let lowered = head.to_ascii_lowercase();
        let length = lowered.split_once("content-length: ").map(|(_, rest)| rest.lines().next());
        let left = match length {
            Some(length) => Left::Bytes(length?.parse().ok()?),
            None if lowered.contains("transfer-encoding: chunked") => Left::Chunks,
            None => Left::Bytes(0),
        };
        Some(Self { inner: Inner::Http1 { stream, buffer, left } })
    }

    fn http2(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        Self { inner: Inner::Http2 { body: request.into_body(), respond, send: None } }
    }

    /// The complete body; `None` when it is aborted.
    pub(super) async fn body(&mut self) -> Option<Vec<u8>> {
        match &mut self.inner {
            Inner::Http1 { stream, buffer, left: Left::Bytes(left) } => {
                while buffer.len() < *left {
                    if stream.read_buf(buffer).await.ok()? == 0 {
                        return None;
                    }
                }
                Some(buffer.drain(..std::mem::take(left)).collect())
            }
            Inner::Http1 { stream, buffer, left: Left::Chunks } => {
                while !buffer.ends_with(b"0\r\n\r\n") {
                    if stream.read_buf(buffer).await.ok()? == 0 {
                        return None;
                    }
                }
                let mut whole = Vec::new();
                let mut rest = &buffer[..];
                loop {
                    let end = rest.windows(2).position(|w| w == b"\r\n")?;
                    let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
                    if size == 0 {
                        return Some(whole);
                    }
                    whole.extend_from_slice(&rest[end + 2..end + 2 + size]);
                    rest = &rest[end + 2 + size + 2..];
                }
            }
            Inner::Http2 { body, .. } => {
                let mut whole = Vec::new();
                while let Some(part) = body.data().await {
                    let part = part.ok()?;
                    let _ = body.flow_control().release_capacity(part.len());
                    whole.extend_from_slice(&part);
                }
                Some(whole)
            }
        }
    }

    /// Starts a response of unknown length.
    pub(super) async fn respond(&mut self, kind: &str) {
        match &mut self.inner {
            Inner::Http1 { stream, .. } => {
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
            }
            Inner::Http2 { respond, send, .. } => {
                let head = http::Response::builder().header("content-type", kind).body(()).expect("a head");
                *send = respond.send_response(head, false).ok();
            }
        }
    }

    /// Sends a part of the response body. Returns false if the gateway did not accept it.
    pub(super) async fn part(&mut self, part: &[u8]) -> bool {
        match &mut self.inner {
            Inner::Http1 { stream, .. } => {
                let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
                chunk.extend_from_slice(part);
                chunk.extend_from_slice(b"\r\n");
                stream.write_all(&chunk).await.is_ok()
            }
            Inner::Http2 { send, .. } => match send {
                Some(send) => send_all(send, part).await.is_some(),
                None => false,
            },
        }
    }

    /// Ends the response. Over HTTP/1.1 it returns the connection for the next request.
    pub(super) async fn end(self) -> Option<TcpStream> {
        match self.inner {
            Inner::Http1 { mut stream, .. } => {
                stream.write_all(b"0\r\n\r\n").await.ok()?;
                Some(stream)
            }
            Inner::Http2 { mut send, .. } => {
                let _ = send.as_mut()?.send_data(Bytes::new(), true);
                None
            }
        }
    }

    /// Sends a complete response.
    pub(super) async fn done(mut self, part: &[u8]) -> Option<TcpStream> {
        self.respond("text/plain").await;
        self.part(part).await;
        self.end().await
    }

    /// Waits until the gateway aborts the request.
    pub(super) async fn until_given_up(mut self) {
        match &mut self.inner {
            Inner::Http1 { stream, .. } => {
                while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
            }
            Inner::Http2 { respond, send, .. } => {
                let _ = std::future::poll_fn(|cx| match send {
                    Some(send) => send.poll_reset(cx),
                    None => respond.poll_reset(cx),
                })
                .await;
            }
        }
    }
}

async fn send_all(send: &mut SendStream<Bytes>, mut part: &[u8]) -> Option<()> {
    while !part.is_empty() {
        send.reserve_capacity(part.len());
        let given = std::future::poll_fn(|cx| send.poll_capacity(cx)).await?.ok()?.min(part.len());
        send.send_data(Bytes::copy_from_slice(&part[..given]), false).ok()?;
        part = &part[given..];
    }
    Some(())
}

/// A running app.
pub(super) struct App {
    /// URL of the app, with its scheme.
    pub(super) server: String,
    serving: JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl App {
    /// Runs `handle` for each request. Over HTTP/1.1 it returns the connection if it can be reused.
    pub(super) async fn start<F, Answering>(wire: Wire, handle: F) -> Self
    where
        F: Fn(Exchange) -> Answering + Send + Sync + 'static,
        Answering: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let scheme = if wire == Wire::Http1 { "http" } else { "h2c" };
        let handle = Arc::new(handle);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handle = Arc::clone(&handle);
                tokio::spawn(async move {
                    match wire {
                        Wire::Http1 => {
                            let mut next = Some(stream);
                            while let Some(stream) = next.take()
                                && let Some(exchange) = Exchange::http1(stream).await
                            {
                                next = handle(exchange).await;
                            }
                        }
                        Wire::Http2 => {
                            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                            while let Some(Ok((request, respond))) = connection.accept().await {
                                tokio::spawn(handle(Exchange::http2(request, respond)));
                            }
                        }
                    }
                });
            }
        });
        Self { server: format!("{scheme}://{address}"), serving }
    }
}

/// A gateway over TLS with a public route to this app.
pub(super) struct Scene {
    pub(super) gateway: TestGateway,
    trust: Trust,
}

impl Scene {
    /// `upstream` and `route` are extra lines for those sections.
    pub(super) async fn before(server: &str, upstream: &str, route: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let trust = Trust::of(&[&tls::make(folder.path(), "app", &["gateway.test"])]);
        let setup = Setup {
            public_url: "https://gateway.test".to_owned(),
            server: "[server.tls]\ncertificates = [{ cert_file = \"app.crt\", key_file = \"app.key\" }]\n"
                .to_owned(),
            routes: format!(
                "[upstreams.other]\nservers = [\"{server}\"]\n{upstream}\n[[routes]]\nname = \"open\"\npath = \"/\"\n\
                 access = \"public\"\nupstream = \"other\"\n{route}\n"
            ),
            folder: Some(folder),
            ..Setup::default()
        };
        Self { gateway: TestGateway::with(setup).await, trust }
    }

    /// Opens a connection for one request.
    pub(super) async fn ask(&self, wire: Wire) -> Asking {
        match wire {
            Wire::Http1 => Asking::Http1(Box::new(self.http1().await)),
            Wire::Http2 => Asking::Http2(Box::new(self.http2().await), None),
        }
    }

    /// Opens an HTTP/1.1 connection.
    pub(super) async fn http1(&self) -> Client<Tls> {
        let stream = self.trust.connect(self.gateway.address(), "gateway.test").await;
        Client::over(stream.expect("a handshake"))
    }

    /// Opens an HTTP/2 connection.
    pub(super) async fn http2(&self) -> Http2 {
        Http2::connect(&self.trust, self.gateway.address(), "gateway.test").await
    }
}

/// An encrypted connection.
pub(super) type Tls = tokio_rustls::client::TlsStream<TcpStream>;

/// A client with one request.
pub(super) enum Asking {
    Http1(Box<Client<Tls>>),
    Http2(Box<Http2>, Option<(h2::client::ResponseFuture, SendStream<Bytes>)>),
}

impl Asking {
    /// Sends the header; `is_whole` means that there is no body.
    pub(super) async fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)], is_whole: bool) {
        match self {
            Self::Http1(client) => {
                let mut all = headers.to_vec();
                if !is_whole {
                    all.push(("Transfer-Encoding", "chunked"));
                }
                client.send(&crate::support::http::message(method, path, &all, b"")).await;
            }
            Self::Http2(client, sent) => {
                let lowered: Vec<_> =
                    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
                let headers: Vec<_> = lowered.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                let body = is_whole.then_some(&b""[..]);
                *sent = Some(client.send(method, path, &headers, body).await.expect("sent"));
            }
        }
    }

    /// Sends a part of the body, or its end. Returns false if it could not be sent.
    pub(super) async fn part(&mut self, part: &[u8]) -> bool {
        match self {
            Self::Http1(client) => {
                let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
                chunk.extend_from_slice(part);
                chunk.extend_from_slice(b"\r\n");
                client.try_send(&chunk).await
            }
            Self::Http2(_, sent) => {
                let (_, send) = sent.as_mut().expect("begun");
                if part.is_empty() {
                    return send.send_data(Bytes::new(), true).is_ok();
                }
                send_all(send, part).await.is_some()
            }
        }
    }

    /// The response; `None` when it is aborted.
    pub(super) async fn response(self) -> Option<Response> {
        let answering = async {
            match self {
                Self::Http1(mut client) => client.response("GET").await,
                Self::Http2(_client, sent) => {
                    let (response, _send) = sent?;
                    let mut response = http2::head(response).await.ok()?;
                    let mut body = Vec::new();
                    while let Some(part) = response.body.data().await {
                        let part = part.ok()?;
                        let _ = response.body.flow_control().release_capacity(part.len());
                        body.extend_from_slice(&part);
                    }
                    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                    };
                    let headers = response.headers.iter().map(pair).collect();
                    Some(Response { status: response.status, headers, body })
                }
            }
        };
        tokio::time::timeout(HANG, answering).await.expect("an answer or an end")
    }
}
