//! Reloads, key rotations and upgrades while clients of every protocol go on: HTTP/1.1, HTTP/2, WebSocket and gRPC.
//! No request and no message is lost, and nobody is signed out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::upgrade::{Installed, PATIENT, Successor};
use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::http2::{self, Http2};
use crate::load::Load;
use crate::measured::measured;
use crate::process;
use crate::serving::Tokens;
use crate::socket::Socket;

const SOON: Duration = Duration::from_secs(60);

/// Pause of a client between two requests or messages.
const PACE: Duration = Duration::from_millis(20);

/// Requests or messages of each client between two changes.
const BETWEEN: u32 = 20;

/// Times that the signing keys are replaced.
const ROTATIONS: usize = 5;

/// A gRPC app: every message of a call comes back, and the call ends with `grpc-status: 0`.
async fn grpc_app() -> (JoinSet<()>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(grpc_connection(stream));
        }
    });
    (serving, address)
}

async fn grpc_connection(stream: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut calls = JoinSet::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        calls.spawn(async move {
            let mut body = request.into_body();
            let head = ::http::Response::builder().header("content-type", "application/grpc");
            let mut stream = respond.send_response(head.body(()).expect("a head"), false)?;
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                stream.send_data(data, false)?;
            }
            let mut trailers = ::http::HeaderMap::new();
            trailers.insert("grpc-status", ::http::HeaderValue::from_static("0"));
            stream.send_trailers(trailers)
        });
    }
}

/// Clients at work, and what each of them has done.
struct People {
    stop: Arc<AtomicBool>,
    done: Vec<(&'static str, Arc<AtomicU32>)>,
    working: JoinSet<()>,
}

impl People {
    fn new() -> Self {
        Self { stop: Arc::default(), done: Vec::new(), working: JoinSet::new() }
    }

    /// Adds a client. `work` does one thing and panics when something is lost.
    fn add<W>(&mut self, name: &'static str, mut client: W)
    where
        W: Repeated + Send + 'static,
    {
        let (stop, done) = (Arc::clone(&self.stop), Arc::<AtomicU32>::default());
        self.done.push((name, Arc::clone(&done)));
        self.working.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                client.once().await;
                done.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PACE).await;
            }
            client.end().await;
        });
    }

    /// Waits until every client has gone on.
    async fn go_on(&mut self) {
        let before: Vec<u32> = self.done.iter().map(|(_, done)| done.load(Ordering::Relaxed)).collect();
        for ((name, done), before) in self.done.iter().zip(before) {
            let working = &mut self.working;
            assert_eventually(name, SOON, async || {
                // A client ends early only by a panic.
                if let Some(ended) = working.try_join_next() {
                    ended.unwrap_or_else(|error| panic!("{error}"));
                }
                done.load(Ordering::Relaxed) >= before + BETWEEN
            })
            .await;
        }
    }

    async fn end(mut self) -> Vec<(&'static str, u32)> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.working.join_next().await {
            ended.unwrap_or_else(|error| panic!("{error}"));
        }
        self.done.iter().map(|(name, done)| (*name, done.load(Ordering::Relaxed))).collect()
    }
}

/// A client that does one thing again and again.
trait Repeated {
    fn once(&mut self) -> impl Future<Output = ()> + Send;

    fn end(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Address and credentials of a client.
#[derive(Clone)]
struct Who {
    address: SocketAddr,
    bearer: String,
}

impl Who {
    async fn connect(&self) -> Http2 {
        Http2::in_clear(TcpStream::connect(self.address).await.expect("the gateway listens")).await
    }
}

/// Returns whether the gateway has not begun with a request, so that a client sends it again (RFC 9113 section 8.7).
fn is_unprocessed(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote())
}

/// Sends requests over HTTP/2, on one connection until the gateway ends it.
struct OverHttp2 {
    who: Who,
    connection: Option<Http2>,
}

impl Repeated for OverHttp2 {
    async fn once(&mut self) {
        loop {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.who.connect().await,
            };
            let headers = [("authorization", self.who.bearer.as_str())];
            match connection.ask("GET", "/", &headers, b"").await {
                Ok(response) => {
                    let response = http2::whole(response).await;
                    assert_eq!(response.status, 200, "{}", response.text());
                    self.connection = Some(connection);
                    return;
                }
                Err(error) => assert!(is_unprocessed(&error), "lost over HTTP/2: {error:?}"),
            }
        }
    }
}

/// A bidirectional gRPC call with a message at a time, begun again when the gateway has ended it.
struct GrpcCall {
    who: Who,
    call: Option<(Http2, h2::SendStream<Bytes>, h2::RecvStream)>,
    number: u32,
}

impl GrpcCall {
    async fn begin(&self) -> (Http2, h2::SendStream<Bytes>, h2::RecvStream) {
        loop {
            let mut connection = self.who.connect().await;
            let headers = [
                ("authorization", self.who.bearer.as_str()),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ];
            let begun = async {
                let (response, stream) = connection.send("POST", "/grpc/echo", &headers, None).await?;
                Ok::<_, h2::Error>((http2::head(response).await?, stream))
            };
            match begun.await {
                Ok((response, stream)) => {
                    assert_eq!(response.status, 200);
                    return (connection, stream, response.body);
                }
                Err(error) => assert!(is_unprocessed(&error), "lost over gRPC: {error:?}"),
            }
        }
    }
}

