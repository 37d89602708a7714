//! Upstreams: their resolved addresses, passive and active health checks, and load balancing.

use std::collections::BTreeMap;
#[cfg(test)]
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;

use crate::clock::Clock;
use crate::config::Upstream;
use crate::metrics::{self, Metrics};

mod address;
mod attempts;
mod health;
mod server;
#[cfg(test)]
mod tests;
mod tls;

use attempts::Order;
use health::{Changes, Health};

pub use address::Address;
pub use attempts::ServerAttempts;
pub use health::{HealthStatus, Report};
pub use server::{Candidate, Check, Server};

/// All upstreams by name.
#[derive(Debug)]
pub struct Upstreams {
    /// A tree: to hash a name for each request costs more than to compare a few.
    groups: BTreeMap<String, Arc<Group>>,
    /// Kept across a reload, like the health of the addresses.
    changes: Arc<Changes>,
}

/// One upstream.
#[derive(Debug)]
pub struct Group {
    name: Arc<str>,
    servers: Vec<Arc<Server>>,
    /// All addresses of all servers, as last resolved.
    candidates: ArcSwap<Vec<Arc<Candidate>>>,
    /// The addresses in the order of attempts.
    order: ArcSwap<Order>,
    changes: Arc<Changes>,
    next: AtomicUsize,
    /// The log message that all addresses fail was written.
    is_panic_logged: AtomicBool,
}

impl Upstreams {
    /// Builds the upstreams and keeps the health of addresses that `previous` has too.
    pub(super) fn new(upstreams: &[Upstream], previous: Option<&Self>) -> Self {
        let changes = previous.map(|previous| Arc::clone(&previous.changes)).unwrap_or_default();
        let group = |upstream: &Upstream| {
            let before = previous.and_then(|previous| previous.find(&upstream.name));
            (upstream.name.clone(), Arc::new(Group::new(upstream, before.map(Arc::as_ref), &changes)))
        };
        Self { groups: upstreams.iter().map(group).collect(), changes }
    }

