//! Apps of every version. Each records received requests and violations, and responds in the shape that the request
//! selects.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response as Head2};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::shapes::{Framing, Particular, Response, Speaks};
use crate::support::tls;
use crate::wire::{Head, Stop, Wire};

/// Name of the test case.
pub(crate) const CASE: &str = "x-case";
/// Requested response shape.
pub(crate) const WANTS: &str = "x-wants";
/// Name of a field listed in `Connection`.
pub(crate) const NAMED: &str = "x-named";

/// A request as an app received it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) speaks: Speaks,
    pub(crate) head: Head,
    pub(crate) content: Vec<u8>,
    /// Set when the request was complete.
    pub(crate) is_whole: bool,
}

#[derive(Default)]
struct Shared {
    heads: HashMap<String, usize>,
    seen: HashMap<String, Vec<Seen>>,
    faults: Vec<String>,
}

/// Protocol of an app.
#[derive(Clone)]
enum Listens {
    Http1(Speaks),
    H2c,
    /// HTTP/2 or HTTP/1.1 over TLS, as negotiated with the gateway.
    Tls(TlsAcceptor),
}

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    accepting: JoinHandle<()>,
}

impl App {
    pub(crate) async fn http10() -> Self {
        Self::start(Listens::Http1(Speaks::Http10)).await
    }

    pub(crate) async fn http11() -> Self {
        Self::start(Listens::Http1(Speaks::Http11)).await
    }

    pub(crate) async fn h2c() -> Self {
        Self::start(Listens::H2c).await
    }

