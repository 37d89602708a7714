//! The pool, and the one way every question takes through it.
//!
//! ```text
//!  spawn -> deadline [ borrow -> (BEGIN) -> work -> (COMMIT) -> give back ] -> answer
//!                        |                                         |
//!                        +--- connection lost, or a conflict: once more, if that is certain to be harmless
//! ```
//!
//! A question runs in a task of its own: a caller that hangs up does not stop a change half way, and no connection
//! goes back to the pool with a statement still running on it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{CancelToken, Row};

use super::PostgresOptions;
use super::connect::{Connector, Connectors};
use super::fault::{Fault, Ran, Remedy};
use super::rows::Value;
use crate::vault::{Connections, VaultError};

/// How often a statement that Postgres broke off to resolve a deadlock is tried in all.
const CONFLICTS: usize = 5;

/// How long cancelling a statement nobody waits for may take. Longer would only keep a dead connection.
const CANCEL: Duration = Duration::from_secs(5);

/// What is asked: a plain function, so that asking again begins with the same input.
pub(super) type Work<I, A> = for<'a> fn(&'a Talk<'a>, &'a I) -> Answer<'a, A>;

/// What it comes to.
pub(super) type Answer<'a, A> = Pin<Box<dyn Future<Output = Result<A, Fault>> + Send + 'a>>;

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Whether doing it twice is as good as once; else it is repeated only when it certainly was not done.
    again: bool,
    /// Whether its statements belong together.
    transaction: bool,
    /// How long it may take, if that is not the vault's timeout.
    deadline: Option<Duration>,
}

impl How {
    /// One statement that must not be done twice.
    pub(super) const ONCE: Self = Self { again: false, transaction: false, deadline: None };
    /// One statement that does no harm when it is done twice.
    pub(super) const AGAIN: Self = Self { again: true, ..Self::ONCE };
    /// Several statements that are done together or not at all, and not twice.
    pub(super) const TOGETHER: Self = Self { transaction: true, ..Self::ONCE };

    /// The same with more time, on the server too.
    pub(super) const fn within(self, deadline: Duration) -> Self {
        Self { transaction: true, deadline: Some(deadline), ..self }
    }

    /// The same, `again` or not.
    pub(super) const fn again_if(self, again: bool) -> Self {
        Self { again, ..self }
    }
}

/// The connections.
pub(super) struct Clients {
    pool: Pool,
    connectors: Connectors,
    /// The servers by name, for people.
    place: Arc<str>,
    prepared: bool,
    /// How long a caller waits.
    pub(super) timeout: Duration,
}

impl Clients {
    pub(super) fn new(connectors: Connectors, options: &PostgresOptions) -> Result<Self, VaultError> {
        let timeout = options.statement_timeout;
        // Fast looks whether the connection is closed; a round trip here would double the cost of a lookup.
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let Connector { config, place, .. } = connectors.now();
        let manager = Manager::from_connect(config, connectors.clone(), how);
        // A little less than callers wait, so that they still hear what it was waiting for.
        let part = Some(timeout * 3 / 4);
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .wait_timeout(part)
            .create_timeout(part)
            .recycle_timeout(part)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| VaultError::Unavailable(format!("no pool of connections: {error}")))?;
        Ok(Self { pool, connectors, place, prepared: options.prepared, timeout })
    }

    /// How many milliseconds the server gives a statement, where connections are opened with that limit.
    pub(super) fn limit(&self) -> Option<i64> {
        self.prepared.then(|| i64::try_from((self.timeout * 2).as_millis()).unwrap_or(i64::MAX))
    }

    /// Closes the idle connections; new ones are made as they are needed, `size` at most.
    pub(super) fn renew(&self, size: usize) {
        self.pool.resize(size);
        drop(self.pool.retain(|_, _| false));
    }

    /// The pool now.
    pub(super) fn connections(&self) -> Connections {
        let now = self.pool.status();
        Connections {
            in_use: now.size.saturating_sub(now.available),
            idle: now.available,
            max: now.max_size,
            waiting: now.waiting,
        }
    }

    /// Asks; answered when it is durable, or with an error by the deadline.
    pub(super) async fn ask<I, A>(
        self: &Arc<Self>,
        how: How,
        input: I,
        work: Work<I, A>,
    ) -> Result<A, VaultError>
    where
        I: Send + Sync + 'static,
        A: Send + 'static,
    {
        let clients = self.clone();
        let task = tokio::spawn(async move {
            let deadline = how.deadline.unwrap_or(clients.timeout);
            match tokio::time::timeout(deadline, clients.try_each(how, &input, work)).await {
                Ok(answer) => answer.map_err(|fault| fault.at(&clients.place)),
                Err(_) => {
                    // A network that swallows packets swallows those of every connection: keep only what has
                    // been good meanwhile, or each of the others would cost somebody this wait again.
                    drop(clients.pool.retain(|_, metrics| metrics.last_used() < deadline));
                    Err(late(&clients.place, deadline))
                }
            }
        });
        task.await.unwrap_or_else(|error| {
            Err(VaultError::Unavailable(format!("the question was broken off: {error}")))
        })
    }

    async fn try_each<I: Sync, A>(&self, how: How, input: &I, work: Work<I, A>) -> Result<A, Fault> {
        let (mut reconnected, mut conflicts) = (false, 0);
        loop {
            let fault = match self.attempt(how, input, work).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            match fault.remedy() {
                Remedy::Reconnect(ran) => {
                    // The others are most likely of the same server that went away.
                    drop(self.pool.retain(|_, _| false));
                    if reconnected || !(how.again || ran == Ran::No) {
                        return Err(fault);
                    }
                    reconnected = true;
                }
                Remedy::Repeat if conflicts + 1 < CONFLICTS => conflicts += 1,
                Remedy::Repeat | Remedy::None => return Err(fault),
            }
        }
    }

    async fn attempt<I: Sync, A>(&self, how: How, input: &I, work: Work<I, A>) -> Result<A, Fault> {
        let client =
            self.pool.get().await.map_err(|error| Fault::pool(error, self.pool.status().max_size))?;
        let connectors = self.prepared.then_some(&self.connectors);
        let mut borrowed = Borrowed { client: Some(client), connectors };
        let result = match &borrowed.client {
            Some(client) => talk(&Talk { client, prepared: self.prepared }, how, input, work).await,
            None => return Err(Fault::Vault(VaultError::Unavailable("no connection".into()))),
        };
        match &result {
            Err(fault) if matches!(fault.remedy(), Remedy::Reconnect(_)) => borrowed.throw_away(),
            _ => borrowed.give_back(),
        }
        result
    }
}

