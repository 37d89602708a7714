//! The revocation log as a follower reads it, on a connection of its own that also listens.
//!
//! ```text
//!  rows written by transactions:   ... 90  91  93 |  92 (still open)  94 ...
//!                                                 ^ xmin of the reading statement: the next cursor
//! ```
//!
//! Numbers are given when a row is written and seen when it is committed, so "larger than the last I saw" would miss
//! 92. A read answers the oldest transaction that was still running (92) as the next cursor, and takes every row from
//! the cursor on: 93 may come twice, 92 never not at all.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, RowStream, Socket, Statement};

use super::clients::{cancel, late};
use super::connect::Connector;
use super::fault::Fault;
use super::{PostgresOptions, PostgresVault, clock};
use crate::vault::{Cursor, LogEntry, LogPage, RevocationLog, VaultError};

/// How long the server may be at one page: of a whole hour's revocations, after everybody was signed out, say. A million
/// rows are 3 s.
const LONG_PAGE: Duration = Duration::from_secs(120);

/// Without notifications this is how often the follower looks: rarer would eat into the lease, which is a second by
/// default.
const POLL: Duration = Duration::from_millis(100);

/// The place and every row asked for, or one row of the place alone. All in one statement and so of one snapshot.
macro_rules! page {
    ($probe:literal, $rows:literal) => {
        concat!(
            "WITH ",
            clock!(),
            ", place AS MATERIALIZED (
                 SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
                        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax,
                        pg_is_in_recovery() AS standby",
            $probe,
            "
             )
             SELECT now, xmin, xmax, standby, v.version, r.session_id, r.user_id, r.rights, r.until
             FROM clock CROSS JOIN place CROSS JOIN keys_version v LEFT JOIN revocations r ON ",
            $rows
        )
    };
}

/// The two ways to read, on one server or on several.
struct Pages {
    since: &'static str,
    all: &'static str,
}

const PLAIN: Pages = Pages { since: page!("", "r.xid >= $1::text::xid8"), all: page!("", "r.until > now") };

/// With something written: its commit waits for the standby as any other does. A primary that has been cut off, and
/// replaced without knowing it, has no standby any more, cannot answer, and so renews no lease.
const WRITTEN: Pages = Pages {
    since: page!(", pg_logical_emit_message(true, 'doorward', '') AS probe", "r.xid >= $1::text::xid8"),
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
    connector: Connector,
    pages: &'static Pages,
    /// Whether a session of its own is kept on the server; not behind a pooler.
    listens: bool,
    timeout: Duration,
    wake: Arc<Notify>,
    line: Mutex<Option<Line>>,
}

impl Follower {
    pub(super) fn new(mut connector: Connector, options: &PostgresOptions) -> Self {
        if let Some(limits) = connector.config.get_options() {
            // Planned for the cursor at hand: how many rows come after it is all that the plan depends on.
            // And a page may be long: what bounds it is how long nothing of it comes.
            let millis = LONG_PAGE.as_millis();
            let planned =
                format!("{limits} -c statement_timeout={millis} -c plan_cache_mode=force_custom_plan");
            connector.config.options(planned);
        }
        Self {
            connector,
            pages: if options.url.hosts.len() > 1 { &WRITTEN } else { &PLAIN },
            listens: options.prepared,
            timeout: options.statement_timeout,
            wake: Arc::new(Notify::new()),
            line: Mutex::new(None),
        }
    }

    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.read_once(after).await.map_err(|fault| fault.at(&self.connector.place))
    }

    /// Within the time one statement may take.
    async fn in_time<T>(&self, step: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.timeout, step).await {
            Ok(answer) => answer,
            Err(_) => Err(late(&self.connector.place, self.timeout).into()),
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
        if let Some(after) = after.and_then(|after| i64::try_from(after.0).ok()) {
            let rows = self.rows(line.since(after)).await?;
            // A cursor beyond the newest transaction is from another server, or from before a backup was restored:
            // begin anew.
            if first(&rows)?.try_get::<_, i64>("xmax")? >= after {
                return page(&rows);
            }
        }
        page(&self.rows(line.all()).await?)
    }

    /// Takes the line out while it is used: a read that fails, or is given up, leaves none behind.
    async fn read_once(&self, after: Option<Cursor>) -> Result<LogPage, Fault> {
        let mut place = self.line.lock().await;
        let line = match place.take().filter(|line| !line.client.is_closed()) {
            Some(line) => line,
            None => self.in_time(self.connect()).await?,
        };
        let connector = self.listens.then_some(&self.connector);
        let mut used = Used { line: Some(line), connector };
        if let Some(line) = &used.line {
            let page = self.page(line, after).await?;
            *place = used.line.take();
            return Ok(page);
        }
        Err(Fault::Late("has no connection to give".into()))
    }

    async fn connect(&self) -> Result<Line, Fault> {
        let connected = self.connector.config.connect(self.connector.tls.clone()).await;
        let (client, connection) = connected.map_err(Fault::Unreached)?;
        let driver = Driver(tokio::spawn(drive(connection, self.wake.clone())));
        let mut line = Line { client, pages: self.pages, prepared: None, _driver: driver };
        if self.listens {
            // Before the first read, so that what comes after that read is heard.
            line.client.batch_execute("LISTEN doorward").await?;
            let since = line.client.prepare_typed(self.pages.since, &[Type::INT8]).await?;
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
    connector: Option<&'a Connector>,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        if let (Some(line), Some(connector)) = (self.line.take(), self.connector) {
            cancel(line.client.cancel_token(), connector, line);
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
    async fn since(&self, after: i64) -> Result<RowStream, Fault> {
        Ok(match &self.prepared {
            Some((since, _)) => self.client.query_raw(since, [after]).await?,
            None => self.client.query_typed_raw(self.pages.since, [(after, Type::INT8)]).await?,
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

fn page(rows: &[Row]) -> Result<LogPage, Fault> {
    let place = first(rows)?;
    if place.try_get("standby")? {
        // It may lag behind as far as it likes: what it says is no proof of anything.
        let text = "a standby answers: name the primary in vault.url, or all hosts with commas";
        return Err(VaultError::Unavailable(text.into()).into());
    }
    let (xmin, version): (i64, i64) = (place.try_get("xmin")?, place.try_get("version")?);
    Ok(LogPage {
        entries: rows.iter().map(entry).filter_map(Result::transpose).collect::<Result<_, _>>()?,
        cursor: Cursor(xmin.unsigned_abs()),
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
