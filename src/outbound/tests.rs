//! The client against servers on loopback that answer, stall, lie and break off.

mod faults;
mod proxy;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Client, Outbound, OutboundError, Request, Response};
use crate::clock::SystemClock;
use crate::metrics::{Metrics, Purpose};

/// A server that treats each connection as told. It ends when dropped.
struct Server {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Server {
    async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        });
        Self { address, _task: task }
    }

    /// A server that reads a request and writes these bytes.
    async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |mut stream| {
            let bytes = Arc::clone(&bytes);
            async move {
                head(&mut stream).await;
                let _ = stream.write_all(&bytes).await;
            }
        })
        .await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Reads the head of a request.
async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A client that may connect to this machine, and its metrics.
fn client() -> (Client, Arc<Metrics>) {
    client_for(&["127.0.0.1", "localhost"])
}

fn client_for(named: &[&str]) -> (Client, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let outbound = Outbound::new(&|_| None, Arc::new(SystemClock::new()), Arc::clone(&metrics));
    (outbound.client(None, named.iter().copied()).unwrap(), metrics)
}

async fn get(url: &str) -> Result<Response, OutboundError> {
    client().0.send(Request::get(Purpose::Keys, url)).await
}

fn counted(metrics: &Metrics, outcome: &str) -> bool {
    let line = format!("doorward_outbound_requests_total{{outcome=\"{outcome}\",purpose=\"keys\"}} 1");
    String::from_utf8(metrics.text()).unwrap().contains(&line)
}

#[tokio::test]
async fn request_and_response_are_complete() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut request = head(&mut stream).await;
            let mut body = [0; 10];
            stream.read_exact(&mut body).await.unwrap();
            request.push_str(std::str::from_utf8(&body).unwrap());
            seen.send(request).unwrap();
            let response = "HTTP/1.1 400 Bad Request\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    })
    .await;
    let (client, metrics) = client();
    let pairs = [("a", "b c"), ("d", "")];
    let request = Request::form(Purpose::Keys, &server.url("/token?x=1"), &pairs).authorization("Bearer t");
    let response = client.send(request).await.unwrap();
    assert_eq!((response.status(), response.body()), (400, &b"abc"[..]));
    assert_eq!(response.fields().get("x-a").unwrap(), "b");
    assert_eq!(response.success().err(), Some(OutboundError::Status(400)));
    let request = requests.recv().await.unwrap();
    assert!(
        request.starts_with("POST /token?x=1 HTTP/1.1\r\n") && request.ends_with("\r\n\r\na=b%20c&d="),
        "{request}"
    );
    let lower = request.to_ascii_lowercase();
    for field in [
        format!("host: {}", server.address),
        "authorization: bearer t".to_owned(),
        "accept: application/json".to_owned(),
        "content-type: application/x-www-form-urlencoded".to_owned(),
        "content-length: 10".to_owned(),
        "connection: close".to_owned(),
        "user-agent: doorward".to_owned(),
    ] {
        assert!(lower.contains(&format!("\r\n{field}\r\n")), "{field}: {request}");
    }
    assert!(counted(&metrics, "client_error"), "{}", String::from_utf8(metrics.text()).unwrap());
}

/// N14
#[tokio::test]
async fn redirect_is_returned_and_not_followed() {
    let (asked, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let target = Server::start(move |_| {
        let asked = asked.clone();
        async move { asked.send(()).unwrap() }
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        let head =
            format!("HTTP/1.1 {status} X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", target.url("/"));
        let server = Server::answering(head).await;
        let response = get(&server.url("/")).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.success().err(), Some(OutboundError::Status(status)));
    }
    assert!(requests.try_recv().is_err());
}

/// N14
#[tokio::test]
async fn private_address_is_refused_unless_named() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let (client, metrics) = client_for(&["sso.example.com"]);
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00::1]",
        "[::1]",
        "0.0.0.0",
    ] {
        for scheme in ["https", "http"] {
            let request = Request::get(Purpose::Keys, &format!("{scheme}://{host}:{port}/"));
            let refused = client.send(request).await;
            assert!(
                matches!(refused, Err(OutboundError::Refused { .. } | OutboundError::BadUrl(_))),
                "{scheme}://{host}: {refused:?}"
            );
        }
    }
    let text = String::from_utf8(metrics.text()).unwrap();
    assert!(
        text.contains("doorward_outbound_requests_total{outcome=\"refused\",purpose=\"keys\"} 16"),
        "{text}"
    );
    let (client, _) = client_for(&["LOCALHOST"]);
    let by_name = format!("http://localhost:{port}/");
    assert!(client.send(Request::get(Purpose::Keys, &by_name)).await.is_ok());
    let refused = client.send(Request::get(Purpose::Keys, &server.url("/"))).await;
    assert!(
        matches!(refused, Err(OutboundError::Refused { .. })),
        "another name of this machine: {refused:?}"
    );
}
