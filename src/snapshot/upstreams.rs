//! Upstreams: their servers' addresses, kept resolved, how each of them is, and whose turn it is.

use std::collections::HashMap;
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
mod health;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod turn;

use health::{Changes, Health};
use turn::Order;

pub use address::Address;
pub use health::{Mode, Report};
pub use server::{Candidate, Check, Server};
pub use turn::ServerAttempts;

/// Every upstream by name.
#[derive(Debug)]
pub struct Upstreams {
    groups: HashMap<String, Arc<Group>>,
    /// Outlives a reload, as what is known of the addresses does.
    changes: Arc<Changes>,
}

/// One upstream.
#[derive(Debug)]
pub struct Group {
    name: Arc<str>,
    servers: Vec<Arc<Server>>,
    /// Every address of every server, as last resolved.
    found: ArcSwap<Vec<Arc<Candidate>>>,
    /// Those in the order they are tried.
    order: ArcSwap<Order>,
    changes: Arc<Changes>,
    turn: AtomicUsize,
    /// It was said that all of them fail.
    panics: AtomicBool,
}

impl Upstreams {
    /// With what `previous` knows of the addresses that stay.
    pub(super) fn new(upstreams: &[Upstream], previous: Option<&Self>) -> Self {
        let changes = previous.map(|previous| Arc::clone(&previous.changes)).unwrap_or_default();
        let group = |upstream: &Upstream| {
            let before = previous.and_then(|previous| previous.find(&upstream.name));
            (upstream.name.clone(), Arc::new(Group::new(upstream, before.map(Arc::as_ref), &changes)))
        };
        Self { groups: upstreams.iter().map(group).collect(), changes }
    }

