//! Clients of every version: each sends a request in its shape and parses the response as strictly as the RFCs allow.

use bytes::Bytes;
use http::{HeaderMap, Request as Head2};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::app::{CASE, NAMED, WANTS};
use crate::shapes::{Request, Response, Sends, Speaks};
use crate::wire::{Head, Stop, Wire};
use crate::world::World;

/// End of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Complete according to its framing.
    Whole,
    /// By the end of the connection, which is its framing.
    ByClosing,
    /// Aborted.
    Broken,
}

/// The received response.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) informational: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) content: Vec<u8>,
    pub(crate) has_trailers: bool,
    pub(crate) ended: Ended,
}

/// A client with a reused connection.
pub(crate) enum Client {
    Http10,
    Http11(Option<Box<Wire<TlsStream<TcpStream>>>>),
    Http2(Option<h2::client::SendRequest<Bytes>>),
}

/// One exchange.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) request: &'a Request,
    pub(crate) response: &'a Response,
    /// Path that routes to the app.
    pub(crate) path: &'a str,
    pub(crate) name: &'a str,
    /// Version used between gateway and app.
    pub(crate) upstream: Speaks,
}

impl Client {
    pub(crate) const fn speaks(&self) -> Speaks {
        match self {
            Self::Http10 => Speaks::Http10,
            Self::Http11(_) => Speaks::Http11,
            Self::Http2(_) => Speaks::Http2,
        }
    }

    /// Sends the request and reads the response.
    pub(crate) async fn exchange(&mut self, world: &World, of: Exchange<'_>) -> Result<Got, String> {
        match self {
            Self::Http10 => {
                let mut wire = Wire::over(world.connect(b"http/1.1").await);
                http1(&mut wire, of, Speaks::Http10).await.map(|(got, _)| got)
            }
            Self::Http11(kept) => {
                let mut wire = match kept.take() {
                    Some(wire) => wire,
                    None => Box::new(Wire::over(world.connect(b"http/1.1").await)),
                };
                let (got, is_kept) = http1(&mut wire, of, Speaks::Http11).await?;
                if is_kept {
                    *kept = Some(wire);
                }
                Ok(got)
            }
            Self::Http2(kept) => {
                let mut send = match kept.take() {
                    Some(send) => send,
                    None => {
                        let handshake = h2::client::Builder::new()
                            .initial_window_size(1 << 20)
                            .handshake(world.connect(b"h2").await);
                        let (send, connection) = handshake.await.expect("a preface");
                        tokio::spawn(connection);
                        send
                    }
                };
                let got = http2(&mut send, of).await?;
                *kept = Some(send);
                Ok(got)
            }
        }
    }
}

/// An exchange over HTTP/1. Also returns whether the connection is kept.
async fn http1(
    wire: &mut Wire<TlsStream<TcpStream>>,
    of: Exchange<'_>,
    version: Speaks,
) -> Result<(Got, bool), String> {
    let (request, content) = (of.request, of.request.content());
    let text = if version == Speaks::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut head = format!("{} {} {text}\r\nHost: gateway.test\r\n", request.method, of.path);
    head += &format!("{CASE}: {}\r\n{WANTS}: {}\r\n", of.name, of.response.name);
    if version == Speaks::Http11 {
        head += &format!("Connection: keep-alive, TE, {NAMED}\r\n{NAMED}: 1\r\nKeep-Alive: 5\r\n");
        head += "Proxy-Connection: keep-alive\r\nTE: trailers\r\n";
    }
    let mut body = Vec::new();
    match request.sends {
        Sends::Nothing => {}
        Sends::Length | Sends::AfterContinue => {
            head += &format!("Content-Length: {}\r\n", content.len());
            body.extend_from_slice(&content);
        }
        Sends::Chunks { extras } => {
            head += "Transfer-Encoding: chunked\r\n";
            if extras {
                head += "Trailer: X-Trailer\r\n";
            }
            let extension = if extras { ";a=\"b\"" } else { "" };
            for chunk in content.chunks((content.len() / 3).max(2)) {
                body.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(if extras { b"0;a=b\r\nX-Trailer: 1\r\n\r\n" } else { b"0\r\n\r\n" });
        }
        _ => unreachable!("of HTTP/2"),
    }
    // HTTP/1.0 apps never send 100.
    let waits = request.sends == Sends::AfterContinue && of.upstream != Speaks::Http10;
    if request.sends == Sends::AfterContinue {
        head += "Expect: 100-continue\r\n";
    }
    head += "\r\n";
    let mut informational = Vec::new();
    let mut first = None;
    if waits {
        wire.send(head.as_bytes()).await;
        let response = response_head(wire).await?;
        if status(&response)? == 100 {
            informational.push(100);
            wire.send(&body).await;
        } else {
            first = Some(response);
        }
    } else {
        wire.send(&[head.as_bytes(), &body].concat()).await;
    }
    let is_body_unsent = first.is_some();
    let head = loop {
        let head = match first.take() {
            Some(head) => head,
            None => response_head(wire).await?,
        };
        match status(&head)? {
            status @ 100..=199 => {
                if head.first("content-length").or(head.first("transfer-encoding")).is_some() {
                    return Err(format!("framing of {status}: {head:?}"));
                }
                informational.push(status);
            }
            _ => break head,
        }
    };
    let mut got = Got {
        informational,
        status: status(&head)?,
        head,
        content: Vec::new(),
        has_trailers: false,
        ended: Ended::Whole,
    };
    read_content(wire, &mut got, request.method, version).await?;
    let is_kept = got.head.first("connection") == Some("keep-alive");
    if is_kept && (version == Speaks::Http10 || got.ended != Ended::Whole) && got.ended != Ended::Broken {
        return Err(format!("kept: {:?}", got.head));
    }
    if !is_kept && got.ended == Ended::Whole && !is_body_unsent {
        let rest = wire.rest().await;
        if !rest.is_empty() {
            return Err(format!("after the end: {}", rest.escape_ascii()));
        }
    }
    Ok((got.clone(), is_kept && got.ended == Ended::Whole && !is_body_unsent))
}

async fn response_head(wire: &mut Wire<TlsStream<TcpStream>>) -> Result<Head, String> {
    let head = wire.head().await.map_err(|stop| format!("{stop:?} instead of a head"))?;
    // RFC 9112 section 2.3: the gateway's version, whatever the app's.
    if !head.line.starts_with("HTTP/1.1 ") {
        return Err(format!("the version of {head:?}"));
    }
    Ok(head)
}

fn status(head: &Head) -> Result<u16, String> {
    let status = head.line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| format!("no status: {head:?}"))
}

