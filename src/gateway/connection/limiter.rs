//! Connection limits: per client address and in total, with eviction of idle connections.
//!
//! At the total limit, a new connection evicts the one that has been idle for longest: it waits for a request, or for the rest
//! of a header. Without eviction, a client could hold all connections with an occasional request on each, and lock out
//! everybody else. A connection that serves a request is never evicted.

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

/// Connections of one client before it counts as crowded. Browsers open six per host, and a few users may share an address.
const CROWDED_FROM: usize = 32;

/// Connection limiter, shared by all listeners.
pub(crate) struct ConnectionLimiter {
    open: Mutex<Open>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Open {
    /// All connections, with the idle ones in order. Admission takes constant time.
    all: IdleList<Arc<ConnectionActivity>>,
    /// Evicted connections in `all` that are not closed yet.
    evicted: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Permit of one open connection; released when dropped.
pub(crate) struct ConnectionPermit {
    activity: Arc<ConnectionActivity>,
    ip: Option<IpAddr>,
    peer: Option<IpAddr>,
    /// Whether the client already had many connections.
    is_crowded: bool,
}

/// Activity of one connection: idle, serving requests, or evicted.
pub(crate) struct ConnectionActivity {
    limiter: Arc<ConnectionLimiter>,
    key: OnceLock<Key>,
    /// Signalled when the connection is evicted.
    evicted: Notify,
}

/// A request in flight on a connection.
pub(crate) struct Serving<'a>(&'a ConnectionActivity);

impl ConnectionLimiter {
    pub(crate) fn new(traffic: Arc<Traffic>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), traffic, metrics })
    }

    /// Returns a permit for a connection from `ip`, or `None` at a limit.
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
            limiter: Arc::clone(self),
            key: OnceLock::new(),
            evicted: Notify::new(),
        });
        let key = open.all.insert(Arc::clone(&activity), is_proxy);
        activity.key.get_or_init(|| key);
        drop(open);
        self.metrics.requests.connections.inc();
        self.traffic.connections.fetch_add(1, Ordering::AcqRel);
        Some(ConnectionPermit { activity, ip, peer, is_crowded: mine >= CROWDED_FROM })
    }

    /// Counts and logs a refused connection. Called without the lock, so that writing the log does not block others.
    fn refused(&self, client: Option<IpAddr>, limit: ConnectionLimit) -> Option<ConnectionPermit> {
        self.metrics.requests.connections_refused.of(limit).inc();
        let (client, limit) = (client.map(tracing::field::display), limit.as_str());
        tracing::warn!(
            reason = "connection_refused",
            client,
            limit,
            "connection refused: server.limits allows no more"
        );
        None
    }

    /// Evicts the longest idle connection. Connections of trusted proxies come last: they carry requests of many clients.
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
    /// Activity of the connection.
    pub(crate) fn activity(&self) -> &Arc<ConnectionActivity> {
        &self.activity
    }

    /// Whether the client already had many connections.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Network of the peer, which is a client or a trusted proxy.
    pub(crate) const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let limiter = &self.activity.limiter;
        let mut open = limiter.lock();
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
        limiter.metrics.requests.connections.dec();
        limiter.traffic.connection_ended();
    }
}

impl ConnectionActivity {
    /// Marks a request as started; `None` when the connection was evicted.
    pub(crate) fn serve(&self) -> Option<Serving<'_>> {
        let key = *self.key.get()?;
        let is_open = self.limiter.lock().all.begin(key);
        // Created after the lock is released: dropping a `Serving` takes it.
        is_open.then(|| Serving(self))
    }

    /// Resolves when the connection is evicted.
    pub(crate) async fn until_evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Some(&key) = self.0.key.get() {
            self.0.limiter.lock().all.end(key);
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

    fn limiter() -> (Arc<ConnectionLimiter>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (ConnectionLimiter::new(Arc::default(), Arc::clone(&metrics)), metrics)
    }

    fn is_evicted(permit: &ConnectionPermit) -> bool {
        permit.activity.limiter.lock().all.is_evicted(permit.activity.key.get().copied().expect("set"))
    }

    #[tokio::test(start_paused = true)]
    async fn longest_idle_connection_is_evicted_at_the_limit() {
        let ((limiter, metrics), server) = (limiter(), server(3));
        let mut held = Vec::new();
        for last in 1..=3 {
            held.push(limiter.admit(address(last), &server).expect("admitted"));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The first connection has just served a request.
        drop(held[0].activity().serve().expect("still there"));
        let new = limiter.admit(address(4), &server).expect("admitted");
        assert_eq!(held.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false]);
        held[1].activity().until_evicted().await;
        assert!(held[1].activity().serve().is_none(), "evicted before its request");
        assert_eq!(metrics.requests.connections_evicted.get(), 1);

        // An evicted connection does not count, closed or not.
        drop(held.remove(1));
        let one_more = limiter.admit(address(5), &server).expect("admitted");
        assert_eq!(held.iter().map(is_evicted).collect::<Vec<_>>(), [false, true]);
        assert!(!is_evicted(&new) && !is_evicted(&one_more));
    }

    #[test]
    fn serving_connection_stays_and_proxy_is_evicted_last() {
        let ((limiter, metrics), server) = (limiter(), server(3));
        let proxy = limiter.admit(address(200), &server).expect("admitted");
        let held: Vec<_> = (1..=2).filter_map(|last| limiter.admit(address(last), &server)).collect();
        let busy = [held[0].activity().serve(), held[0].activity().serve()];
        let third = limiter.admit(address(3), &server).expect("admitted");
        assert!(is_evicted(&held[1]) && !is_evicted(&held[0]) && !is_evicted(&proxy));
        let _busy = third.activity().serve();
        let fourth = limiter.admit(address(4), &server).expect("admitted");
        assert!(is_evicted(&proxy));
        let _busy_too = fourth.activity().serve();
        let [first, second] = busy;
        drop(first);
        assert!(limiter.admit(address(5), &server).is_none(), "all serve requests");
        assert_eq!(metrics.requests.connections_refused.of(ConnectionLimit::Total).get(), 1);
        drop(second);
        assert!(limiter.admit(address(5), &server).is_some());
        assert!(is_evicted(&held[0]));
    }

    #[test]
    fn each_new_connection_evicts_one_at_the_limit() {
        let ((limiter, metrics), server) = (limiter(), server(640));
        let held: Vec<_> = (0..640).filter_map(|_| limiter.admit(None, &server)).collect();
        assert_eq!((held.len(), metrics.requests.connections_evicted.get()), (640, 0));
        let more: Vec<_> = (0..10).filter_map(|_| limiter.admit(None, &server)).collect();
        assert_eq!((more.len(), metrics.requests.connections_evicted.get()), (10, 10));
        drop(held);
        drop(more);
        let open = limiter.lock();
        assert!(open.all.len() == 0 && open.by_ip.is_empty() && open.evicted == 0);
    }
}
