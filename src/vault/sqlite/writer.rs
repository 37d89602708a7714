//! The writer thread: all waiting jobs run in one transaction with one commit (group commit).
//!
//! ```text
//!  wait for work -> BEGIN IMMEDIATE -> per job: SAVEPOINT, run, RELEASE or ROLLBACK TO -> COMMIT -> reply to all
//! ```
//!
//! Results are returned after the commit, so a confirmed change is on the disk. A failed job rolls back only its own
//! work. A failed commit rolls back the batch, and every job in it gets the error.

use std::cell::Cell;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Params};
use tokio::sync::{Notify, mpsc, oneshot};

use super::fault::{Fault, closed};
use super::queue;
use super::reader::View;
use super::schema::Inode;
use crate::clock::Clock;
use crate::vault::VaultError;
use crate::vault::origin::Origin;

/// Maximum number of jobs per commit. A commit costs some hundred times a job, so fewer would waste the disk; more
/// would make the first wait for the last.
const BATCH: usize = 64;

/// The writer's transaction, as a job sees it: everything committed before, and the job's own changes.
pub(super) struct Tx<'a> {
    view: View<'a>,
    announced: &'a Cell<bool>,
    origin: &'a Origin,
}

impl<'a> Tx<'a> {
    /// Executes one statement; returns the number of changed rows.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Fault> {
        Ok(self.prepare_cached(sql)?.execute(params)?)
    }

    /// Origin of the job, for its audit rows.
    pub(super) const fn origin(&self) -> &Origin {
        self.origin
    }

    /// Wakes the follower of the log after the commit.
    pub(super) fn announce(&self) {
        self.announced.set(true);
    }
}

impl<'a> Deref for Tx<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

/// Handle of the writer thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    path: Arc<Path>,
    timeout: Duration,
}

impl Writer {
    /// Starts the thread, which owns the connection.
    pub(super) fn start(
        connection: Connection,
        path: &Arc<Path>,
        clock: &Arc<dyn Clock>,
        wake: &Arc<Notify>,
        timeout: Duration,
    ) -> Result<Self, Fault> {
        let (queue, jobs) = mpsc::channel(queue::LENGTH);
        let inode = Inode::of(path);
        let thread =
            Thread { connection, inode, path: path.clone(), clock: clock.clone(), wake: wake.clone() };
        queue::spawn("vault-writer", move || thread.serve(jobs))?;
        Ok(Self { queue, path: path.clone(), timeout })
    }

    /// Runs a change. Returns when it is durable.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, VaultError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let origin = Origin::current();
        let task = Task { work: Some(work), outcome: None, reply, path: self.path.clone(), origin };
        queue::submit(&self.queue, Box::new(task), answer, self.timeout).await
    }
}

/// A queued job.
trait Job: Send {
    /// Runs the job; returns whether to keep its changes.
    fn run(&mut self, tx: &Tx<'_>) -> bool;
    /// Returns the origin of the job.
    fn origin(&self) -> Origin;
    /// Returns the result after the commit.
    fn reply(self: Box<Self>, committed: &Result<(), VaultError>);
}

struct Task<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, VaultError>>,
    reply: oneshot::Sender<Result<T, VaultError>>,
    path: Arc<Path>,
    origin: Origin,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send,
{
    fn run(&mut self, tx: &Tx<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        let outcome = queue::guarded(|| work(tx)).map_err(|fault| fault.at(&self.path));
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn reply(self: Box<Self>, committed: &Result<(), VaultError>) {
        let not_run = || Err(VaultError::Unavailable("the vault did not run the change".into()));
        let result = match committed {
            Ok(()) => self.outcome.unwrap_or_else(not_run),
            Err(error) => Err(error.clone()),
        };
        // A caller that is gone needs no result.
        drop(self.reply.send(result));
    }
}

struct Thread {
    connection: Connection,
    /// The file that was opened.
    inode: Option<Inode>,
    path: Arc<Path>,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
}

impl Thread {
    fn serve(self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
            let announced = Cell::new(false);
            let committed = self.commit(&mut batch, &announced).map_err(|fault| fault.at(&self.path));
            if committed.is_ok() && announced.get() {
                self.wake.notify_one();
            }
            for job in batch.drain(..) {
                job.reply(&committed);
            }
        }
    }

    /// Runs all jobs in one transaction.
    fn commit(&self, batch: &mut [Box<dyn Job>], announced: &Cell<bool>) -> Result<(), Fault> {
        if !self.connection.is_autocommit() {
            // An earlier rollback failed: nothing else may join that transaction until it succeeds.
            self.control("ROLLBACK")?;
        }
        // IMMEDIATE takes the write lock at once, waiting for other processes, so that data cannot change after a job
        // has read it.
        self.control("BEGIN IMMEDIATE")?;
        self.inode
            .ok_or_else(closed)?
            .check_unchanged(&self.path)
            .inspect_err(|_| drop(self.control("ROLLBACK")))?;
        let result = self.run_each(batch, announced).and_then(|()| self.control("COMMIT"));
        if result.is_err() && !self.connection.is_autocommit() {
            // If this fails too, the next batch starts with it.
            drop(self.control("ROLLBACK"));
        }
        result
    }

    fn run_each(&self, batch: &mut [Box<dyn Job>], announced: &Cell<bool>) -> Result<(), Fault> {
        for job in batch {
            self.control("SAVEPOINT job")?;
            let view = View::new(&self.connection, self.clock.wall());
            let origin = job.origin();
            let keep = job.run(&Tx { view, announced, origin: &origin });
            if self.connection.is_autocommit() {
                // On a full disk, for example, SQLite rolls back everything itself, including earlier jobs.
                return Err(VaultError::Unavailable("SQLite rolled back the transaction".into()).into());
            }
            if !keep {
                self.control("ROLLBACK TO job")?;
            }
            self.control("RELEASE job")?;
        }
        Ok(())
    }

    fn control(&self, sql: &str) -> Result<(), Fault> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
