//! The connection pool, and the path of every query through it.
//!
//! ```text
//!  spawn -> deadline [ borrow -> (BEGIN) -> work -> (COMMIT) -> give back ] -> result
//!                        |                                         |
//!                        +--- connection lost, or a conflict: retry, if that is certainly harmless
//! ```
//!
//! A query runs in its own task. A caller that hangs up does not stop a change half way, and no connection returns to
//! the pool with a statement still running on it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{CancelToken, Row};

use super::connect::{Connector, Connectors, lock_wait};
use crate::vault::origin::{Origin, OriginValues};
use crate::vault::postgres::PostgresOptions;
use crate::vault::postgres::fault::{Fault, Ran, Remedy};
use crate::vault::postgres::rows::Value;
use crate::vault::{Connections, VaultError};

/// Maximum number of attempts for a statement that Postgres aborted to resolve a conflict.
const CONFLICTS: usize = 5;

/// Timeout of cancelling an abandoned statement. A longer one would only keep a dead connection.
const CANCEL: Duration = Duration::from_secs(5);

/// The work of a query: a plain function, so that a retry starts with the same input.
pub(crate) type Work<I, A> = for<'a> fn(&'a Connection<'a>, &'a I) -> WorkResult<'a, A>;

/// Result of the work.
pub(crate) type WorkResult<'a, A> = Pin<Box<dyn Future<Output = Result<A, Fault>> + Send + 'a>>;

/// Execution mode of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// True if running twice has the same effect as once; otherwise it is retried only if it certainly did not run.
    idempotent: bool,
    /// True if its statements run in one transaction.
    transaction: bool,
    /// Deadline, if it differs from the vault's timeout.
    deadline: Option<Duration>,
    /// True if it may wait for a lock until its deadline: nobody waits for a response.
    patient: bool,
}

impl Mode {
    /// One statement that must not run twice.
    pub(crate) const ONCE: Self =
        Self { idempotent: false, transaction: false, deadline: None, patient: false };
    /// One statement that may run twice.
    pub(crate) const IDEMPOTENT: Self = Self { idempotent: true, ..Self::ONCE };
    /// Several statements in one transaction, which must not run twice.
    pub(crate) const TRANSACTION: Self = Self { transaction: true, ..Self::ONCE };

    /// The same mode with a longer deadline, on the server too.
    pub(crate) const fn within(self, deadline: Duration) -> Self {
        Self { transaction: true, deadline: Some(deadline), ..self }
    }

    /// The same mode, waiting for locks as long as for anything else.
    pub(crate) const fn patiently(self) -> Self {
        Self { patient: true, ..self }
    }

    /// The same mode, retried or not.
    pub(crate) const fn idempotent_if(self, idempotent: bool) -> Self {
        Self { idempotent, ..self }
    }
}

/// The connection pool.
pub(crate) struct Clients {
    pool: Pool,
    connectors: Connectors,
    /// Names of the servers, for messages.
    server_names: Arc<str>,
    prepared: bool,
    /// Maximum time a caller waits.
    pub(crate) timeout: Duration,
}

