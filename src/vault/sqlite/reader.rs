//! The reader threads: read-only queries, each on one snapshot.

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

/// Number of threads. Two, so that one long list does not delay logins; more would only compete for two cores.
const THREADS: usize = 2;

/// A snapshot of the vault at one time.
pub(super) struct View<'a> {
    connection: &'a Connection,
    now: Timestamp,
}

impl<'a> View<'a> {
    /// The state that `connection` sees, at the time `now`.
    pub(super) const fn new(connection: &'a Connection, now: Timestamp) -> Self {
        Self { connection, now }
    }

    /// Current time of the vault's clock, the same for one whole piece of work.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the first row, if any.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// Returns all rows.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Fault> {
        Ok(self.connection.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
    }

    /// Returns the value of a row that always exists.
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

/// Handle of the reader threads.
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

    /// Runs a query.
    pub(super) async fn query<T, F>(&self, query: F) -> Result<T, VaultError>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let path = self.path.clone();
        let job: Job = Box::new(move |view| {
            // The caller has given up: save the disk access.
            if reply.is_closed() {
                return;
            }
            let answer = queue::guarded(|| {
                let snapshot = view.unchecked_transaction()?;
                let answer = query(view)?;
                snapshot.commit()?;
                Ok(answer)
            });
            drop(reply.send(answer.map_err(|fault| fault.at(&path))));
        });
        queue::submit(&self.queue, job, answer, self.timeout).await
    }
}

fn serve(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Job>>, clock: &dyn Clock) {
    loop {
        // The lock is held while waiting for work, never during a job; nothing while it is held can panic.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        job(&View::new(connection, clock.wall()));
    }
}
