//! Upstreams: their servers' addresses, kept resolved, and whose turn it is.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::config::{Scheme, Upstream, UpstreamServer};

/// Every upstream by name.
#[derive(Debug)]
pub struct Upstreams(HashMap<String, Arc<Group>>);

/// One upstream.
#[derive(Debug)]
pub struct Group {
    servers: Vec<Arc<Server>>,
    /// Every address of every server, as last resolved.
    candidates: ArcSwap<Vec<Candidate>>,
    turn: AtomicUsize,
}

/// One server as configured.
#[derive(Debug)]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name: what its certificate must be for.
    pub host: String,
    /// The `Host` an app sees that is not told the client's.
    pub authority: HeaderValue,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    port: u16,
}

/// A server's address to connect to.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where.
    pub address: SocketAddr,
    /// Of which server.
    pub server: Arc<Server>,
}

/// The candidates of one request, in the order it should try them.
#[derive(Debug, Default)]
pub struct Turn {
    all: Arc<Vec<Candidate>>,
    begin: usize,
    tried: usize,
}

impl Turn {
    /// Whether there is another one to try.
    pub fn has_next(&self) -> bool {
        self.tried < self.all.len()
    }
}

impl Iterator for Turn {
    type Item = Candidate;

    fn next(&mut self) -> Option<Candidate> {
        if !self.has_next() {
            return None;
        }
        let at = (self.begin + self.tried) % self.all.len();
        self.tried += 1;
        self.all.get(at).cloned()
    }
}

impl Upstreams {
    /// A server that a `previous` upstream of the same name had keeps its addresses until its name is looked up again.
    pub(super) fn new(upstreams: &[Upstream], previous: Option<&Self>) -> Self {
        let group = |upstream: &Upstream| {
            let previous = previous.and_then(|previous| previous.find(&upstream.name));
            (upstream.name.clone(), Arc::new(Group::new(upstream, previous.map(Arc::as_ref))))
        };
        Self(upstreams.iter().map(group).collect())
    }

    /// The upstream of that name; the configuration was checked to have it.
    pub fn find(&self, name: &str) -> Option<&Arc<Group>> {
        self.0.get(name)
    }

    /// Looks every name up again. A name that does not resolve keeps its last addresses.
    pub async fn resolve(&self) {
        for group in self.0.values() {
            group.resolve().await;
        }
    }
}

impl Group {
    fn new(upstream: &Upstream, previous: Option<&Self>) -> Self {
        let servers =
            upstream.servers.iter().map(|config| Arc::new(Server::new(config, upstream.connect_timeout)));
        let servers: Vec<Arc<Server>> = servers.collect();
        let known = previous.map(|previous| previous.candidates.load_full()).unwrap_or_default();
        let addresses = |server: &Arc<Server>| match server.literal() {
            // An address literal needs no look-up, ever.
            Some(ip) => vec![SocketAddr::new(ip, server.port)],
            None => {
                let same = |known: &&Candidate| known.server.place() == server.place();
                known.iter().filter(same).map(|known| known.address).collect()
            }
        };
        let candidates = servers.iter().flat_map(|server| {
            addresses(server).into_iter().map(|address| server.candidate(address)).collect::<Vec<_>>()
        });
        let candidates = candidates.collect();
        Self { candidates: ArcSwap::from_pointee(candidates), servers, turn: AtomicUsize::new(0) }
    }

    /// The order in which this request should try the addresses: each request begins one further.
    pub fn turn(&self) -> Turn {
        let all = self.candidates.load_full();
        let begin = self.turn.fetch_add(1, Ordering::Relaxed) % all.len().max(1);
        Turn { all, begin, tried: 0 }
    }

    async fn resolve(&self) {
        if self.servers.iter().all(|server| server.literal().is_some()) {
            return;
        }
        let known = self.candidates.load_full();
        let mut candidates = Vec::new();
        for server in &self.servers {
            let found = match server.literal() {
                Some(ip) => vec![SocketAddr::new(ip, server.port)],
                None => server.look_up().await.unwrap_or_else(|| {
                    known.iter().filter(|c| Arc::ptr_eq(&c.server, server)).map(|c| c.address).collect()
                }),
            };
            candidates.extend(found.into_iter().map(|address| server.candidate(address)));
        }
        self.candidates.store(Arc::new(candidates));
    }
}

impl Server {
    fn new(config: &UpstreamServer, connect_timeout: Duration) -> Self {
        let authority =
            HeaderValue::from_str(&authority(config)).expect("a checked host and port are a header value");
        Self {
            scheme: config.scheme,
            host: config.host.clone(),
            authority,
            connect_timeout,
            port: config.port,
        }
    }

    fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn candidate(self: &Arc<Self>, address: SocketAddr) -> Candidate {
        Candidate { address, server: Arc::clone(self) }
    }

    /// Its addresses now, or `None` when its name does not resolve.
    async fn look_up(&self) -> Option<Vec<SocketAddr>> {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let mut found: Vec<SocketAddr> = found.collect();
                found.sort_unstable();
                found.dedup();
                (!found.is_empty()).then_some(found)
            }
            Err(error) => {
                tracing::warn!(
                    reason = "upstream_unresolved",
                    server = self.host,
                    cause = %error,
                    "an upstream's name does not resolve; its last addresses are kept"
                );
                None
            }
        }
    }
}

fn authority(server: &UpstreamServer) -> String {
    let default = match server.scheme {
        Scheme::Http | Scheme::H2c => 80,
        Scheme::Https => 443,
    };
    let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
    if server.port == default { host } else { format!("{host}:{}", server.port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(hosts: &[&str]) -> Upstream {
        let server = |host: &&str| UpstreamServer { scheme: Scheme::Http, host: (*host).into(), port: 9000 };
        Upstream {
            name: "app".into(),
            servers: hosts.iter().map(server).collect(),
            connect_timeout: Duration::from_secs(2),
        }
    }

    #[test]
    fn each_request_begins_with_the_next_server() {
        let group = Group::new(&group(&["127.0.0.1", "127.0.0.2", "::1"]), None);
        let firsts: Vec<String> = (0..4).map(|_| group.turn().next().unwrap().address.to_string()).collect();
        assert_eq!(firsts, ["127.0.0.1:9000", "127.0.0.2:9000", "[::1]:9000", "127.0.0.1:9000"]);
        assert_eq!(group.turn().count(), 3);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_one_that_fails_keeps_what_it_had() {
        let upstreams = Upstreams::new(&[group(&["localhost"])], None);
        let app = upstreams.find("app").unwrap();
        assert!(!app.turn().has_next());
        upstreams.resolve().await;
        assert!(app.turn().any(|c| c.address.ip().is_loopback()));
        let next = Upstreams::new(&[group(&["localhost", "127.0.0.9"])], Some(&upstreams));
        let known = |next: &Upstreams| next.find("app").unwrap().turn().count();
        assert_eq!(known(&next), app.turn().count() + 1, "before any look-up");
        assert_eq!(known(&Upstreams::new(&[group(&["elsewhere.test"])], Some(&upstreams))), 0);
    }
}
