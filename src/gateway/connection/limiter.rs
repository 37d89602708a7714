//! ConnectionLimiter for connections: how many there may be, of one address and in all, and whose is given to somebody new when all are
//! taken.
//!
//! A connection that waits for a request of its client, or for the rest of its header, has no claim against one that might
//! bring a request now: those that have waited longest give up theirs. Otherwise whoever holds as many as are allowed, with a
//! request now and then on each, would keep everybody else out. What serves a request stays.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::config::Server;
use crate::gateway::connection::idle_list::{IdleList, Key};
use crate::gateway::connection::traffic::Traffic;
use crate::metrics::{ConnectionLimit, Label as _, Metrics};
use crate::policy::forwarded;

/// Connections of one client that are not many: browsers open six to a host, and a few people may share an address.
const FEW: usize = 32;

/// The places there are.
pub(crate) struct ConnectionLimiter {
    open: Mutex<Open>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Open {
    /// Each connection; those without a request in order. A newcomer costs the same however many there are.
    all: IdleList<Arc<ConnectionActivity>>,
    /// Of them, those that were told to go, for the moment until they are gone.
    evicted: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
pub(crate) struct ConnectionPermit {
    activity: Arc<ConnectionActivity>,
    ip: Option<IpAddr>,
    peer: Option<IpAddr>,
    /// Whether its client had many connections before.
    is_crowded: bool,
}

/// Whether a connection serves requests, and since when it does not.
pub(crate) struct ConnectionActivity {
    places: Arc<ConnectionLimiter>,
    key: OnceLock<Key>,
    /// Its place is somebody else's.
    evicted: Notify,
}

/// A request under way on a connection.
pub(crate) struct Serving<'a>(&'a ConnectionActivity);

impl ConnectionLimiter {
    pub(crate) fn new(traffic: Arc<Traffic>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), traffic, metrics })
    }

    /// A place for a connection from `ip`, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, ip: Option<IpAddr>, server: &Server) -> Option<ConnectionPermit> {
        let is_proxy = ip.is_some_and(|ip| forwarded::is_trusted(ip, &server.trusted_proxies));
        let (client, peer) = (ip, ip.map(forwarded::network));
        let ip = peer.filter(|_| !is_proxy);
        let mut open = self.lock();
        let mine = ip.and_then(|ip| open.by_ip.get(&ip)).copied().unwrap_or(0);
        if ip.is_some() && mine >= server.limits.connections_per_ip {
            drop(open);
            return self.refused(client, ConnectionLimit::Address);
        }
        if open.all.len() - open.evicted >= server.limits.connections && !self.make_room(&mut open) {
            drop(open);
            return self.refused(client, ConnectionLimit::Total);
        }
        if let Some(ip) = ip {
            *open.by_ip.entry(ip).or_default() += 1;
        }
        let activity = Arc::new(ConnectionActivity {
            places: Arc::clone(self),
            key: OnceLock::new(),
            evicted: Notify::new(),
        });
        let key = open.all.insert(Arc::clone(&activity), is_proxy);
        activity.key.get_or_init(|| key);
        drop(open);
        self.metrics.requests.connections.inc();
        self.traffic.connections.fetch_add(1, Ordering::AcqRel);
        Some(ConnectionPermit { activity, ip, peer, is_crowded: mine >= FEW })
    }

    /// No line is written while others wait for a place; of a flood, the log sums up all but a few.
    fn refused(&self, client: Option<IpAddr>, limit: ConnectionLimit) -> Option<ConnectionPermit> {
        self.metrics.requests.connections_refused.of(limit).inc();
        let (client, limit) = (client.map(tracing::field::display), limit.as_str());
        tracing::warn!(
            reason = "connection_refused",
            client,
            limit,
            "server.limits allows no more connections"
        );
        None
    }

    /// Whether somebody has given up a place. A trusted proxy's connections, on which others' requests come, are the last to.
    fn make_room(&self, open: &mut Open) -> bool {
        let Some(idle) = open.all.evict() else { return false };
        idle.evicted.notify_one();
        open.evicted += 1;
        self.metrics.requests.connections_evicted.inc();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// What its connection does.
    pub(crate) fn activity(&self) -> &Arc<ConnectionActivity> {
        &self.activity
    }

    /// Whether its client has many others.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// The network of whoever is at the other end, a proxy or a client.
    pub(crate) const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let places = &self.activity.places;
        let mut open = places.lock();
        if self.activity.key.get().is_some_and(|&key| open.all.remove(key)) {
            open.evicted -= 1;
        }
        if let Some(ip) = self.ip
            && let Some(mine) = open.by_ip.get_mut(&ip)
        {
            *mine -= 1;
            if *mine == 0 {
                open.by_ip.remove(&ip);
            }
        }
        drop(open);
        places.metrics.requests.connections.dec();
        places.traffic.connection_ended();
    }
}

