//! The revocation log as a follower reads it, on its own connection that also listens.
//!
//! ```text
//!  rows written by transactions:   ... 90  91  93 |  92 (still open)  94 ...
//!                                                 ^ xmin of the reading statement: the next cursor
//! ```
//!
//! Numbers are assigned when a row is written and become visible when it is committed, so "greater than the last one"
//! would miss 92. A cursor stands for the snapshot of its page. The next page has the rows from the oldest transaction
//! that was still running then (92), without those that were already visible (93). A transaction that stays open
//! anywhere in the cluster can hold the oldest one back for hours; this only costs scanning the rows since then.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Row, RowStream, Socket, Statement};

use super::connection::clients::{cancel, timed_out};
use super::connection::connect::{Connector, Connectors};
use super::fault::Fault;
use super::{PostgresOptions, PostgresVault, clock, proof};
use crate::id::{Random, SystemRandom};
use crate::vault::{Cursor, LogEntry, LogPage, RevocationLog, VaultError};

/// Maximum time of one page on the server, for instance with a whole hour's revocations after all users were signed
/// out. A million rows take 3 s.
const LONG_PAGE: Duration = Duration::from_secs(120);

/// Poll interval without notifications. A longer one would use up too much of the lease, which is a second by default.
const POLL: Duration = Duration::from_millis(100);

/// The position and every selected row, or one row with the position alone. All in one statement and so in one
/// snapshot.
macro_rules! page {
    ($proof:expr, $rows:expr) => {
        concat!(
            "WITH ",
            clock!(),
            ", place AS MATERIALIZED (
                 SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
                        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax,
                        pg_current_snapshot()::text AS snapshot,
                        pg_is_in_recovery() AS standby",
            $proof,
            "
             )
             SELECT now, xmin, xmax, snapshot, standby, v.version, r.session_id, r.user_id, r.rights, r.until
             FROM clock CROSS JOIN place CROSS JOIN keys_version v LEFT JOIN revocations r ON ",
            $rows
        )
    };
}

/// Rows that were not visible to a snapshot (`$2`) whose oldest running transaction was `$1`. A row of a transaction id
/// that this server has not reached was restored from another server's backup. It was in the first page, and would be
/// in every page until this server reaches that id.
macro_rules! unseen {
    () => {
        "r.xid >= $1::text::xid8 AND r.xid < pg_snapshot_xmax(pg_current_snapshot())
         AND NOT pg_visible_in_snapshot(r.xid, $2::text::pg_snapshot)"
    };
}

/// The two read statements, for one server or for several.
struct Pages {
    since: &'static str,
    all: &'static str,
}

const PLAIN: Pages = Pages { since: page!("", unseen!()), all: page!("", "r.until > now") };

/// These statements write a proof: a primary without its standby cannot answer, and so renews no lease.
const WRITTEN: Pages = Pages {
    since: page!(concat!(", ", proof!(), " AS proof"), unseen!()),
    all: page!(concat!(", ", proof!(), " AS proof"), "r.until > now"),
};

