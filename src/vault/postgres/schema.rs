//! The tables: recognised, made, brought up to date, while other gateways run.

use std::sync::Arc;
use std::time::Duration;

use super::clients::{Clients, How, Talk};
use super::fault::Fault;
use crate::vault::VaultError;

/// A step of the schema to the next version.
struct Migration {
    sql: &'static str,
    /// The oldest program that can work with the schema after this step, as the version it knows. A step that only adds
    /// keeps it, so that replicas may be replaced one by one; every step must allow its predecessor.
    readable_by: i64,
}

/// Each brings the schema from its index to the next version. A released one is never edited.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_start.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0002_rotated_before.sql"), readable_by: 1 },
];

/// The version this program writes.
const VERSION: i64 = MIGRATIONS.len() as i64;

/// "doorward": the advisory lock that migrations hold, so that replicas starting together make one schema.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7237125663627506276)";

/// How long a migration may take: a new index on a large table is minutes.
const MIGRATE: Duration = Duration::from_secs(600);

/// The first with `xid8`, which the log's cursor is made of.
const OLDEST_SERVER: i32 = 130_000;

/// What is there. Names only what every Postgres knows.
const LOOK: &str = "
    SELECT current_setting('server_version_num')::integer AS server,
           current_setting('server_version') AS shown,
           (SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout') AS limited_to,
           pg_is_in_recovery() AS standby,
           current_schema()::text AS schema,
           EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
                   AND c.relname = 'doorward_schema') AS ours,
           (SELECT min(c.relname::text) FROM pg_class c
            WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
            AND c.relname IN ('users', 'sessions', 'revocations', 'keys', 'keys_version', 'audit')) AS taken";

const WHICH: &str = "SELECT version, readable_by FROM doorward_schema";

/// Refuses what is not a vault before anything in it is changed, then brings it up to date.
pub(super) async fn ready(clients: &Arc<Clients>) -> Result<(), VaultError> {
    let version =
        clients.ask(How::AGAIN, clients.limit(), |talk, limit| Box::pin(recognise(talk, *limit))).await?;
    if version >= VERSION {
        return Ok(());
    }
    clients.ask(How::TOGETHER.within(MIGRATE), (), |talk, ()| Box::pin(migrate(talk))).await
}

/// The schema's version in the database.
pub(super) async fn version(talk: &Talk<'_>) -> Result<i64, Fault> {
    Ok(talk.one(WHICH, &[]).await?.try_get("version")?)
}

/// The version there; 0 when there is nothing yet.
async fn recognise(talk: &Talk<'_>, limit: Option<i64>) -> Result<i64, Fault> {
    let row = talk.one(LOOK, &[]).await?;
    let (server, shown): (i32, String) = (row.try_get("server")?, row.try_get("shown")?);
    if server < OLDEST_SERVER {
        return Err(VaultError::Unavailable(format!("Postgres {shown} is too old: run 13 or newer")).into());
    }
    if limit.is_some() && limit != row.try_get("limited_to")? {
        // A pooler that was told to ignore what it does not know: prepared statements would end up on other servers.
        let text = "there is a pooler between, which drops the limits a connection is opened with: set vault.prepared = false";
        return Err(VaultError::Unavailable(text.into()).into());
    }
    let Some(schema) = row.try_get::<_, Option<String>>("schema")? else {
        let text = "this role has no schema to make tables in: create one of its name, or grant it USAGE on `public`";
        return Err(VaultError::Unavailable(text.into()).into());
    };
    if row.try_get("standby")? {
        let text = "this is a standby: name the primary in vault.url, or all hosts with commas";
        return Err(VaultError::Unavailable(text.into()).into());
    }
    if row.try_get("ours")? {
        let row = talk.one(WHICH, &[]).await?;
        return known(row.try_get("version")?, row.try_get("readable_by")?);
    }
    if let Some(table) = row.try_get::<_, Option<String>>("taken")? {
        return Err(VaultError::Damaged(format!(
            "the schema `{schema}` holds a table `{table}` of another program: name another database in vault.url, or \
             give this role a schema of its own (ALTER ROLE … SET search_path)"
        ))
        .into());
    }
    Ok(0)
}

fn known(version: i64, readable_by: i64) -> Result<i64, Fault> {
    if readable_by <= VERSION {
        return Ok(version);
    }
    Err(VaultError::Damaged(format!(
        "the vault has schema {version}, which needs a doorward that knows {readable_by}, and this one knows up to \
         {VERSION}: run the newer doorward"
    ))
    .into())
}

/// All missing steps in one transaction: a crash leaves the old version or the new one.
async fn migrate(talk: &Talk<'_>) -> Result<(), Fault> {
    talk.one(LOCK, &[]).await?;
    // A change of a table that waits for one long query would keep everybody else waiting behind itself.
    talk.control("SET LOCAL lock_timeout = '5s'").await?;
    // Looked at again under the lock: another process may have done it meanwhile.
    let from = recognise(talk, None).await?;
    if from >= VERSION {
        return Ok(());
    }
    if from == 0 {
        talk.control(
            "CREATE TABLE doorward_schema (
                 one integer PRIMARY KEY CHECK (one = 1), version bigint NOT NULL, readable_by bigint NOT NULL
             );
             INSERT INTO doorward_schema (one, version, readable_by) VALUES (1, 0, 0)",
        )
        .await?;
    }
    for step in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        talk.control(step.sql).await?;
        let reached = "UPDATE doorward_schema SET version = version + 1, readable_by = $1 RETURNING version";
        talk.one(reached, &[&step.readable_by]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_lets_its_predecessor_run_on() {
        for (version, step) in (1..).zip(MIGRATIONS) {
            assert!(step.readable_by == 1 || step.readable_by < version, "step {version}");
        }
    }

    #[test]
    fn a_newer_schema_is_accepted_only_when_it_says_so() {
        assert!(matches!(known(VERSION + 1, VERSION), Ok(version) if version == VERSION + 1));
        assert!(known(VERSION + 2, VERSION + 1).is_err());
    }
}