/// RFC 9112 section 6.3.
async fn read_content(
    wire: &mut Wire<TlsStream<TcpStream>>,
    got: &mut Got,
    method: &str,
    version: Speaks,
) -> Result<(), String> {
    let (lengths, codings) = (got.head.all("content-length"), got.head.all("transfer-encoding"));
    if lengths.len() + codings.len() > 1 {
        return Err(format!("two framings: {:?}", got.head));
    }
    if codings.iter().any(|coding| *coding != "chunked" || version == Speaks::Http10) {
        return Err(format!("a coding that was not asked for: {:?}", got.head));
    }
    let length = lengths.first().map(|length| length.parse::<usize>());
    let length = length.transpose().map_err(|_| format!("no length: {:?}", got.head))?;
    if method == "HEAD" || matches!(got.status, 204 | 304) {
        return Ok(());
    }
    let stopped = if !codings.is_empty() {
        wire.chunks(&mut got.content).await
    } else if let Some(length) = length {
        match wire.exactly(length).await {
            Ok(content) => {
                got.content = content;
                Ok(())
            }
            Err(stop) => {
                got.content = wire.unread().to_vec();
                Err(stop)
            }
        }
    } else {
        got.content = wire.rest().await;
        got.ended = Ended::ByClosing;
        Ok(())
    };
    match stopped {
        Ok(()) => Ok(()),
        Err(Stop::Closed) => {
            got.ended = Ended::Broken;
            Ok(())
        }
        Err(Stop::Fault(what)) => Err(what),
    }
}

/// An exchange over HTTP/2. The library refuses what RFC 9113 section 8 forbids.
async fn http2(send: &mut h2::client::SendRequest<Bytes>, of: Exchange<'_>) -> Result<Got, String> {
    let content = Bytes::from(of.request.content());
    let uri = format!("https://gateway.test{}", of.path);
    let mut head = Head2::builder().method(of.request.method).uri(uri);
    head = head.header(CASE, of.name).header(WANTS, of.response.name).header("te", "trailers");
    if matches!(of.request.sends, Sends::Length | Sends::LengthThenEmptyData) {
        head = head.header("content-length", content.len());
    }
    if of.request.sends == Sends::Trailers {
        head = head.header("trailer", "x-trailer");
    }
    let message = |error: h2::Error| format!("{error}");
    let mut ready = send.clone().ready().await.map_err(message)?;
    let ends_at_once = of.request.sends == Sends::Nothing;
    let (response, mut body) =
        ready.send_request(head.body(()).expect("a head"), ends_at_once).map_err(message)?;
    // The response and the end of the stream may come before the whole request is sent.
    let sending = async {
        let ends_apart =
            matches!(of.request.sends, Sends::EmptyData | Sends::LengthThenEmptyData | Sends::Trailers);
        if !content.is_empty() {
            body.send_data(content, !ends_apart && !ends_at_once).ok()?;
        }
        match of.request.sends {
            Sends::EmptyData | Sends::LengthThenEmptyData => {
                // Usually in a separate packet.
                tokio::task::yield_now().await;
                body.send_data(Bytes::new(), true).ok()
            }
            Sends::Trailers => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", "1".parse().expect("a value"));
                body.send_trailers(trailers).ok()
            }
            _ => Some(()),
        }
    };
    let _ = sending.await;
    let response = response.await.map_err(|error| format!("{error} instead of a head"))?;
    let (parts, mut body) = response.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut got = Got {
        informational: Vec::new(),
        status: parts.status.as_u16(),
        head: Head { line: String::new(), fields },
        content: Vec::new(),
        has_trailers: false,
        ended: Ended::Whole,
    };
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else {
            got.ended = Ended::Broken;
            return Ok(got);
        };
        let _ = body.flow_control().release_capacity(chunk.len());
        got.content.extend_from_slice(&chunk);
    }
    match body.trailers().await {
        Ok(trailers) => got.has_trailers = trailers.is_some(),
        Err(_) => got.ended = Ended::Broken,
    }
    Ok(got)
}
