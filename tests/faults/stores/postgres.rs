//! Postgres alone, as a pair with a synchronous standby, or behind PgBouncer, and the links of each gateway.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::redis::address;
use crate::instances::{self, ROLE, Server};
use crate::link::Link;

/// A commit waits for the standby.
const SYNCHRONOUS: &str = "ALTER SYSTEM SET synchronous_standby_names = '*'";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    /// A primary and a synchronous standby.
    Pair,
    /// Through PgBouncer in transaction mode.
    Pooled,
}

pub(crate) struct Postgres {
    pub(crate) kind: Kind,
    /// In the order of the links.
    servers: Mutex<Vec<Arc<Server>>>,
    primary: AtomicUsize,
    bouncer: Option<Server>,
    pub(crate) database: String,
}

impl Postgres {
    /// Blocks until the servers run.
    pub(crate) fn start(kind: Kind) -> Self {
        let primary = Server::start("");
        let database = primary.database();
        // Behind a pooler only the server can end a statement. As docs/stores.md says.
        let limits = ["SET statement_timeout = '4s'", "SET lock_timeout = '700ms'"];
        let mut servers = vec![primary];
        let mut bouncer = None;
        match kind {
            Kind::Single => {}
            Kind::Pair => {
                servers.push(Server::standby_of(&servers[0]));
                servers[0].psql("postgres", SYNCHRONOUS);
                servers[0].reload();
            }
            Kind::Pooled => {
                for limit in limits {
                    servers[0].psql("postgres", &format!("ALTER ROLE {ROLE} {limit}"));
                }
                bouncer = Some(Server::bouncer_with(&servers[0], "default_pool_size = 20"));
            }
        }
        let servers = Mutex::new(servers.into_iter().map(Arc::new).collect());
        Self { kind, servers, primary: AtomicUsize::new(0), bouncer, database }
    }

    fn server(&self, number: usize) -> Arc<Server> {
        Arc::clone(&self.servers.lock().expect("not poisoned")[number])
    }

    pub(crate) fn primary(&self) -> Arc<Server> {
        self.server(self.primary.load(Ordering::Acquire))
    }

    /// The other server of a pair.
    pub(crate) fn standby(&self) -> Arc<Server> {
        self.server(1 - self.primary.load(Ordering::Acquire))
    }

    /// Makes the standby the primary. The old primary goes on, without its standby.
    pub(crate) fn promote(&self) {
        self.standby().promote();
        self.primary.fetch_xor(1, Ordering::AcqRel);
    }

    /// Replaces the old primary by a new standby. Returns its number and address.
    pub(crate) fn rebuild_standby(&self) -> (usize, u16) {
        let number = 1 - self.primary.load(Ordering::Acquire);
        self.server(number).stop();
        let primary = self.primary();
        let standby = Arc::new(Server::standby_of(&primary));
        let port = standby.port;
        self.servers.lock().expect("not poisoned")[number] = standby;
        primary.psql("postgres", SYNCHRONOUS);
        primary.reload();
        (number, port)
    }

    /// Replaces the only server. Returns the number and port of its links.
    pub(crate) fn replace(&self, server: Server) -> (usize, u16) {
        let port = server.port;
        self.servers.lock().expect("not poisoned")[0] = Arc::new(server);
        (0, port)
    }

    /// Ports that a gateway connects to.
    fn ports(&self) -> Vec<u16> {
        match &self.bouncer {
            Some(bouncer) => vec![bouncer.port],
            None => self.servers.lock().expect("not poisoned").iter().map(|server| server.port).collect(),
        }
    }

    /// Links of one gateway or of the command line, and its `vault.url`.
    pub(crate) async fn links(&self) -> (Vec<Link>, String) {
        let mut links = Vec::new();
        for port in self.ports() {
            links.push(Link::to(address(port)).await);
        }
        let hosts: Vec<String> = links.iter().map(|link| link.address().to_string()).collect();
        let url = instances::url(&hosts.join(","), &self.database);
        (links, url)
    }

    /// Lines of `[vault]` beside the URL.
    pub(crate) fn settings(&self) -> &'static str {
        if self.kind == Kind::Pooled { "prepared = false\npool_size = 6" } else { "pool_size = 6" }
    }

    /// Runs SQL in the vault's database as the superuser.
    pub(crate) fn execute(&self, sql: &str) -> String {
        self.primary().psql(&self.database, sql)
    }
}