impl Clients {
    pub(crate) fn new(connectors: Connectors, options: &PostgresOptions) -> Result<Self, VaultError> {
        let timeout = options.statement_timeout;
        // `Fast` only checks whether the connection is closed; a round trip here would double the cost of a lookup.
        let mode = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let Connector { config, server_names, .. } = connectors.now();
        let manager = Manager::from_connect(config, connectors.clone(), mode);
        // Less than the caller's timeout, so that the caller learns what the query was waiting for.
        let part = Some(timeout * 3 / 4);
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .wait_timeout(part)
            .create_timeout(part)
            .recycle_timeout(part)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| VaultError::Unavailable(format!("no pool of connections: {error}")))?;
        Ok(Self { pool, connectors, server_names, prepared: options.prepared, timeout })
    }

    /// Returns the statement timeout of the server in milliseconds, if connections are opened with one.
    pub(crate) fn limit(&self) -> Option<i64> {
        self.prepared.then(|| i64::try_from((self.timeout * 2).as_millis()).unwrap_or(i64::MAX))
    }

    /// Closes the idle connections; new ones are opened on demand, at most `size`.
    pub(crate) fn renew(&self, size: usize) {
        self.pool.resize(size);
        drop(self.pool.retain(|_, _| false));
    }

    /// Returns the current connection counts.
    pub(crate) fn connections(&self) -> Connections {
        let now = self.pool.status();
        Connections {
            in_use: now.size.saturating_sub(now.available),
            idle: now.available,
            max: now.max_size,
            waiting: now.waiting,
        }
    }

    /// Runs a query. Returns when the result is durable, or with an error at the deadline.
    pub(crate) async fn query<I, A>(
        self: &Arc<Self>,
        mode: Mode,
        input: I,
        work: Work<I, A>,
    ) -> Result<A, VaultError>
    where
        I: Send + Sync + 'static,
        A: Send + 'static,
    {
        let (clients, origin) = (self.clone(), Origin::current().values());
        let task = tokio::spawn(async move {
            let deadline = mode.deadline.unwrap_or(clients.timeout);
            match tokio::time::timeout(deadline, clients.try_each(mode, &input, &origin, work)).await {
                Ok(answer) => answer.map_err(|fault| fault.at(&clients.server_names)),
                Err(_) => {
                    // A network that drops packets does so on every connection. Keep only connections used since then;
                    // each of the others would cost somebody the same wait.
                    drop(clients.pool.retain(|_, metrics| metrics.last_used() < deadline));
                    Err(timed_out(&clients.server_names, deadline))
                }
            }
        });
        task.await
            .unwrap_or_else(|error| Err(VaultError::Unavailable(format!("the query was aborted: {error}"))))
    }

    async fn try_each<I: Sync, A>(
        &self,
        mode: Mode,
        input: &I,
        origin: &OriginValues,
        work: Work<I, A>,
    ) -> Result<A, Fault> {
        let (mut reconnected, mut conflicts) = (false, 0);
        loop {
            let fault = match self.attempt(mode, input, origin, work).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            match fault.remedy() {
                Remedy::Reconnect(ran) => {
                    // The other connections most likely belong to the same server.
                    drop(self.pool.retain(|_, _| false));
                    if reconnected || !(mode.idempotent || ran == Ran::No) {
                        return Err(fault);
                    }
                    reconnected = true;
                }
                Remedy::Repeat if conflicts + 1 < CONFLICTS => conflicts += 1,
                Remedy::Repeat | Remedy::None => return Err(fault),
            }
        }
    }

    async fn attempt<I: Sync, A>(
        &self,
        mode: Mode,
        input: &I,
        origin: &OriginValues,
        work: Work<I, A>,
    ) -> Result<A, Fault> {
        let client =
            self.pool.get().await.map_err(|error| Fault::pool(error, self.pool.status().max_size))?;
        let connectors = self.prepared.then_some(&self.connectors);
        let mut borrowed = Borrowed { client: Some(client), connectors };
        let result = match &borrowed.client {
            Some(client) => {
                let lock_wait = lock_wait(self.timeout);
                let origin = origin.clone();
                let borrowed = Connection { client, prepared: self.prepared, origin };
                connection(&borrowed, mode, lock_wait, input, work).await
            }
            None => return Err(Fault::Vault(VaultError::Unavailable("no connection".into()))),
        };
        match &result {
            Err(fault) if matches!(fault.remedy(), Remedy::Reconnect(_)) => borrowed.throw_away(),
            _ => borrowed.give_back(),
        }
        result
    }
}

