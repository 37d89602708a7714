//! The revocation log as a follower reads it, on a connection that also notices other processes' commits.
//!
//! A reader that has seen number n has seen everything up to n: numbers are assigned inside the one write transaction
//! that SQLite allows at a time, so their order is the order of the commits.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use tokio::sync::{Notify, oneshot};

use super::fault::{Fault, closed};
use super::reader::View;
use super::schema::Inode;
use super::{SqliteVault, keys, queue, schema};
use crate::clock::{Clock, Timestamp};
use crate::vault::{Cursor, LogEntry, LogPage, RevocationLog, VaultError};

/// Interval of checks for other processes' commits. A check costs microseconds; a longer interval would use up too much
/// of the lease, which is a second by default.
const POLL: Duration = Duration::from_millis(50);

/// Maximum number of waiting reads: there is one follower, so a second read waits only after the first was abandoned.
const WAITING: usize = 16;

/// The largest number ever assigned, even if its row was deleted.
const HEAD: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'revocations'), 0)";

#[async_trait]
impl RevocationLog for SqliteVault {
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.follower.read(after).await
    }

    async fn wait_for_change(&self) {
        // A commit without a waiter is stored as a permit, so the next call returns at once.
        self.follower.wake.notified().await;
    }
}

/// Handle of the follower thread.
pub(super) struct Follower {
    queue: SyncSender<ReadRequest>,
    wake: Arc<Notify>,
    timeout: Duration,
}

struct ReadRequest {
    after: Option<Cursor>,
    reply: oneshot::Sender<Result<LogPage, VaultError>>,
}

impl Follower {
    /// Starts the thread.
    pub(super) fn start(
        path: &Arc<Path>,
        clock: &Arc<dyn Clock>,
        wake: Arc<Notify>,
        timeout: Duration,
    ) -> Result<Self, Fault> {
        let connection = schema::connect_to_read(path, timeout)?;
        let announced = Position::of(&View::new(&connection, clock.wall()))?;
        let (queue, requests) = sync_channel(WAITING);
        let thread = Thread {
            path: path.clone(),
            clock: clock.clone(),
            wake: wake.clone(),
            checked_version: data_version(&connection)?,
            announced,
            last: None,
            inode: Inode::of(path),
            connection,
        };
        queue::spawn("vault-follower", move || thread.serve(&requests))?;
        Ok(Self { queue, wake, timeout })
    }

    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(ReadRequest { after, reply }).map_err(|error| match error {
            TrySendError::Full(_) => VaultError::Unavailable("too many log reads are waiting".into()),
            TrySendError::Disconnected(_) => closed(),
        })?;
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(|_| closed())?,
            Err(_) => Err(queue::timed_out(self.timeout)),
        }
    }
}

/// Position of the log and version of the key table.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Position {
    head: i64,
    keys_version: i64,
}

impl Position {
    fn of(view: &View<'_>) -> Result<Self, Fault> {
        Ok(Self { head: view.value(HEAD, [])?, keys_version: view.value(keys::VERSION, [])? })
    }

    fn page(self, entries: Vec<LogEntry>, now: Timestamp) -> LogPage {
        LogPage {
            entries,
            cursor: Cursor(self.head.unsigned_abs()),
            keys_version: self.keys_version.unsigned_abs(),
            now,
        }
    }
}

struct Thread {
    connection: Connection,
    path: Arc<Path>,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
    /// `data_version` at the last check.
    checked_version: i64,
    /// Position that the follower has read or was woken for.
    announced: Position,
    /// The file that was opened.
    inode: Option<Inode>,
    /// Position of the last page, and `data_version` before it was read.
    last: Option<(i64, Position)>,
}

impl Thread {
    fn serve(mut self, requests: &Receiver<ReadRequest>) {
        loop {
            match requests.recv_timeout(POLL) {
                Ok(request) => self.answer(request),
                // A failed check is ignored; the next read returns the error.
                Err(RecvTimeoutError::Timeout) => drop(self.check()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn answer(&mut self, request: ReadRequest) {
        let read = queue::guarded(|| self.read(request.after)).map_err(|fault| fault.at(&self.path));
        let position = read.as_ref().ok().map(|(_, position)| *position);
        let delivered = request.reply.send(read.map(|(page, _)| page)).is_ok();
        if let Some(position) = position.filter(|_| delivered) {
            self.announced = position;
        }
    }

    fn read(&mut self, after: Option<Cursor>) -> Result<(LogPage, Position), Fault> {
        self.inode.ok_or_else(closed)?.check_unchanged(&self.path)?;
        // Read before the snapshot, so that a commit between the two makes the next read query again.
        let version = data_version(&self.connection)?;
        let now = self.clock.wall();
        if let Some((_, position)) = self.last.filter(|(seen, position)| {
            *seen == version && after == Some(Cursor(position.head.unsigned_abs()))
        }) {
            return Ok((position.page(Vec::new(), now), position));
        }
        let snapshot = self.connection.unchecked_transaction()?;
        let view = View::new(&snapshot, now);
        let position = Position::of(&view)?;
        // A cursor beyond the end is from before a backup was restored in position: start from the beginning.
        let after =
            after.and_then(|after| i64::try_from(after.0).ok()).filter(|after| *after <= position.head);
        let entries = match after {
            Some(after) => view.rows("SELECT * FROM revocations WHERE seq > ?1", params![after], entry),
            None => view.rows("SELECT * FROM revocations WHERE until > ?1", params![now], entry),
        }?;
        snapshot.commit()?;
        self.last = Some((version, position));
        Ok((position.page(entries, now), position))
    }

    /// Wakes the follower if another connection has written to the log or the key table.
    fn check(&mut self) -> Result<(), Fault> {
        let version = data_version(&self.connection)?;
        if version == self.checked_version {
            return Ok(());
        }
        let position = Position::of(&View::new(&self.connection, self.clock.wall()))?;
        self.checked_version = version;
        if position != self.announced {
            self.announced = position;
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// Changes with every commit of any other connection, in this process or another.
fn data_version(connection: &Connection) -> Result<i64, Fault> {
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    let until = row.get("until")?;
    Ok(match row.get("session_id")? {
        Some(id) => LogEntry::Session { id, until },
        None => LogEntry::Rights { user_id: row.get("user_id")?, rights: row.get("rights")?, until },
    })
}