#[async_trait]
impl RevocationLog for PostgresVault {
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.follower.read(after).await
    }

    async fn wait_for_change(&self) {
        if self.follower.listens {
            // A notification without a waiter is stored as a permit, so the next call returns at once.
            self.follower.wake.notified().await;
        } else {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Reader of the log.
pub(super) struct Follower {
    connectors: Connectors,
    /// Names of the servers, for messages.
    server_names: Arc<str>,
    pages: &'static Pages,
    /// True if it keeps a session on the server and listens; false behind a pooler.
    listens: bool,
    timeout: Duration,
    wake: Arc<Notify>,
    connection: Mutex<Option<LogConnection>>,
    seen: std::sync::Mutex<Seen>,
}

/// Number of recent cursors kept. A follower uses an older cursor than the last one only after a failed read.
const CURSORS: usize = 8;

/// Recent cursors: the oldest running transaction and the snapshot of each page.
struct Seen {
    next: u64,
    cursors: VecDeque<(u64, i64, String)>,
}

impl Seen {
    fn new() -> Self {
        // A random start makes cursors of another vault's follower unknown here, so that they start from the beginning.
        let random: &dyn Random = &SystemRandom;
        Self { next: u64::from_be_bytes(random.bytes()), cursors: VecDeque::new() }
    }

    fn keep(&mut self, xmin: i64, snapshot: String) -> Cursor {
        self.next = self.next.wrapping_add(1);
        self.cursors.truncate(CURSORS - 1);
        self.cursors.push_front((self.next, xmin, snapshot));
        Cursor(self.next)
    }

    fn position(&self, cursor: Cursor) -> Option<(i64, String)> {
        let (_, xmin, snapshot) = self.cursors.iter().find(|(id, ..)| *id == cursor.0)?;
        Some((*xmin, snapshot.clone()))
    }
}

impl Follower {
    pub(super) fn new(connectors: Connectors, options: &PostgresOptions) -> Self {
        Self {
            server_names: connectors.now().server_names,
            connectors,
            pages: if options.url.hosts.len() > 1 { &WRITTEN } else { &PLAIN },
            listens: options.prepared,
            timeout: options.statement_timeout,
            wake: Arc::new(Notify::new()),
            connection: Mutex::new(None),
            seen: std::sync::Mutex::new(Seen::new()),
        }
    }

    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.read_once(after).await.map_err(|fault| fault.at(&self.server_names))
    }

    /// Limits a step to the statement timeout.
    async fn in_time<T>(&self, step: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.timeout, step).await {
            Ok(answer) => answer,
            Err(_) => Err(timed_out(&self.server_names, self.timeout).into()),
        }
    }

    /// Returns all rows, each within the statement timeout: a long page makes progress and is not a stall.
    async fn rows(&self, query: impl Future<Output = Result<RowStream, Fault>>) -> Result<Vec<Row>, Fault> {
        let mut stream = pin!(self.in_time(query).await?);
        let mut rows = Vec::new();
        while let Some(row) = self.in_time(async { Ok(stream.try_next().await?) }).await? {
            rows.push(row);
        }
        Ok(rows)
    }

    async fn page(&self, connection: &LogConnection, after: Option<Cursor>) -> Result<LogPage, Fault> {
        if let Some((xmin, snapshot)) = after.and_then(|after| self.seen().position(after)) {
            let rows = self.rows(connection.since(xmin, &snapshot)).await?;
            // A position beyond the newest transaction is from another server, or from before a backup was restored:
            // start from the beginning.
            if first(&rows)?.try_get::<_, i64>("xmax")? >= xmin {
                return page(&rows, &mut self.seen());
            }
        }
        let rows = self.rows(connection.all()).await?;
        page(&rows, &mut self.seen())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // A single step on a list: a panic elsewhere leaves it consistent.
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes the connection out while it is used, so that a failed or aborted read leaves none behind.
    async fn read_once(&self, after: Option<Cursor>) -> Result<LogPage, Fault> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => connection,
            None => self.in_time(self.connect()).await?,
        };
        let connectors = self.listens.then_some(&self.connectors);
        let mut used = Borrowed { connection: Some(connection), connectors };
        if let Some(connection) = &used.connection {
            let page = self.page(connection, after).await?;
            *slot = used.connection.take();
            return Ok(page);
        }
        Err(Fault::Unavailable("has no usable connection".into()))
    }

    async fn connect(&self) -> Result<LogConnection, Fault> {
        // This may be another server, or the same one after a restore, which reuses transaction ids: the next page
        // contains everything.
        self.seen().cursors.clear();
        let Connector { mut config, tls, .. } = self.connectors.now();
        if let Some(limits) = config.get_options() {
            // The plan depends on the number of rows after the cursor, so it is made for each query. A page may be
            // long, so the bound is on the time between rows.
            let millis = LONG_PAGE.as_millis();
            let planned =
                format!("{limits} -c statement_timeout={millis} -c plan_cache_mode=force_custom_plan");
            config.options(planned);
        }
        let connected = config.connect(tls).await;
        let (client, connection) = connected.map_err(Fault::Connect)?;
        let driver = Driver(tokio::spawn(drive(connection, self.wake.clone())));
        let mut connection = LogConnection { client, pages: self.pages, prepared: None, _driver: driver };
        if self.listens {
            // LISTEN before the first read, so that writes after that read are notified.
            connection.client.batch_execute("LISTEN doorward").await?;
            let since = connection.client.prepare_typed(self.pages.since, &[Type::INT8, Type::TEXT]).await?;
            let all = connection.client.prepare(self.pages.all).await?;
            connection.prepared = Some((since, all));
        }
        Ok(connection)
    }
}

