//! Well-behaved clients during an attack: signed in, with sequential requests on kept and fresh connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::http2::{self, Http2};
use crate::support::tls::Trust;
use crate::support::{Client, http};

/// Response timeout; a slower request counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connection type of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionKind {
    Kept,
    Fresh,
    Http2,
}

/// A group of well-behaved clients.
pub(crate) struct WellBehavedClient {
    stop: Arc<AtomicBool>,
    completed: Arc<AtomicU64>,
    clients: JoinSet<Vec<Outcome>>,
}

/// One completed request.
struct Outcome {
    took: Duration,
    failed: Option<String>,
}

/// Results of all clients.
pub(crate) struct Results {
    took: Vec<Duration>,
    failed: Vec<String>,
}

impl Results {
    pub(crate) fn count(&self) -> usize {
        self.took.len()
    }

    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// Success rate in percent.
    pub(crate) fn success(&self) -> f64 {
        100.0 * (self.count() - self.failed.len()) as f64 / self.count() as f64
    }

    pub(crate) fn at(&self, percent: usize) -> Duration {
        self.took[(self.count() - 1) * percent / 100]
    }
}

impl WellBehavedClient {
    /// Starts six clients: four on kept connections, two on fresh ones. With TLS two of the four use HTTP/2.
    pub(crate) fn start(address: SocketAddr, trust: Option<&Trust>, access: &str) -> Self {
        let (stop, completed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let second = if trust.is_some() { ConnectionKind::Http2 } else { ConnectionKind::Kept };
        let mut clients = JoinSet::new();
        for kind in [
            ConnectionKind::Kept,
            second,
            ConnectionKind::Kept,
            second,
            ConnectionKind::Fresh,
            ConnectionKind::Fresh,
        ] {
            let client = WorkingClient {
                address,
                trust: trust.cloned(),
                bearer: format!("Bearer {access}"),
                connection: Connection::None,
            };
            let (stop, completed) = (Arc::clone(&stop), Arc::clone(&completed));
            clients.spawn(client.work(kind, stop, completed));
        }
        Self { stop, completed, clients }
    }

    /// Number of requests completed so far, successful or failed.
    pub(crate) fn completed(&self) -> u64 {
        self.completed.load(Ordering::SeqCst)
    }

    pub(crate) async fn stop(self) -> Results {
        self.stop.store(true, Ordering::SeqCst);
        let all: Vec<Outcome> = self.clients.join_all().await.into_iter().flatten().collect();
        let mut took: Vec<Duration> = all.iter().map(|outcome| outcome.took).collect();
        took.sort();
        Results { took, failed: all.into_iter().filter_map(|outcome| outcome.failed).collect() }
    }
}

/// A plain or TLS connection.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

enum Connection {
    None,
    Http1(Client<Box<dyn Duplex>>),
    Http2(Http2),
}

struct WorkingClient {
    address: SocketAddr,
    trust: Option<Trust>,
    bearer: String,
    connection: Connection,
}

impl WorkingClient {
    async fn work(
        mut self,
        kind: ConnectionKind,
        stop: Arc<AtomicBool>,
        count: Arc<AtomicU64>,
    ) -> Vec<Outcome> {
        let mut all = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let started = Instant::now();
            let response = tokio::time::timeout(PATIENCE, self.ask(kind)).await;
            let failed = match response {
                Ok(Ok(())) => None,
                Ok(Err(how)) => Some(format!("{kind:?}: {how}")),
                Err(_) => Some(format!("{kind:?}: no response in {PATIENCE:?}")),
            };
            if failed.is_some() || kind == ConnectionKind::Fresh {
                self.connection = Connection::None;
            }
            all.push(Outcome { took: started.elapsed(), failed });
            count.fetch_add(1, Ordering::SeqCst);
        }
        all
    }

    async fn ask(&mut self, kind: ConnectionKind) -> Result<(), String> {
        let headers = [("Authorization", self.bearer.as_str())];
        if matches!(self.connection, Connection::None) {
            self.connection = match (kind, &self.trust) {
                (ConnectionKind::Http2, Some(trust)) => {
                    Connection::Http2(Http2::connect(trust, self.address, "gateway.test").await)
                }
                (_, Some(trust)) => {
                    let stream = trust.connect(self.address, "gateway.test").await;
                    Connection::Http1(Client::over(Box::new(stream.map_err(|error| error.to_string())?)))
                }
                (_, None) => {
                    let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
                    Connection::Http1(Client::over(Box::new(stream)))
                }
            };
        }
        let response = match &mut self.connection {
            Connection::Http2(client) => {
                let response =
                    client.ask("GET", "/", &headers, b"").await.map_err(|error| error.to_string())?;
                http2::whole(response).await
            }
            Connection::Http1(client) => {
                if !client.try_send(&http::message("GET", "/", &headers, b"")).await {
                    return Err("closed before the request was sent".to_owned());
                }
                client.response("GET").await.ok_or("closed before the response")?
            }
            Connection::None => unreachable!("just made"),
        };
        if response.status == 200 { Ok(()) } else { Err(format!("{} {}", response.status, response.text())) }
    }
}
