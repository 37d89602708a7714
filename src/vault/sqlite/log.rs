//! The revocation log as a follower reads it, on a connection that also notices other processes.
//!
//! A reader that has seen number n has seen everything up to n: numbers are given inside the one write transaction
//! SQLite allows at a time, so their order is the order of the commits.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use tokio::sync::{Notify, oneshot};

use super::fault::{Fault, gone};
use super::reader::View;
use super::schema::Inode;
use super::{SqliteVault, keys, queue, schema};
use crate::clock::{Clock, Timestamp};
use crate::vault::{Cursor, LogEntry, LogPage, RevocationLog, VaultError};

/// How often other processes' commits are looked for. A look costs microseconds; rarer would eat into the lease,
/// which is a second by default.
const POLL: Duration = Duration::from_millis(50);

/// How many reads may wait: there is one follower, so a second read waits only after the first was given up.
const WAITING: usize = 16;

/// The largest number ever given, whatever was deleted since.
const HEAD: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'revocations'), 0)";

#[async_trait]
impl RevocationLog for SqliteVault {
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        self.follower.read(after).await
    }

    async fn changed(&self) {
        // A commit while nobody waits leaves a permit behind, so the next call returns at once.
        self.follower.wake.notified().await;
    }
}

/// The way to the follower thread.
pub(super) struct Follower {
    queue: SyncSender<Ask>,
    wake: Arc<Notify>,
    timeout: Duration,
}

struct Ask {
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
        let told = Place::of(&View::new(&connection, clock.wall()))?;
        let (queue, asks) = sync_channel(WAITING);
        let thread = Thread {
            path: path.clone(),
            clock: clock.clone(),
            wake: wake.clone(),
            looked: data_version(&connection)?,
            told,
            last: None,
            inode: Inode::of(path),
            connection,
        };
        queue::spawn("vault-follower", move || thread.serve(&asks))?;
        Ok(Self { queue, wake, timeout })
    }

    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Ask { after, reply }).map_err(|error| match error {
            TrySendError::Full(_) => VaultError::Unavailable("too many reads of the log wait already".into()),
            TrySendError::Disconnected(_) => gone(),
        })?;
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(|_| gone())?,
            Err(_) => Err(queue::late(self.timeout)),
        }
    }
}

/// How far the log and the key table are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    head: i64,
    keys_version: i64,
}

impl Place {
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
    /// What `data_version` was at the last look.
    looked: i64,
    /// What the follower has been told or woken for.
    told: Place,
    /// The file that was opened.
    inode: Option<Inode>,
    /// The last page answered, with what `data_version` was before it was read.
    last: Option<(i64, Place)>,
}

impl Thread {
    fn serve(mut self, asks: &Receiver<Ask>) {
        loop {
            match asks.recv_timeout(POLL) {
                Ok(ask) => self.answer(ask),
                // A look that fails tells nothing; the next read says why.
                Err(RecvTimeoutError::Timeout) => drop(self.look()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        let read = queue::guarded(|| self.read(ask.after)).map_err(|fault| fault.at(&self.path));
        let place = read.as_ref().ok().map(|(_, place)| *place);
        let heard = ask.reply.send(read.map(|(page, _)| page)).is_ok();
        if let Some(place) = place.filter(|_| heard) {
            self.told = place;
        }
    }

    fn read(&mut self, after: Option<Cursor>) -> Result<(LogPage, Place), Fault> {
        self.inode.ok_or_else(gone)?.still(&self.path)?;
        // Before the snapshot: what is committed between the two makes the next read look again.
        let version = data_version(&self.connection)?;
        let now = self.clock.wall();
        if let Some((_, place)) = self
            .last
            .filter(|(seen, place)| *seen == version && after == Some(Cursor(place.head.unsigned_abs())))
        {
            return Ok((place.page(Vec::new(), now), place));
        }
        let snapshot = self.connection.unchecked_transaction()?;
        let view = View::new(&snapshot, now);
        let place = Place::of(&view)?;
        // A cursor beyond the end is from before a backup was restored in place: begin anew.
        let after = after.and_then(|after| i64::try_from(after.0).ok()).filter(|after| *after <= place.head);
        let entries = match after {
            Some(after) => view.rows("SELECT * FROM revocations WHERE seq > ?1", params![after], entry),
            None => view.rows("SELECT * FROM revocations WHERE until > ?1", params![now], entry),
        }?;
        snapshot.commit()?;
        self.last = Some((version, place));
        Ok((place.page(entries, now), place))
    }

    /// Wakes the follower when somebody else has written to the log or the key table.
    fn look(&mut self) -> Result<(), Fault> {
        let version = data_version(&self.connection)?;
        if version == self.looked {
            return Ok(());
        }
        let place = Place::of(&View::new(&self.connection, self.clock.wall()))?;
        self.looked = version;
        if place != self.told {
            self.told = place;
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// Moves with every commit of any other connection, of this process or another.
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