async fn connection<I, A>(
    connection: &Connection<'_>,
    mode: Mode,
    lock_wait: Duration,
    input: &I,
    work: Work<I, A>,
) -> Result<A, Fault> {
    if !mode.transaction {
        return work(connection, input).await;
    }
    // Set explicitly, whatever the database's default is: a later statement must see what was committed while an
    // earlier one waited for a lock, or a session opened meanwhile would not be ended.
    connection.control("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(Fault::not_run)?;
    let result = async {
        if let Some(deadline) = mode.deadline {
            // Twice as long, as for every other statement. LOCAL ends at COMMIT, so this works behind a pooler.
            let millis = (deadline * 2).as_millis();
            let lock = if mode.patient { millis } else { lock_wait.as_millis() };
            connection
                .control(&format!("SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {lock}"))
                .await?;
        }
        work(connection, input).await
    };
    match result.await {
        Ok(answer) => {
            connection.control("COMMIT").await?;
            Ok(answer)
        }
        Err(fault) => {
            // A connection on which even this fails is closed, and so discarded when it is given back.
            drop(connection.control("ROLLBACK").await);
            Err(fault.not_run())
        }
    }
}

/// A borrowed connection, to run statements on.
pub(crate) struct Connection<'a> {
    client: &'a ClientWrapper,
    prepared: bool,
    /// Origin of the changes, for the audit rows.
    pub(crate) origin: OriginValues,
}

impl Connection<'_> {
    /// Returns all rows.
    pub(crate) async fn rows(&self, sql: &str, params: &[&dyn Value]) -> Result<Vec<Row>, Fault> {
        if !self.prepared {
            let params: Vec<_> = params.iter().map(|value| (value.sql(), value.kind())).collect();
            return Ok(self.client.query_typed(sql, &params).await?);
        }
        let kinds: Vec<_> = params.iter().map(|value| value.kind()).collect();
        let statement =
            self.client.prepare_typed_cached(sql, &kinds).await.map_err(|e| Fault::from(e).not_run())?;
        let params: Vec<_> = params.iter().map(|value| value.sql()).collect();
        // Read to the end of the response: only then is it committed.
        Ok(self.client.query(&statement, &params).await?)
    }

    /// Returns the first row, if any.
    pub(crate) async fn row(&self, sql: &str, params: &[&dyn Value]) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Returns the row of a statement that always has one.
    pub(crate) async fn one(&self, sql: &str, params: &[&dyn Value]) -> Result<Row, Fault> {
        let missing = || VaultError::Unavailable("Postgres answered without a row".into());
        Ok(self.row(sql, params).await?.ok_or_else(missing)?)
    }

    /// Runs statements without parameters.
    pub(crate) async fn control(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

/// A connection that is never returned to the pool with a statement running on it.
struct Borrowed<'a> {
    client: Option<Object>,
    /// Connection settings for the cancel request; `None` behind a pooler, see [`cancel`].
    connectors: Option<&'a Connectors>,
}

impl Borrowed<'_> {
    fn give_back(&mut self) {
        self.client = None;
    }

    fn throw_away(&mut self) {
        drop(self.client.take().map(Object::take));
    }
}

impl Drop for Borrowed<'_> {
    /// Holds a connection only if the deadline has passed.
    fn drop(&mut self) {
        let Some(client) = self.client.take().map(Object::take) else { return };
        if let Some(connectors) = self.connectors {
            cancel(client.cancel_token(), connectors, client);
        }
    }
}

/// Cancels an abandoned statement on the server, then closes its connection. Best effort: without it the statement runs
/// on, with its locks, until the server's own timeout.
///
/// Not used with poolers: a cancel request kills a PgBouncer before 1.20 with all its connections, unless the client
/// waits for the response, which the driver does not (github.com/pgbouncer/pgbouncer/pull/846).
pub(crate) fn cancel(token: CancelToken, connectors: &Connectors, connection: impl Send + 'static) {
    let tls = connectors.now().tls;
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        drop(tokio::time::timeout(CANCEL, token.cancel_query(tls)).await);
        drop(connection);
    });
}

/// Error of a query without a response in time.
pub(crate) fn timed_out(server_names: &str, deadline: Duration) -> VaultError {
    VaultError::Unavailable(format!("{server_names} did not answer within {deadline:?}"))
}