    /// The upstream of that name; the configuration was checked to have it.
    pub fn find(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// Each of them, in order of name.
    pub fn all(&self) -> Vec<&Arc<Group>> {
        let mut all: Vec<_> = self.groups.values().collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Looks every name up again, all at once and each for `deadline` at most. A name that does not resolve keeps its last
    /// addresses; what is found later than that is there the next time.
    pub async fn resolve(&self, deadline: Duration) {
        join_all(self.groups.values().map(|group| group.resolve(deadline))).await;
    }

    /// From now on these are counted: every server has its series.
    pub(super) fn enter(&self, metrics: &Metrics) {
        for group in self.groups.values() {
            for server in &group.servers {
                server.count_in(metrics.upstreams.server(&group.name, server.name()));
            }
        }
        self.observe();
    }

    /// Takes out the series of those that `next` has no longer.
    pub(super) fn leave(&self, next: &Self, metrics: &metrics::Upstreams) {
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

    /// Brings the gauges up to date.
    pub fn observe(&self) {
        for group in self.groups.values() {
            group.observe();
        }
    }
}

impl Group {
    fn new(upstream: &Upstream, previous: Option<&Self>, changes: &Arc<Changes>) -> Self {
        let (name, policy) = (Arc::from(upstream.name.as_str()), Arc::new(upstream.health.clone()));
        let servers: Vec<Arc<Server>> = upstream
            .servers
            .iter()
            .map(|config| Arc::new(Server::new(config, upstream, &name, &policy)))
            .collect();
        let known = previous.map(|previous| previous.found.load_full()).unwrap_or_default();
        let mut found: Vec<Arc<Candidate>> = Vec::new();
        for server in &servers {
            let addresses: Vec<Address> = match server.literal() {
                Some(address) => vec![address],
                // Until it is looked up again, where it was.
                None => addresses_of(&known, server),
            };
            extend(&mut found, server, addresses, &known, changes);
        }
        let seen = changes.count();
        Self {
            order: ArcSwap::from_pointee(Order::new(&found, seen)),
            found: ArcSwap::from_pointee(found),
            name,
            servers,
            changes: Arc::clone(changes),
            turn: AtomicUsize::new(0),
            panics: AtomicBool::new(previous.is_some_and(|p| p.panics.load(Ordering::Relaxed))),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its servers, as configured.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Every address of every server, as last resolved.
    pub fn candidates(&self) -> Arc<Vec<Arc<Candidate>>> {
        self.found.load_full()
    }

    /// Whether every address fails, so that all take turns as if none did.
    pub fn is_panic(&self) -> bool {
        self.order().is_panic
    }

    /// The order in which this request should try the addresses: each request begins one further. One request may try an
    /// address that was put last and whose time is over.
    pub fn turn(&self, clock: &dyn Clock) -> ServerAttempts {
        let number = self.turn.fetch_add(1, Ordering::Relaxed);
        ServerAttempts::new(self.order(), number, || clock.monotonic())
    }

    fn order(&self) -> Arc<Order> {
        let order = self.order.load_full();
        if order.seen == self.changes.count() { order } else { self.reorder() }
    }

    /// Several may do it at once: an order that has not seen the last change is made again by whoever comes next.
    fn reorder(&self) -> Arc<Order> {
        let seen = self.changes.count();
        let order = Arc::new(Order::new(&self.found.load(), seen));
        self.order.store(Arc::clone(&order));
        let was_panic = self.panics.swap(order.is_panic, Ordering::Relaxed);
        if order.is_panic && !was_panic {
            tracing::error!(
                reason = "upstream_all_ejected",
                upstream = &*self.name,
                "every address of this app fails: all are asked, as if none did"
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
        let known = self.found.load_full();
        let looked_up = join_all(self.servers.iter().map(async |server| match server.literal() {
            Some(address) => vec![address],
            None => {
                let before = addresses_of(&known, server);
                server.look_up(!before.is_empty(), deadline).await.unwrap_or(before)
            }
        }));
        let looked_up = looked_up.await;
        let mut found = Vec::new();
        for (server, addresses) in self.servers.iter().zip(looked_up) {
            extend(&mut found, server, addresses, &known, &self.changes);
        }
        let is_same = |one: &Arc<Candidate>, other: &Arc<Candidate>| {
            Arc::ptr_eq(&one.server, &other.server) && one.address == other.address
        };
        if !(found.len() == known.len() && found.iter().zip(known.iter()).all(|(a, b)| is_same(a, b))) {
            self.found.store(Arc::new(found));
            self.changes.one_more();
        }
    }

    fn observe(&self) {
        let found = self.found.load();
        for server in &self.servers {
            let Some(series) = server.series() else { continue };
            let (mut all, mut in_turn) = (0, 0);
            for candidate in found.iter().filter(|candidate| Arc::ptr_eq(&candidate.server, server)) {
                all += 1;
                in_turn += i64::from(candidate.standing().is_in_turn());
            }
            series.addresses.set(all);
            series.addresses_healthy.set(in_turn);
        }
    }
}

/// The candidates among `known` that belong to such a server.
fn of<'a>(known: &'a [Arc<Candidate>], server: &Server) -> impl Iterator<Item = &'a Arc<Candidate>> {
    known.iter().filter(move |candidate| candidate.server.is_same(server))
}

/// Where a server was; one that is configured twice is not there twice as often.
fn addresses_of(known: &[Arc<Candidate>], server: &Server) -> Vec<Address> {
    let mut addresses: Vec<Address> = of(known, server).map(|candidate| candidate.address.clone()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Adds the addresses of a server, with what is known of them: before, or as those of its twin.
fn extend(
    found: &mut Vec<Arc<Candidate>>,
    server: &Arc<Server>,
    addresses: Vec<Address>,
    known: &[Arc<Candidate>],
    changes: &Arc<Changes>,
) {
    for address in addresses {
        let same = of(known, server).chain(of(found, server)).find(|candidate| candidate.address == address);
        let health = same.map_or_else(|| Health::new(changes), |same| Arc::clone(same.health()));
        found.push(Candidate::new(address, server, health));
    }
}