    /// Returns the upstream of that name. The checked configuration contains every name a route uses.
    pub fn find(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// Returns all upstreams, sorted by name.
    pub fn all(&self) -> Vec<&Arc<Group>> {
        let mut all: Vec<_> = self.groups.values().collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Resolves all names at the same time, each for `deadline` at most. A name that does not resolve keeps its last
    /// addresses. A result that comes later is used by the next call.
    pub async fn resolve(&self, deadline: Duration) {
        join_all(self.groups.values().map(|group| group.resolve(deadline))).await;
    }

    /// Creates the metric series of all servers.
    pub(super) fn add_series(&self, metrics: &Metrics) {
        for group in self.groups.values() {
            for server in &group.servers {
                server.set_series(metrics.upstreams.server(&group.name, server.name()));
            }
        }
        self.observe();
    }

    /// Drops the metric series of servers that `next` does not have.
    pub(super) fn remove_series(&self, next: &Self, metrics: &metrics::Upstreams) {
        for (name, group) in &self.groups {
            let after = next.find(name);
            for server in &group.servers {
                let stays = |after: &Arc<Group>| after.servers.iter().any(|s| s.name() == server.name());
                if !after.is_some_and(stays) {
                    metrics.forget_server(name, server.name());
                }
            }
            if after.is_none() {
                metrics.forget(name);
            }
        }
    }

    /// Updates the gauges.
    pub fn observe(&self) {
        for group in self.groups.values() {
            group.observe();
        }
    }
}

impl Group {
    fn new(upstream: &Upstream, previous: Option<&Self>, changes: &Arc<Changes>) -> Self {
        let (name, policy) = (Arc::from(upstream.name.as_str()), Arc::new(upstream.health.clone()));
        let requests = Arc::new(upstream.request_headers.clone());
        let responses = Arc::new(upstream.response_headers.clone());
        let servers: Vec<Arc<Server>> = upstream
            .servers
            .iter()
            .map(|config| Arc::new(Server::new(config, upstream, &name, &policy, (&requests, &responses))))
            .collect();
        let known = previous.map(|previous| previous.candidates.load_full()).unwrap_or_default();
        let mut candidates: Vec<Arc<Candidate>> = Vec::new();
        for server in &servers {
            let addresses: Vec<Address> = match server.literal() {
                Some(address) => vec![address],
                // The previous addresses, until the name is resolved again.
                None => addresses_of(&known, server),
            };
            extend(&mut candidates, server, addresses, &known, changes);
        }
        let version = changes.count();
        Self {
            order: ArcSwap::from_pointee(Order::new(&candidates, version)),
            candidates: ArcSwap::from_pointee(candidates),
            name,
            servers,
            changes: Arc::clone(changes),
            next: AtomicUsize::new(0),
            is_panic_logged: AtomicBool::new(
                previous.is_some_and(|p| p.is_panic_logged.load(Ordering::Relaxed)),
            ),
        }
    }

    /// Returns the upstream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the servers as configured.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Returns all addresses of all servers, as last resolved.
    pub fn candidates(&self) -> Arc<Vec<Arc<Candidate>>> {
        self.candidates.load_full()
    }

    /// Returns whether every address is ejected, so that all of them receive requests (panic mode).
    pub fn is_panic(&self) -> bool {
        self.order().is_panic
    }

    /// Returns the addresses in the order in which this request should try them: round robin. One request may try an
    /// ejected address whose ejection time is over.
    pub fn attempts(&self, clock: &dyn Clock) -> ServerAttempts {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        ServerAttempts::new(self.order(), number, || clock.monotonic())
    }

    fn order(&self) -> Arc<Order> {
        let order = self.order.load_full();
        if order.version == self.changes.count() { order } else { self.reorder() }
    }

    /// Rebuilds the order. Concurrent calls are harmless: an order that misses the last change is rebuilt by the next
    /// request.
    fn reorder(&self) -> Arc<Order> {
        let version = self.changes.count();
        let order = Arc::new(Order::new(&self.candidates.load(), version));
        self.order.store(Arc::clone(&order));
        let was_panic = self.is_panic_logged.swap(order.is_panic, Ordering::Relaxed);
        if order.is_panic && !was_panic {
            tracing::error!(
                reason = "upstream_all_ejected",
                upstream = &*self.name,
                "every address of this app fails: requests go to all of them"
            );
        } else if was_panic && !order.is_panic {
            tracing::info!(
                reason = "upstream_serves_again",
                upstream = &*self.name,
                "an address of this app works again"
            );
        }
        order
    }

    async fn resolve(&self, deadline: Duration) {
        if self.servers.iter().all(|server| server.literal().is_some()) {
            return;
        }
        let previous = self.candidates.load_full();
        let resolved = join_all(self.servers.iter().map(async |server| match server.literal() {
            Some(address) => vec![address],
            None => {
                let before = addresses_of(&previous, server);
                server.look_up(!before.is_empty(), deadline).await.unwrap_or(before)
            }
        }));
        let resolved = resolved.await;
        let mut candidates = Vec::new();
        for (server, addresses) in self.servers.iter().zip(resolved) {
            extend(&mut candidates, server, addresses, &previous, &self.changes);
        }
        let is_same = |one: &Arc<Candidate>, other: &Arc<Candidate>| {
            Arc::ptr_eq(&one.server, &other.server) && one.address == other.address
        };
        if !(candidates.len() == previous.len()
            && candidates.iter().zip(previous.iter()).all(|(a, b)| is_same(a, b)))
        {
            self.candidates.store(Arc::new(candidates));
            self.changes.increment();
        }
    }

    fn observe(&self) {
        let candidates = self.candidates.load();
        for server in &self.servers {
            let Some(series) = server.series() else { continue };
            let (mut all, mut healthy) = (0, 0);
            for candidate in candidates.iter().filter(|candidate| Arc::ptr_eq(&candidate.server, server)) {
                all += 1;
                healthy += i64::from(candidate.health_status().is_healthy());
            }
            series.addresses.set(all);
            series.addresses_healthy.set(healthy);
        }
    }
}

/// Returns the candidates among `previous` that belong to the same server.
fn of<'a>(previous: &'a [Arc<Candidate>], server: &Server) -> impl Iterator<Item = &'a Arc<Candidate>> {
    previous.iter().filter(move |candidate| candidate.server.is_same(server))
}

/// Returns the addresses of a server, without duplicates of a server that is configured twice.
fn addresses_of(previous: &[Arc<Candidate>], server: &Server) -> Vec<Address> {
    let mut addresses: Vec<Address> =
        of(previous, server).map(|candidate| candidate.address.clone()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Adds the addresses of a server, with the health of the same address from before or of a duplicate server.
fn extend(
    candidates: &mut Vec<Arc<Candidate>>,
    server: &Arc<Server>,
    addresses: Vec<Address>,
    previous: &[Arc<Candidate>],
    changes: &Arc<Changes>,
) {
    for address in addresses {
        let same =
            of(previous, server).chain(of(candidates, server)).find(|candidate| candidate.address == address);
        let health = same.map_or_else(|| Health::new(changes), |same| Arc::clone(same.health()));
        candidates.push(Candidate::new(address, server, health));
    }
}