impl ConnectionActivity {
    /// A request has come; `None` when the connection has lost its place meanwhile.
    pub(crate) fn serve(&self) -> Option<Serving<'_>> {
        let key = *self.key.get()?;
        let is_there = self.places.lock().all.begin(key);
        // Made only now: one that is dropped takes the lock.
        is_there.then(|| Serving(self))
    }

    /// Resolves when it has lost its place.
    pub(crate) async fn until_evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Some(&key) = self.0.key.get() {
            self.0.places.lock().all.end(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{ConnectionLimiter, ConnectionPermit};
    use crate::config::{Config, Server};
    use crate::metrics::{ConnectionLimit, Metrics};

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    fn server(connections: usize) -> Server {
        let mut server = Config::defaults(Path::new(".")).server;
        server.limits.connections = connections;
        server.trusted_proxies = vec!["192.0.2.200/32".parse().expect("a network")];
        server
    }

    fn places() -> (Arc<ConnectionLimiter>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (ConnectionLimiter::new(Arc::default(), Arc::clone(&metrics)), metrics)
    }

    fn is_evicted(place: &ConnectionPermit) -> bool {
        place.activity.places.lock().all.is_evicted(place.activity.key.get().copied().expect("set"))
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_longest_gives_up_a_place() {
        let ((places, metrics), server) = (places(), server(3));
        let mut held = Vec::new();
        for last in 1..=3 {
            held.push(places.admit(address(last), &server).expect("a place"));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The first has just brought a request.
        drop(held[0].activity().serve().expect("still there"));
        let new = places.admit(address(4), &server).expect("a place");
        assert_eq!(held.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false]);
        held[1].activity().until_evicted().await;
        assert!(held[1].activity().serve().is_none(), "what comes now comes too late");
        assert_eq!(metrics.requests.connections_evicted.get(), 1);

        // Whoever was told to go takes no place, gone or not.
        drop(held.remove(1));
        let one_more = places.admit(address(5), &server).expect("the next");
        assert_eq!(held.iter().map(is_evicted).collect::<Vec<_>>(), [false, true]);
        assert!(!is_evicted(&new) && !is_evicted(&one_more));
    }

    #[test]
    fn who_serves_a_request_stays_and_a_proxy_goes_last() {
        let ((places, metrics), server) = (places(), server(3));
        let proxy = places.admit(address(200), &server).expect("a place");
        let held: Vec<_> = (1..=2).filter_map(|last| places.admit(address(last), &server)).collect();
        let busy = [held[0].activity().serve(), held[0].activity().serve()];
        let third = places.admit(address(3), &server).expect("a place");
        assert!(is_evicted(&held[1]) && !is_evicted(&held[0]) && !is_evicted(&proxy));
        let _busy = third.activity().serve();
        let fourth = places.admit(address(4), &server).expect("a place");
        assert!(is_evicted(&proxy));
        let _busy_too = fourth.activity().serve();
        let [first, second] = busy;
        drop(first);
        assert!(places.admit(address(5), &server).is_none(), "all serve");
        assert_eq!(metrics.requests.connections_refused.of(ConnectionLimit::Total).get(), 1);
        drop(second);
        assert!(places.admit(address(5), &server).is_some());
        assert!(is_evicted(&held[0]));
    }

    #[test]
    fn each_newcomer_takes_one_place() {
        let ((places, metrics), server) = (places(), server(640));
        let held: Vec<_> = (0..640).filter_map(|_| places.admit(None, &server)).collect();
        assert_eq!((held.len(), metrics.requests.connections_evicted.get()), (640, 0));
        let more: Vec<_> = (0..10).filter_map(|_| places.admit(None, &server)).collect();
        assert_eq!((more.len(), metrics.requests.connections_evicted.get()), (10, 10));
        drop(held);
        drop(more);
        let open = places.lock();
        assert!(open.all.len() == 0 && open.by_ip.is_empty() && open.evicted == 0);
    }
}
