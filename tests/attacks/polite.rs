//! People at work while others attack: signed in, one request after the other, on connections that are kept and on fresh ones.

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

/// What somebody waits for an answer before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a person connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Kept,
    Fresh,
    Http2,
}

/// The people.
pub(crate) struct Polite {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    people: JoinSet<Vec<Asked>>,
}

/// One request.
struct Asked {
    took: Duration,
    failed: Option<String>,
}

/// What came of it.
pub(crate) struct Manners {
    took: Vec<Duration>,
    failed: Vec<String>,
}

impl Manners {
    pub(crate) fn count(&self) -> usize {
        self.took.len()
    }

    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// In percent.
    pub(crate) fn success(&self) -> f64 {
        100.0 * (self.count() - self.failed.len()) as f64 / self.count() as f64
    }

    pub(crate) fn at(&self, percent: usize) -> Duration {
        self.took[(self.count() - 1) * percent / 100]
    }
}

impl Polite {
    /// Four on a connection that is kept, two on fresh ones; with TLS two of the four speak HTTP/2.
    pub(crate) fn start(address: SocketAddr, trust: Option<&Trust>, access: &str) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let second = if trust.is_some() { Way::Http2 } else { Way::Kept };
        let mut people = JoinSet::new();
        for way in [Way::Kept, second, Way::Kept, second, Way::Fresh, Way::Fresh] {
            let person = Person {
                address,
                trust: trust.cloned(),
                bearer: format!("Bearer {access}"),
                line: Line::None,
            };
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            people.spawn(person.work(way, stop, asked));
        }
        Self { stop, asked, people }
    }

    /// How many requests have been answered, or not, so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) async fn stop(self) -> Manners {
        self.stop.store(true, Ordering::SeqCst);
        let all: Vec<Asked> = self.people.join_all().await.into_iter().flatten().collect();
        let mut took: Vec<Duration> = all.iter().map(|asked| asked.took).collect();
        took.sort();
        Manners { took, failed: all.into_iter().filter_map(|asked| asked.failed).collect() }
    }
}

/// A connection of either kind.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

enum Line {
    None,
    Http1(Client<Box<dyn Duplex>>),
    Http2(Http2),
}

struct Person {
    address: SocketAddr,
    trust: Option<Trust>,
    bearer: String,
    line: Line,
}

impl Person {
    async fn work(mut self, way: Way, stop: Arc<AtomicBool>, count: Arc<AtomicU64>) -> Vec<Asked> {
        let mut all = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, self.ask(way)).await;
            let failed = match answer {
                Ok(Ok(())) => None,
                Ok(Err(how)) => Some(format!("{way:?}: {how}")),
                Err(_) => Some(format!("{way:?}: no answer in {PATIENCE:?}")),
            };
            if failed.is_some() || way == Way::Fresh {
                self.line = Line::None;
            }
            all.push(Asked { took: begun.elapsed(), failed });
            count.fetch_add(1, Ordering::SeqCst);
        }
        all
    }

    async fn ask(&mut self, way: Way) -> Result<(), String> {
        let headers = [("Authorization", self.bearer.as_str())];
        if matches!(self.line, Line::None) {
            self.line = match (way, &self.trust) {
                (Way::Http2, Some(trust)) => {
                    Line::Http2(Http2::connect(trust, self.address, "gateway.test").await)
                }
                (_, Some(trust)) => {
                    let stream = trust.connect(self.address, "gateway.test").await;
                    Line::Http1(Client::over(Box::new(stream.map_err(|error| error.to_string())?)))
                }
                (_, None) => {
                    let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
                    Line::Http1(Client::over(Box::new(stream)))
                }
            };
        }
        let answer = match &mut self.line {
            Line::Http2(client) => {
                let answer =
                    client.ask("GET", "/", &headers, b"").await.map_err(|error| error.to_string())?;
                http2::whole(answer).await
            }
            Line::Http1(client) => {
                if !client.try_send(&http::message("GET", "/", &headers, b"")).await {
                    return Err("closed before it was sent".to_owned());
                }
                client.response("GET").await.ok_or("closed before it was answered")?
            }
            Line::None => unreachable!("just made"),
        };
        if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
    }
}