/// A connection in use. If it is not put back it is closed and its statement cancelled. Otherwise a read that waits for
/// a standby would stay on the server, one more for each retry.
struct Borrowed<'a> {
    connection: Option<LogConnection>,
    /// Connection settings for the cancel request; `None` behind a pooler.
    connectors: Option<&'a Connectors>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let (Some(connection), Some(connectors)) = (self.connection.take(), self.connectors) {
            cancel(connection.client.cancel_token(), connectors, connection);
        }
    }
}

/// The follower's own connection.
struct LogConnection {
    client: Client,
    pages: &'static Pages,
    prepared: Option<(Statement, Statement)>,
    _driver: Driver,
}

impl LogConnection {
    async fn since(&self, xmin: i64, snapshot: &str) -> Result<RowStream, Fault> {
        let values: [&(dyn ToSql + Sync); 2] = [&xmin, &snapshot];
        Ok(match &self.prepared {
            Some((since, _)) => self.client.query_raw(since, values).await?,
            None => {
                let typed = values.into_iter().zip([Type::INT8, Type::TEXT]);
                self.client.query_typed_raw(self.pages.since, typed).await?
            }
        })
    }

    async fn all(&self) -> Result<RowStream, Fault> {
        Ok(match &self.prepared {
            Some((_, all)) => self.client.query_raw(all, [0_i64; 0]).await?,
            None => {
                let nothing: [(i64, Type); 0] = [];
                self.client.query_typed_raw(self.pages.all, nothing).await?
            }
        })
    }
}

fn first(rows: &[Row]) -> Result<&Row, Fault> {
    let empty = || VaultError::Damaged("the vault's table `keys_version` is empty: restore a backup".into());
    Ok(rows.first().ok_or_else(empty)?)
}

fn page(rows: &[Row], seen: &mut Seen) -> Result<LogPage, Fault> {
    let position = first(rows)?;
    if position.try_get("standby")? {
        // A standby may lag behind without bound, so its data proves nothing.
        let text = "the server is a standby: name the primary in vault.url, or all hosts with commas";
        return Err(VaultError::Unavailable(text.into()).into());
    }
    let (xmin, version): (i64, i64) = (position.try_get("xmin")?, position.try_get("version")?);
    Ok(LogPage {
        entries: rows.iter().map(entry).filter_map(Result::transpose).collect::<Result<_, _>>()?,
        cursor: seen.keep(xmin, position.try_get("snapshot")?),
        keys_version: version.unsigned_abs(),
        now: position.try_get("now")?,
    })
}

/// Reads a row of the log; `None` for the row that stands for an empty log.
fn entry(row: &Row) -> Result<Option<LogEntry>, Fault> {
    let Some(until) = row.try_get("until")? else { return Ok(None) };
    Ok(Some(match row.try_get("session_id")? {
        Some(id) => LogEntry::Session { id, until },
        None => LogEntry::Rights { user_id: row.try_get("user_id")?, rights: row.try_get("rights")?, until },
    }))
}

/// The task that drives a connection; it is aborted when this is dropped.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wakes the follower for every notification, and when the connection is lost, so that it reconnects at once.
async fn drive<S: TlsStream + Unpin>(mut connection: Connection<Socket, S>, wake: Arc<Notify>) {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => wake.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break,
        }
    }
    wake.notify_one();
}
