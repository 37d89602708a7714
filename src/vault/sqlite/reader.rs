//! The reader threads: questions that change nothing, each answered from one snapshot.

use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Params, Row};
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::{queue, schema};
use crate::clock::{Clock, Timestamp};
use crate::vault::VaultError;

/// Two, so that one long list does not hold up logins; more would only compete for two cores.
const THREADS: usize = 2;

/// One snapshot of the vault at one time.
pub(super) struct View<'a> {
    connection: &'a Connection,
    now: Timestamp,
}

impl<'a> View<'a> {
    /// What `connection` sees, at `now`.
    pub(super) const fn new(connection: &'a Connection, now: Timestamp) -> Self {
        Self { connection, now }
    }

    /// The vault's clock: the same for all of one piece of work.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// The first row, if there is one.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// Every row.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Fault> {
        Ok(self.connection.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
    }

    /// The value of a row that is always there.
    pub(super) fn value<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<T, Fault> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, |row| row.get(0))?)
    }
}

impl Deref for View<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

type Job = Box<dyn FnOnce(&View<'_>) + Send>;

/// The way to the reader threads.
pub(super) struct Readers {
    queue: mpsc::Sender<Job>,
    path: Arc<Path>,
    timeout: Duration,
}

impl Readers {
    /// Starts the threads.
    pub(super) fn start(path: &Arc<Path>, clock: &Arc<dyn Clock>, timeout: Duration) -> Result<Self, Fault> {
        let (queue, jobs) = mpsc::channel(queue::LENGTH);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..THREADS {
            let connection = schema::connect_to_read(path, timeout)?;
            let (jobs, clock) = (jobs.clone(), clock.clone());
            queue::spawn("vault-reader", move || serve(&connection, &jobs, &*clock))?;
        }
        Ok(Self { queue, path: path.clone(), timeout })
    }

    /// Asks a question.
    pub(super) async fn ask<T, F>(&self, question: F) -> Result<T, VaultError>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let path = self.path.clone();
        let job: Job = Box::new(move |view| {
            // Nobody waits any more: spare the disk.
            if reply.is_closed() {
                return;
            }
            let answer = queue::guarded(|| {
                let snapshot = view.unchecked_transaction()?;
                let answer = question(view)?;
                snapshot.commit()?;
                Ok(answer)
            });
            drop(reply.send(answer.map_err(|fault| fault.at(&path))));
        });
        queue::ask(&self.queue, job, answer, self.timeout).await
    }
}

fn serve(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Job>>, clock: &dyn Clock) {
    loop {
        // The lock is held while waiting for work, never while doing it; nothing in here can panic.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        job(&View::new(connection, clock.wall()));
    }
}