impl Repeated for GrpcCall {
    async fn once(&mut self) {
        self.number += 1;
        let text = format!("message {}", self.number);
        let mut message = vec![0];
        message.extend(u32::try_from(text.len()).expect("short").to_be_bytes());
        message.extend(text.as_bytes());
        let (connection, mut stream, mut body) = match self.call.take() {
            Some(call) => call,
            None => self.begin().await,
        };
        stream.send_data(Bytes::from(message.clone()), false).expect("the call goes on");
        let mut received = Vec::new();
        while received.len() < message.len() {
            received.extend(http2::next(&mut body).await.expect("an echo").expect("the call goes on"));
        }
        assert_eq!(received, message);
        // Every tenth call ends, and its status arrives.
        if self.number.is_multiple_of(10) {
            stream.send_data(Bytes::new(), true).expect("the call goes on");
            assert!(http2::next(&mut body).await.expect("an end").is_none());
            let trailers = body.trailers().await.expect("trailers").expect("trailers");
            assert_eq!(trailers["grpc-status"], "0");
        } else {
            self.call = Some((connection, stream, body));
        }
    }
}

/// A WebSocket that stays open, and one that is opened for every message.
struct OverWebSocket {
    who: Who,
    token: String,
    open: Option<Socket>,
    keeps: bool,
    number: u32,
}

impl Repeated for OverWebSocket {
    async fn once(&mut self) {
        self.number += 1;
        let mut socket = match self.open.take() {
            Some(socket) => socket,
            None => Socket::open(self.who.address, "/ws", &self.token).await,
        };
        socket.echo(&format!("message {}", self.number)).await;
        self.open = Some(socket).filter(|_| self.keeps);
    }
}

/// Refreshes all the time; each refresh must be granted.
struct Refreshing {
    address: SocketAddr,
    refresh: String,
}

impl Repeated for Refreshing {
    async fn once(&mut self) {
        let body = serde_json::json!({ "refresh_token": self.refresh });
        let response = crate::serving::post(self.address, "/auth/refresh", &body).await.expect("an answer");
        self.refresh = Tokens::of(&response).refresh;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_key_rotations_and_upgrades_lose_nothing_on_any_protocol() {
    let app = TestApp::start().await;
    let (_grpc, grpc) = grpc_app().await;
    let more = format!(
        "{PATIENT}[upstreams.grpc]\nservers = [\"h2c://{grpc}\"]\n[[routes]]\nname = \"grpc\"\npath = \"/grpc\"\n\
         access = \"signed-in\"\nupstream = \"grpc\"\n"
    );
    let installed = Installed::new(app.address(), &more);
    let file = std::fs::read_to_string(installed.house.path("gateway.toml")).expect("the file");
    let with = |drain: &str| file.replacen("[server]\n", &format!("[server]\nh2c = true\n{drain}\n"), 1);
    assert_ne!(with(""), file);
    installed.house.write("gateway.toml", &with(""));
    installed.house.add("ada", &[]);
    let mut first = installed.serve();
    let (tokens, refreshed) = (first.login("ada").await, first.login("ada").await);
    let address = first.public;
    let who = Who { address, bearer: format!("Bearer {}", tokens.access) };
    let load = Load::start(address, "/", &tokens.access);
    let mut people = People::new();
    people.add("HTTP/2", OverHttp2 { who: who.clone(), connection: None });
    people.add("gRPC", GrpcCall { who: who.clone(), call: None, number: 0 });
    for (name, keeps) in [("WebSocket, kept", true), ("WebSocket, fresh", false)] {
        let token = tokens.access.clone();
        people.add(name, OverWebSocket { who: who.clone(), token, open: None, keeps, number: 0 });
    }
    people.add("refresh", Refreshing { address, refresh: refreshed.refresh });
    people.go_on().await;
    for drain in ["drain_timeout = \"50s\"", "drain_timeout = \"55s\""] {
        installed.house.write("gateway.toml", &with(drain));
        first.signal("HUP");
        people.go_on().await;
    }
    for _ in 0..ROTATIONS {
        installed.house.run(&["key", "rotate"]).good();
        people.go_on().await;
    }
    // The kept WebSocket stays with the first process, which serves it until it ends or the drain timeout has passed.
    first.signal("USR2");
    let second = Successor::of(&first);
    people.go_on().await;
    process::signal(second.id(), "USR2");
    let third = Successor::of(&first);
    assert_ne!(third.id(), second.id());
    people.go_on().await;
    let mut done = people.end().await;
    let requests = load.stop().await;
    done.push(("HTTP/1.1", requests.sent));
    measured(format_args!("reloads, key rotations, upgrades: {done:?}, none lost"));
    assert!(requests.lost.is_empty(), "{:#?}", requests.lost);
    assert_eq!(first.process.until_exit().code(), Some(0));
    third.stop(address).await;
}
