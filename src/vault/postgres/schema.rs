//! Database schema: detection, creation and migration while other gateways run.

use std::sync::Arc;
use std::time::Duration;

use super::connection::clients::{Clients, Connection, Mode};
use super::fault::Fault;
use crate::vault::VaultError;

/// A migration to the next version of the schema.
struct Migration {
    sql: &'static str,
    /// Oldest program that can work with the schema after this migration, as the version it knows. A migration that
    /// only adds things does not change it, so gateways can be replaced one by one. Every migration must allow its
    /// predecessor.
    readable_by: i64,
}

/// Migrations; each leads from its index to the next version. A released one is never edited.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_start.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0002_rotated_before.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0003_used_generation.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0004_attributes.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0005_identities.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0006_proof.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0007_factors.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0008_mail.sql"), readable_by: 1 },
    Migration { sql: include_str!("migrations/0009_audit.sql"), readable_by: 1 },
];

/// Version that this program writes.
const VERSION: i64 = MIGRATIONS.len() as i64;

/// "doorward": the advisory lock of migrations, so that gateways starting together create one schema.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7237125663627506276)";

/// Timeout of a migration: a new index on a large table takes minutes.
const MIGRATE: Duration = Duration::from_secs(600);

/// First version with `xid8`, which the log's cursor uses.
const MIN_SERVER: i32 = 130_000;

/// Detects the existing schema. Uses only names that every Postgres version knows.
const DETECT: &str = "
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

/// Rejects a database that is not a vault before anything in it is changed, then migrates it.
pub(super) async fn ready(clients: &Arc<Clients>) -> Result<(), VaultError> {
    let version = clients
        .query(Mode::IDEMPOTENT, clients.limit(), |connection, limit| Box::pin(detect(connection, *limit)))
        .await?;
    if version >= VERSION {
        return Ok(());
    }
    // Others that start wait for the one that migrates.
    let mode = Mode::TRANSACTION.within(MIGRATE).patiently();
    clients.query(mode, (), |connection, ()| Box::pin(migrate(connection))).await
}

/// Returns the version of the schema in the database.
pub(super) async fn version(connection: &Connection<'_>) -> Result<i64, Fault> {
    Ok(connection.one(WHICH, &[]).await?.try_get("version")?)
}

/// Returns the existing version; 0 for an empty schema.
async fn detect(connection: &Connection<'_>, limit: Option<i64>) -> Result<i64, Fault> {
    let row = connection.one(DETECT, &[]).await?;
    let (server, shown): (i32, String) = (row.try_get("server")?, row.try_get("shown")?);
    if server < MIN_SERVER {
        return Err(VaultError::Unavailable(format!("Postgres {shown} is too old: run 13 or newer")).into());
    }
    if limit.is_some() && limit != row.try_get("limited_to")? {
        // A pooler that ignores unknown options: prepared statements would end up on other servers.
        let text = "a pooler drops the timeouts that a connection is opened with: set vault.prepared = false";
        return Err(VaultError::Unavailable(text.into()).into());
    }
    let Some(schema) = row.try_get::<_, Option<String>>("schema")? else {
        let text =
            "this role has no schema for the tables: create one of its name, or grant it USAGE on `public`";
        return Err(VaultError::Unavailable(text.into()).into());
    };
    if row.try_get("standby")? {
        let text = "this is a standby: name the primary in vault.url, or all hosts with commas";
        return Err(VaultError::Unavailable(text.into()).into());
    }
    if row.try_get("ours")? {
        let row = connection.one(WHICH, &[]).await?;
        return check_version(row.try_get("version")?, row.try_get("readable_by")?);
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

fn check_version(version: i64, readable_by: i64) -> Result<i64, Fault> {
    if readable_by <= VERSION {
        return Ok(version);
    }
    Err(VaultError::Damaged(format!(
        "the vault has schema {version}, which needs a doorward that knows {readable_by}, and this one knows up to \
         {VERSION}: run the newer doorward"
    ))
    .into())
}

/// Runs all missing migrations in one transaction: a crash leaves the old version or the new one.
async fn migrate(connection: &Connection<'_>) -> Result<(), Fault> {
    connection.one(LOCK, &[]).await?;
    // A table change that waits for a long query would block everybody else behind it.
    connection.control("SET LOCAL lock_timeout = '5s'").await?;
    // Checked again under the lock: another process may have migrated meanwhile.
    let from = detect(connection, None).await?;
    if from >= VERSION {
        return Ok(());
    }
    if from == 0 {
        connection
            .control(
                "CREATE TABLE doorward_schema (
                 one integer PRIMARY KEY CHECK (one = 1), version bigint NOT NULL, readable_by bigint NOT NULL
             );
             INSERT INTO doorward_schema (one, version, readable_by) VALUES (1, 0, 0)",
            )
            .await?;
    }
    for step in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        connection.control(step.sql).await?;
        let reached = "UPDATE doorward_schema SET version = version + 1, readable_by = $1 RETURNING version";
        connection.one(reached, &[&step.readable_by]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_lets_its_predecessor_run() {
        for (version, step) in (1..).zip(MIGRATIONS) {
            assert!(step.readable_by == 1 || step.readable_by < version, "step {version}");
        }
    }

    #[test]
    fn newer_schema_is_accepted_only_if_it_allows_it() {
        assert!(matches!(check_version(VERSION + 1, VERSION), Ok(version) if version == VERSION + 1));
        assert!(check_version(VERSION + 2, VERSION + 1).is_err());
    }
}