async fn talk<I, A>(talk: &Talk<'_>, how: How, input: &I, work: Work<I, A>) -> Result<A, Fault> {
    if !how.transaction {
        return work(talk, input).await;
    }
    // Named, whatever the database's default is: a later statement must see what was committed while an earlier one
    // waited for a lock, or a session opened meanwhile would not be ended.
    talk.control("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(Fault::not_run)?;
    let result = async {
        if let Some(deadline) = how.deadline {
            // Twice as long, as for every other statement; only until the COMMIT, so a pooler may stand between.
            let millis = (deadline * 2).as_millis();
            talk.control(&format!(
                "SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {millis}"
            ))
            .await?;
        }
        work(talk, input).await
    };
    match result.await {
        Ok(answer) => {
            talk.control("COMMIT").await?;
            Ok(answer)
        }
        Err(fault) => {
            // A connection that cannot even do this is closed, and so thrown away when it is given back.
            drop(talk.control("ROLLBACK").await);
            Err(fault.not_run())
        }
    }
}

/// A connection in use.
pub(super) struct Talk<'a> {
    client: &'a ClientWrapper,
    prepared: bool,
}

impl Talk<'_> {
    /// Every row.
    pub(super) async fn rows(&self, sql: &str, params: &[&dyn Value]) -> Result<Vec<Row>, Fault> {
        if !self.prepared {
            let params: Vec<_> = params.iter().map(|value| (value.sql(), value.kind())).collect();
            return Ok(self.client.query_typed(sql, &params).await?);
        }
        let kinds: Vec<_> = params.iter().map(|value| value.kind()).collect();
        let statement =
            self.client.prepare_typed_cached(sql, &kinds).await.map_err(|e| Fault::from(e).not_run())?;
        let params: Vec<_> = params.iter().map(|value| value.sql()).collect();
        // To the end of the answer: only then is it committed.
        Ok(self.client.query(&statement, &params).await?)
    }

    /// The first row, if there is one.
    pub(super) async fn row(&self, sql: &str, params: &[&dyn Value]) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// The row that is always there.
    pub(super) async fn one(&self, sql: &str, params: &[&dyn Value]) -> Result<Row, Fault> {
        let missing = || VaultError::Unavailable("Postgres answered without a row".into());
        Ok(self.row(sql, params).await?.ok_or_else(missing)?)
    }

    /// Executes statements that have no parameters.
    pub(super) async fn control(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

/// A connection that never returns to the pool with a statement running on it.
struct Borrowed<'a> {
    client: Option<Object>,
    /// How to reach the server to cancel; `None` behind a pooler, see [`cancel`].
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
    /// Reached with a connection only when the deadline has passed.
    fn drop(&mut self) {
        let Some(client) = self.client.take().map(Object::take) else { return };
        if let Some(connectors) = self.connectors {
            cancel(client.cancel_token(), connectors, client);
        }
    }
}

/// Tells the server to stop what nobody waits for, then closes its connection. Best effort: without it the statement
/// goes on, with its locks, until the server's own limit.
///
/// Not for poolers: a cancel request kills a PgBouncer before 1.20 with all its connections, unless the client waits for
/// the answer, which the driver does not (github.com/pgbouncer/pgbouncer/pull/846).
pub(super) fn cancel(token: CancelToken, connectors: &Connectors, connection: impl Send + 'static) {
    let tls = connectors.now().tls;
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        drop(tokio::time::timeout(CANCEL, token.cancel_query(tls)).await);
        drop(connection);
    });
}

/// Nothing was heard in time.
pub(super) fn late(place: &str, deadline: Duration) -> VaultError {
    VaultError::Unavailable(format!("{place} did not answer within {deadline:?}"))
}
