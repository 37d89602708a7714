//! Housekeeping.

mod trail;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::connection::clients::{Connection, Mode};
use super::fault::Fault;
use super::rows::Span;
use super::{PostgresVault, clock, schema};
use crate::vault::{Audit, Connections, REVOCATION_LIFE, SENT_MAIL_LIFE, VaultError};

/// Retention of audit events outside the chain: those of an earlier release, and those that no gateway has linked. Linked
/// ones are deleted from the start of the chain.
const AUDIT_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// One gateway sweeps at a time: the one that gets the advisory lock ("sweeping", as a number), for the duration of
/// this statement. Locked rows are skipped. `$1` retention of revocations, `$2` retention of events, `$3` the limit, `$4` retention
/// of messages that were sent.
///
/// The times are subqueries, so that each is a constant to the planner and the indexes can be used.
const SWEEP: &str = concat!(
    "WITH ", clock!(), ", leader AS MATERIALIZED (
         SELECT pg_try_advisory_xact_lock(8320230322942340711) AS here
     ), past AS MATERIALIZED (
         SELECT now - $1::float8 * interval '1 millisecond' AS dead, now, now - $2::float8 * interval '1 millisecond' AS forgotten,
                now - $4::float8 * interval '1 millisecond' AS listed
         FROM clock
     ), gone_sessions AS (
         DELETE FROM sessions WHERE (SELECT here FROM leader) AND place = ANY (ARRAY(
             SELECT place FROM sessions
             WHERE (idle_day <= ((SELECT dead FROM past) AT TIME ZONE 'UTC')::date
                    AND idle_until < (SELECT dead FROM past))
             OR ended_at < (SELECT dead FROM past)
             LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     ), gone_revocations AS (
         DELETE FROM revocations WHERE (SELECT here FROM leader) AND seq = ANY (ARRAY(
             SELECT seq FROM revocations WHERE until < (SELECT now FROM past) LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     ), gone_logouts AS (
         DELETE FROM provider_logouts WHERE (SELECT here FROM leader) AND name = ANY (ARRAY(
             SELECT name FROM provider_logouts WHERE until < (SELECT now FROM past) LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     ), gone_sign_ins AS (
         DELETE FROM pending_sign_ins WHERE (SELECT here FROM leader) AND digest = ANY (ARRAY(
             SELECT digest FROM pending_sign_ins WHERE until < (SELECT now FROM past) LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     ), gone_challenges AS (
         DELETE FROM spent_challenges WHERE (SELECT here FROM leader) AND digest = ANY (ARRAY(
             SELECT digest FROM spent_challenges WHERE until < (SELECT now FROM past) LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     ), gone_links AS (
         DELETE FROM links WHERE (SELECT here FROM leader) AND digest = ANY (ARRAY(
             SELECT digest FROM links WHERE until < (SELECT now FROM past) LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     ), gone_mails AS (
         DELETE FROM outbox WHERE (SELECT here FROM leader) AND id = ANY (ARRAY(
             SELECT id FROM outbox WHERE done_at < (SELECT listed FROM past) OR until < (SELECT listed FROM past) LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     ), gone_events AS (
         DELETE FROM audit WHERE (SELECT here FROM leader) AND seq = ANY (ARRAY(
             SELECT seq FROM audit WHERE position IS NULL AND at < (SELECT forgotten FROM past) LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING 1
     )
     SELECT (SELECT count(*) FROM gone_sessions) + (SELECT count(*) FROM gone_revocations)
            + (SELECT count(*) FROM gone_events) + (SELECT count(*) FROM gone_logouts)
            + (SELECT count(*) FROM gone_sign_ins) + (SELECT count(*) FROM gone_challenges)
            + (SELECT count(*) FROM gone_links) + (SELECT count(*) FROM gone_mails) AS gone"
);

#[async_trait]
impl Audit for PostgresVault {
    async fn sweep(&self, limit: u32) -> Result<u64, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, limit, |connection, limit| Box::pin(sweep(connection, *limit)))
            .await
    }

    async fn schema(&self) -> Result<u32, VaultError> {
        let version = self
            .clients
            .query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(schema::version(connection)))
            .await?;
        Ok(u32::try_from(version).unwrap_or(u32::MAX))
    }

    async fn settle(&self) -> Result<(), VaultError> {
        Ok(())
    }

    async fn backup(&self, _to: &Path) -> Result<(), VaultError> {
        let text =
            "a vault in Postgres is backed up with Postgres' own tools: run `pg_dump`, or set up an archive";
        Err(VaultError::Unavailable(text.into()))
    }

    fn connections(&self) -> Connections {
        self.clients.connections()
    }
}

async fn sweep(connection: &Connection<'_>, limit: u32) -> Result<u64, Fault> {
    let lives = (Span(REVOCATION_LIFE), Span(AUDIT_LIFE), Span(SENT_MAIL_LIFE));
    let row = connection.one(SWEEP, &[&lives.0, &lives.1, &i64::from(limit), &lives.2]).await?;
    Ok(row.try_get::<_, i64>("gone")?.unsigned_abs())
}
