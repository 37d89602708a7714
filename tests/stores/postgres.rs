//! The Postgres of one test, with access for gateways, faults and inspection.

use std::net::SocketAddr;

use crate::instances::{self, ROLE, Server};

/// One server with one database.
pub(crate) struct Postgres {
    server: Server,
    database: String,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let server = Server::start("");
            let database = server.database();
            server.psql(&database, "CREATE EXTENSION pg_stat_statements");
            Self { server, database }
        });
        started.await.expect("a server")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.port))
    }

    /// URL for `gateway.toml`, through a link that starts at `via`.
    pub(crate) fn url(&self, via: SocketAddr) -> String {
        instances::url(&via.to_string(), &self.database)
    }

    /// Ends every connection and stops.
    pub(crate) fn stop(&self) {
        self.server.stop();
    }

    /// Starts again on the same port.
    pub(crate) fn start_again(&self) {
        self.server.start_again();
    }

    /// Runs SQL as the superuser and returns the output.
    pub(crate) fn execute(&self, sql: &str) -> String {
        self.server.psql(&self.database, sql)
    }

    pub(crate) fn count_statements_from_now(&self) {
        self.execute("SELECT pg_stat_statements_reset()");
    }

    /// Statements of the gateways' role since the last reset, with their counts.
    pub(crate) fn counted_statements(&self) -> Vec<(String, i64)> {
        let counted = self.execute(&format!(
            "SELECT calls, regexp_replace(query, '\\s+', ' ', 'g') FROM pg_stat_statements s \
             JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid \
             WHERE rolname = '{ROLE}' AND datname = '{}' ORDER BY calls DESC",
            self.database
        ));
        let read = |line: &str| {
            let (calls, query) = line.split_once('|').expect("two columns");
            (query.to_owned(), calls.parse().expect("a number"))
        };
        counted.lines().map(read).collect()
    }

    /// All rows of all tables.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let tables = self.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let rows = |table: &str| self.execute(&format!("SELECT t::text FROM \"{table}\" t"));
        tables.lines().map(rows).collect::<String>().into_bytes()
    }
}
