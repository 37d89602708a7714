//! Revocations that arrive while the gateway is connecting to the app.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::gateway::{ROUTES, SOON, Tokens};
use crate::support::{Client, Faults, Op, Setup, TestGateway, assert_eventually};

/// A server with a full accept backlog: connects to it hang until it recovers.
struct Busy {
    listener: TcpListener,
    waiting: Vec<TcpStream>,
}

impl Busy {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let listener = socket.listen(1).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut waiting = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            waiting.push(connected.expect("the queue has room"));
            assert!(waiting.len() < 100, "the queue fills");
        }
        Self { listener, waiting }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// Accepts waiting and new connections; counts those that send anything.
    fn recover(self) -> Arc<AtomicUsize> {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        drop(self.waiting);
        let listener = self.listener;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    if stream.read(&mut [0; 1]).await.is_ok_and(|read| read > 0) {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        requests
    }
}

/// Waits until one of them has an unanswered SYN: a socket in the state SYN_SENT (proc(5)).
async fn until_knocking(servers: &[Busy]) {
    let knocks = |line: &str| {
        let mut columns = line.split_whitespace().skip(2);
        let (remote, state) = (columns.next().unwrap_or_default(), columns.next());
        let is_for = |server: &Busy| remote.ends_with(&format!(":{:04X}", server.address().port()));
        state == Some("02") && servers.iter().any(is_for)
    };
    assert_eventually("the gateway connects", SOON, async || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
        sockets.lines().any(knocks)
    })
    .await;
}

async fn in_front_of(servers: &[SocketAddr], connect_timeout: &str) -> (TestGateway, Tokens, Tokens) {
    in_front_of_on(servers, connect_timeout, &Faults::new()).await
}

async fn in_front_of_on(
    servers: &[SocketAddr],
    connect_timeout: &str,
    faults: &Arc<Faults>,
) -> (TestGateway, Tokens, Tokens) {
    let servers: Vec<String> = servers.iter().map(|address| format!("\"http://{address}\"")).collect();
    let servers = servers.join(", ");
    let routes = format!(
        r#"
[upstreams.busy]
servers = [{servers}]
connect_timeout = "{connect_timeout}"
[[routes]]
name = "busy"
path = "/busy"
access = "signed-in"
upstream = "busy"
{ROUTES}"#
    );
    let gateway = TestGateway::with(Setup { routes, stores: faults.wrap(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let (one, other) = (gateway.login("ada").await, gateway.login("ada").await);
    for tokens in [&one, &other] {
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    }
    (gateway, one, other)
}

async fn end(gateway: &TestGateway, ended: &Tokens, from: &Tokens) {
    let response = gateway.call("DELETE", &format!("/auth/sessions/{}", ended.session), &from.access).await;
    assert_eq!(response.json(), json!({ "ended": 1, "propagation": "complete" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_stops_trying_further_servers() {
    let busy = [Busy::start().await, Busy::start().await, Busy::start().await];
    let addresses = [busy[0].address(), busy[1].address(), busy[2].address()];
    // Less than the half second after which a request is cut without a response. The logout may take three of them.
    let (gateway, tokens, other) = in_front_of(&addresses, "450ms").await;
    let mut client = Client::asking(gateway.address(), "/busy", &tokens.access).await;
    end(&gateway, &tokens, &other).await;
    // Not 502, which three failures in a row would cause.
    let refused = client.response("GET").await.expect("an answer in words");
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_established_after_revocation_is_not_used() {
    let busy = Busy::start().await;
    let (gateway, tokens, other) = in_front_of(&[busy.address()], "30s").await;
    let mut client = Client::asking(gateway.address(), "/busy", &tokens.access).await;
    // The kernel repeats the SYN after one second, then after two more, and so on: the connect succeeds after the
    // session has ended.
    until_knocking(std::slice::from_ref(&busy)).await;
    end(&gateway, &tokens, &other).await;
    let requests = busy.recover();
    let refused = client.response("GET").await;
    assert!(refused.is_none_or(|refused| refused.code() == "token_revoked"));
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_established_after_the_lease_is_not_used() {
    let (busy, faults) = (Busy::start().await, Faults::new());
    let (gateway, tokens, _) = in_front_of_on(&[busy.address()], "30s", &faults).await;
    let mut client = Client::asking(gateway.address(), "/busy", &tokens.access).await;
    // From now on a revocation elsewhere would not be noticed.
    until_knocking(std::slice::from_ref(&busy)).await;
    faults.fail(&[Op::ReadLog]);
    assert_eventually("the lease is over", SOON, async || gateway.metric("doorward_lease_held").await == 0.0)
        .await;
    let requests = busy.recover();
    let refused = client.response("GET").await.expect("an answer in words");
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}