    /// With its own certificate for `localhost`: `app.crt` in the folder.
    pub(crate) async fn tls(folder: &Path) -> Self {
        let certificate = tls::make(folder, "app", &["localhost"]);
        let key = PrivateKeyDer::from_pem_file(folder.join("app.key")).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![tls::certificate(&certificate)], key)
            .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self::start(Listens::Tls(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(listens: Listens) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (shared, listens) = (Arc::clone(&serving), listens.clone());
                tokio::spawn(async move {
                    match listens {
                        Listens::Http1(speaks) => http1(Wire::over(stream), speaks, &shared).await,
                        Listens::H2c => http2(stream, &shared).await,
                        Listens::Tls(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                                http2(stream, &shared).await;
                            } else {
                                http1(Wire::over(stream), Speaks::Http11, &shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, shared, accepting }
    }

    /// Number of request headers received for a case, including those with a body in transit.
    pub(crate) fn heads(&self, case: &str) -> usize {
        self.shared.lock().expect("not poisoned").heads.get(case).copied().unwrap_or_default()
    }

    /// Requests received for a case.
    pub(crate) fn seen(&self, case: &str) -> Vec<Seen> {
        self.shared.lock().expect("not poisoned").seen.get(case).cloned().unwrap_or_default()
    }

    /// Violations in received requests.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.shared.lock().expect("not poisoned").faults.clone()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn begun(&mut self, case: &str) {
        *self.heads.entry(case.to_owned()).or_default() += 1;
    }

    fn add(&mut self, case: &str, seen: Seen) {
        self.seen.entry(case.to_owned()).or_default().push(seen);
    }
}

async fn http1<S: AsyncRead + AsyncWrite + Unpin>(mut wire: Wire<S>, speaks: Speaks, shared: &Mutex<Shared>) {
    let fault = |what: String| shared.lock().expect("not poisoned").faults.push(what);
    loop {
        let head = match wire.head().await {
            Ok(head) => head,
            Err(Stop::Closed) if wire.unread().is_empty() => return,
            Err(stop) => return fault(format!("{stop:?} instead of a head, {:?}", wire.unread())),
        };
        let case = head.first(CASE).unwrap_or_default().to_owned();
        shared.lock().expect("not poisoned").begun(&case);
        if let Err(what) = check(&head) {
            return fault(format!("{case}: {what}: {head:?}"));
        }
        let method = head.line.split(' ').next().unwrap_or_default().to_owned();
        let response = Response::named(head.first(WANTS).unwrap_or_default());
        let is_early = matches!(response.particular, Particular::Early | Particular::EarlyClose);
        if head.first("expect").is_some() && !is_early && speaks == Speaks::Http11 {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        if is_early {
            wire.send(&message(&response, &method, &case, speaks)).await;
        }
        let mut seen = Seen { method, speaks, head, content: Vec::new(), is_whole: false };
        if response.particular == Particular::EarlyClose {
            shared.lock().expect("not poisoned").add(&case, seen);
            return wire.close().await;
        }
        let read = body(&mut wire, &mut seen).await;
        seen.is_whole = read.is_ok();
        let method = seen.method.clone();
        shared.lock().expect("not poisoned").add(&case, seen);
        match read {
            Ok(()) => {}
            Err(Stop::Closed) => return,
            Err(Stop::Fault(what)) => return fault(format!("{case}: {what}")),
        }
        if !is_early {
            wire.send(&message(&response, &method, &case, speaks)).await;
        }
        let is_ended_by_closing = response.framing == Framing::End && !response.is_empty_to(&method)
            || response.particular == Particular::Truncated && method != "HEAD"
            || response.is_faulty
            || speaks == Speaks::Http10;
        if is_ended_by_closing {
            return wire.close().await;
        }
    }
}

/// RFC 9112: a request line, one Host, at most one framing, no fields of the client connection.
fn check(head: &Head) -> Result<(), &'static str> {
    let words: Vec<&str> = head.line.split(' ').collect();
    if words.len() != 3 || !words[1].starts_with('/') || words[2] != "HTTP/1.1" {
        return Err("the request line");
    }
    if head.all("host").len() != 1 {
        return Err("not one Host");
    }
    let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
    if lengths.len() + codings.len() > 1 {
        return Err("two framings");
    }
    if lengths.iter().any(|length| length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("Content-Length");
    }
    if codings.iter().any(|coding| *coding != "chunked") {
        return Err("Transfer-Encoding");
    }
    let of_one_connection =
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", NAMED];
    if of_one_connection.iter().any(|name| head.first(name).is_some()) {
        return Err("a field of the client's connection");
    }
    Ok(())
}

async fn body<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, seen: &mut Seen) -> Result<(), Stop> {
    if seen.head.first("transfer-encoding").is_some() {
        return wire.chunks(&mut seen.content).await;
    }
    let length = seen.head.first("content-length").map_or(0, |length| length.parse().expect("a number"));
    seen.content = wire.exactly(length).await?;
    Ok(())
}

/// End-to-end fields of every response.
fn end_to_end(case: &str) -> [(&'static str, String); 2] {
    [(CASE, case.to_owned()), ("x-kept", "as it is".to_owned())]
}

/// An HTTP/1 response with the framing of its shape.
fn message(response: &Response, method: &str, case: &str, speaks: Speaks) -> Vec<u8> {
    let version = if speaks == Speaks::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut head = String::new();
    if let Particular::After(statuses) = response.particular {
        for status in statuses {
            head += &format!("{version} {status} Wait\r\nLink: </a.css>; rel=preload\r\n{CASE}: {case}\r\n");
            head += &format!("Content-Length: 3\r\nConnection: {NAMED}\r\n{NAMED}: 1\r\n\r\n");
        }
    }
    head += &format!("{version} {} Shape\r\n", response.status);
    for (name, value) in end_to_end(case) {
        head += &format!("{name}: {value}\r\n");
    }
    match response.framing {
        Framing::End => {}
        Framing::Length(lengths) => {
            for length in lengths {
                head += &format!("Content-Length: {length}\r\n");
            }
        }
        Framing::Coding(codings) => {
            for coding in codings {
                head += &format!("Transfer-Encoding: {coding}\r\n");
            }
        }
        Framing::Trailers => head += "Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n",
    }
    match response.particular {
        Particular::HopByHop => {
            head += &format!("Connection: keep-alive, {NAMED}\r\n{NAMED}: 1\r\nKeep-Alive: timeout=5\r\n");
            head += "Proxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X-Checksum\r\nUpgrade: h2c\r\n";
        }
        Particular::Folded => head += "X-Folded: one\r\n two\r\n",
        Particular::EarlyClose => head += "Connection: close\r\n",
        _ => {}
    }
    let mut message = (head + "\r\n").into_bytes();
    if !response.is_empty_to(method) {
        let content = response.content;
        match response.framing {
            Framing::End | Framing::Length(_) => message.extend_from_slice(content),
            Framing::Coding(_) | Framing::Trailers => {
                let extension = if response.framing == Framing::Trailers { ";a=b" } else { "" };
                for chunk in content.chunks((content.len() / 3).max(3)) {
                    message.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                    message.extend_from_slice(chunk);
                    message.extend_from_slice(b"\r\n");
                }
                match (response.particular, response.framing) {
                    (Particular::Truncated, _) => {}
                    (_, Framing::Trailers) => message.extend_from_slice(b"0\r\nX-Checksum: 1\r\n\r\n"),
                    _ => message.extend_from_slice(b"0\r\n\r\n"),
                }
            }
        }
    }
    if response.particular == Particular::Surplus {
        message.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanother");
    }
    message
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, shared: &Arc<Mutex<Shared>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(stream_of(request, respond, Arc::clone(shared)));
    }
}

async fn stream_of(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    shared: Arc<Mutex<Shared>>,
) {
    let (parts, mut body) = request.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let head = Head { line: format!("{} {}", parts.method, parts.uri), fields };
    let case = head.first(CASE).unwrap_or_default().to_owned();
    shared.lock().expect("not poisoned").begun(&case);
    let response = Response::named(head.first(WANTS).unwrap_or_default());
    let method = parts.method.to_string();
    let mut seen =
        Seen { method: method.clone(), speaks: Speaks::Http2, head, content: Vec::new(), is_whole: false };
    let of_one_connection = ["trailer", "connection", "keep-alive", NAMED];
    if let Some(name) = of_one_connection.iter().find(|name| seen.head.first(name).is_some()) {
        shared.lock().expect("not poisoned").faults.push(format!("{case}: {name} in {:?}", seen.head));
    }
    if response.particular == Particular::Early {
        send_http2(&mut respond, &response, &method, &case);
    }
    let read = async {
        while let Some(chunk) = body.data().await {
            let chunk = chunk.ok()?;
            let _ = body.flow_control().release_capacity(chunk.len());
            seen.content.extend_from_slice(&chunk);
        }
        body.trailers().await.ok()
    };
    seen.is_whole = read.await.is_some();
    let is_whole = seen.is_whole;
    shared.lock().expect("not poisoned").add(&case, seen);
    if is_whole && response.particular != Particular::Early {
        send_http2(&mut respond, &response, &method, &case);
    }
}

fn send_http2(
    respond: &mut h2::server::SendResponse<Bytes>,
    response: &Response,
    method: &str,
    case: &str,
) -> Option<()> {
    if let Particular::After(statuses) = response.particular {
        for status in statuses {
            let hint = Head2::builder().status(*status).header("link", "</a.css>; rel=preload");
            respond.send_informational(hint.body(()).expect("a head")).ok()?;
        }
    }
    let mut head = Head2::builder().status(response.status);
    for (name, value) in end_to_end(case) {
        head = head.header(name, value);
    }
    if let Framing::Length(lengths) = response.framing {
        for length in lengths {
            head = head.header("content-length", *length);
        }
    }
    let has_trailers = response.framing == Framing::Trailers;
    if has_trailers {
        head = head.header("trailer", "x-checksum");
    }
    let content = if response.is_empty_to(method) { &b""[..] } else { response.content };
    let ends_apart = has_trailers || response.particular == Particular::EmptyData;
    let head = head.body(()).expect("a head");
    let is_truncated = response.particular == Particular::Truncated && !content.is_empty();
    let mut stream = respond.send_response(head, content.is_empty() && !ends_apart).ok()?;
    if !content.is_empty() {
        stream.send_data(Bytes::from_static(content), !ends_apart && !is_truncated).ok()?;
    }
    if is_truncated {
        // The library may drop unsent data, so the amount that the client receives is not part of the shape.
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
        return Some(());
    }
    if has_trailers {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "1".parse().expect("a value"));
        stream.send_trailers(trailers).ok()?;
    } else if ends_apart {
        stream.send_data(Bytes::new(), true).ok()?;
    }
    Some(())
}
