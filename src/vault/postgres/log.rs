//! The revocation log as a follower reads it, on a connection of its own that also listens.
//!
//! ```text
//!  rows written by transactions:   ... 90  91  93 |  92 (still open)  94 ...
//!                                                 ^ xmin of the reading statement: the next cursor
//! ```
//!
//! Numbers are given when a row is written and seen when it is committed, so "larger than the last I saw" would miss
//! 92. A cursor stands for the snapshot of the page it came with: the next page has the rows from the oldest transaction
//! that was still running then (92), without those that were visible already (93). A transaction that stays open
//! anywhere in the cluster holds the oldest one back for hours, and costs no more than looking at the rows since.

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

use super::clients::{cancel, late};
use super::connect::{Connector, Connectors};
use super::fault::Fault;
use super::{PostgresOptions, PostgresVault, clock};
use crate::id::{Random, SystemRandom};
use crate::vault::{Cursor, LogEntry, LogPage, RevocationLog, VaultError};

/// How long the server may be at one page: of a whole hour's revocations, after everybody was signed out, say. A million
/// rows are 3 s.
const LONG_PAGE: Duration = Duration::from_secs(120);

/// Without notifications this is how often the follower looks: rarer would eat into the lease, which is a second by
/// default.
const POLL: Duration = Duration::from_millis(100);

/// The place and every row asked for, or one row of the place alone. All in one statement and so of one snapshot.
macro_rules! page {
    ($probe:literal, $rows:expr) => {
        concat!(
            "WITH ",
            clock!(),
            ", place AS MATERIALIZED (
                 SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
                        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax,
                        pg_current_snapshot()::text AS snapshot,
                        pg_is_in_recovery() AS standby",
            $probe,
            "
             )
             SELECT now, xmin, xmax, snapshot, standby, v.version, r.session_id, r.user_id, r.rights, r.until
             FROM clock CROSS JOIN place CROSS JOIN keys_version v LEFT JOIN revocations r ON ",
            $rows
        )
    };
}

/// What was not visible to a snapshot (`$2`) whose oldest running transaction was `$1`. A row of a transaction that is yet
/// to come here was restored from another server's backup: it was in the first page, and would be in every one until
/// this server has come as far.
macro_rules! unseen {
    () => {
        "r.xid >= $1::text::xid8 AND r.xid < pg_snapshot_xmax(pg_current_snapshot())
         AND NOT pg_visible_in_snapshot(r.xid, $2::text::pg_snapshot)"
    };
}

/// The two ways to read, on one server or on several.
struct Pages {
    since: &'static str,
    all: &'static str,
}

const PLAIN: Pages = Pages { since: page!("", unseen!()), all: page!("", "r.until > now") };

/// With something written: its commit waits for the standby as any other does. A primary that has been cut off, and
/// replaced without knowing it, has no standby any more, cannot answer, and so renews no lease.
const WRITTEN: Pages = Pages {
    since: page!(", pg_logical_emit_message(true, 'doorward', '') AS probe", unseen!()),
    all: page!(", pg_logical_emit_message(true, 'doorward', '') AS probe", "r.until > now"),
};

#[async_trait]
impl RevocationLog for PostgresVault {
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.follower.read(after).await
    }

    async fn changed(&self) {
        if self.follower.listens {
            // A notification while nobody waits leaves a permit behind, so the next call returns at once.
            self.follower.wake.notified().await;
        } else {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Reads the log.
pub(super) struct Follower {
    connectors: Connectors,
    /// The servers by name, for people.
    place: Arc<str>,
    pages: &'static Pages,
    /// Whether a session of its own is kept on the server; not behind a pooler.
    listens: bool,
    timeout: Duration,
    wake: Arc<Notify>,
    line: Mutex<Option<Line>>,
    seen: std::sync::Mutex<Seen>,
}

/// A cursor of a page that is not the last one given: a follower asks again with it at most when a read has failed.
const CURSORS: usize = 8;

/// What cursors stand for: the oldest running transaction and the snapshot of their page.
struct Seen {
    next: u64,
    places: VecDeque<(u64, i64, String)>,
}

impl Seen {
    fn new() -> Self {
        // So that a cursor of another vault's follower stands for nothing here, and begins anew.
        let random: &dyn Random = &SystemRandom;
        Self { next: u64::from_be_bytes(random.bytes()), places: VecDeque::new() }
    }

    fn keep(&mut self, xmin: i64, snapshot: String) -> Cursor {
        self.next = self.next.wrapping_add(1);
        self.places.truncate(CURSORS - 1);
        self.places.push_front((self.next, xmin, snapshot));
        Cursor(self.next)
    }

    fn place(&self, cursor: Cursor) -> Option<(i64, String)> {
        let (_, xmin, snapshot) = self.places.iter().find(|(id, ..)| *id == cursor.0)?;
        Some((*xmin, snapshot.clone()))
    }
}

impl Follower {
    pub(super) fn new(connectors: Connectors, options: &PostgresOptions) -> Self {
        Self {
            place: connectors.now().place,
            connectors,
            pages: if options.url.hosts.len() > 1 { &WRITTEN } else { &PLAIN },
            listens: options.prepared,
            timeout: options.statement_timeout,
            wake: Arc::new(Notify::new()),
            line: Mutex::new(None),
            seen: std::sync::Mutex::new(Seen::new()),
        }
    }

    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.read_once(after).await.map_err(|fault| fault.at(&self.place))
    }

    /// Within the time one statement may take.
    async fn in_time<T>(&self, step: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.timeout, step).await {
            Ok(answer) => answer,
            Err(_) => Err(late(&self.place, self.timeout).into()),
        }
    }

    /// Every row, each within the time a statement may take: a long page is progress and not silence.
    async fn rows(&self, asked: impl Future<Output = Result<RowStream, Fault>>) -> Result<Vec<Row>, Fault> {
        let mut stream = pin!(self.in_time(asked).await?);
        let mut rows = Vec::new();
        while let Some(row) = self.in_time(async { Ok(stream.try_next().await?) }).await? {
            rows.push(row);
        }
        Ok(rows)
    }

    async fn page(&self, line: &Line, after: Option<Cursor>) -> Result<LogPage, Fault> {
        if let Some((xmin, snapshot)) = after.and_then(|after| self.seen().place(after)) {
            let rows = self.rows(line.since(xmin, &snapshot)).await?;
            // A place beyond the newest transaction is of another server, or from before a backup was restored: begin
            // anew.
            if first(&rows)?.try_get::<_, i64>("xmax")? >= xmin {
                return page(&rows, &mut self.seen());
            }
        }
        let rows = self.rows(line.all()).await?;
        page(&rows, &mut self.seen())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // One step on one list: a panic elsewhere leaves nothing half-done.
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes the line out while it is used: a read that fails, or is given up, leaves none behind.
    async fn read_once(&self, after: Option<Cursor>) -> Result<LogPage, Fault> {
        let mut place = self.line.lock().await;
        let line = match place.take().filter(|line| !line.client.is_closed()) {
            Some(line) => line,
            None => self.in_time(self.connect()).await?,
        };
        let connectors = self.listens.then_some(&self.connectors);
        let mut used = Used { line: Some(line), connectors };
        if let Some(line) = &used.line {
            let page = self.page(line, after).await?;
            *place = used.line.take();
            return Ok(page);
        }
        Err(Fault::Late("has no connection to give".into()))
    }

    async fn connect(&self) -> Result<Line, Fault> {
        // Another server perhaps, or this one with a backup restored, whose transactions bear the same numbers again:
        // the next page is of everything.
        self.seen().places.clear();
        let Connector { mut config, tls, .. } = self.connectors.now();
        if let Some(limits) = config.get_options() {
            // Planned for the cursor at hand: how many rows come after it is all that the plan depends on.
            // And a page may be long: what bounds it is how long nothing of it comes.
            let millis = LONG_PAGE.as_millis();
            let planned =
                format!("{limits} -c statement_timeout={millis} -c plan_cache_mode=force_custom_plan");
            config.options(planned);
        }
        let connected = config.connect(tls).await;
        let (client, connection) = connected.map_err(Fault::Unreached)?;
        let driver = Driver(tokio::spawn(drive(connection, self.wake.clone())));
        let mut line = Line { client, pages: self.pages, prepared: None, _driver: driver };
        if self.listens {
            // Before the first read, so that what comes after that read is heard.
            line.client.batch_execute("LISTEN doorward").await?;
            let since = line.client.prepare_typed(self.pages.since, &[Type::INT8, Type::TEXT]).await?;
            let all = line.client.prepare(self.pages.all).await?;
            line.prepared = Some((since, all));
        }
        Ok(line)
    }
}

/// A line in use. One that is not put back is closed, and what runs on it cancelled: a read that waits for a standby
/// would else stay on the server, one more for each try.
struct Used<'a> {
    line: Option<Line>,
    /// How to reach the server to cancel; `None` behind a pooler.
    connectors: Option<&'a Connectors>,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        if let (Some(line), Some(connectors)) = (self.line.take(), self.connectors) {
            cancel(line.client.cancel_token(), connectors, line);
        }
    }
}

/// A connection that is the follower's own.
struct Line {
    client: Client,
    pages: &'static Pages,
    prepared: Option<(Statement, Statement)>,
    _driver: Driver,
}

impl Line {
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
    let place = first(rows)?;
    if place.try_get("standby")? {
        // It may lag behind as far as it likes: what it says is no proof of anything.
        let text = "a standby answers: name the primary in vault.url, or all hosts with commas";
        return Err(VaultError::Unavailable(text.into()).into());
    }
    let (xmin, version): (i64, i64) = (place.try_get("xmin")?, place.try_get("version")?);
    Ok(LogPage {
        entries: rows.iter().map(entry).filter_map(Result::transpose).collect::<Result<_, _>>()?,
        cursor: seen.keep(xmin, place.try_get("snapshot")?),
        keys_version: version.unsigned_abs(),
        now: place.try_get("now")?,
    })
}

/// A row of the log, or the row that is there when there is none.
fn entry(row: &Row) -> Result<Option<LogEntry>, Fault> {
    let Some(until) = row.try_get("until")? else { return Ok(None) };
    Ok(Some(match row.try_get("session_id")? {
        Some(id) => LogEntry::Session { id, until },
        None => LogEntry::Rights { user_id: row.try_get("user_id")?, rights: row.try_get("rights")?, until },
    }))
}

/// The task that moves a connection's bytes; it ends with whoever holds this.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wakes the follower for every notification, and when the connection is lost: then it looks at once, and reconnects.
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
