//! Session use: moves the idle ends of used sessions and stores which generation was used, many in one statement.

use super::clock;
use super::connection::clients::Connection;
use super::fault::Fault;
use super::rows::{Generation, Span};
use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::vault::SessionUse;

/// `$1` ids, `$2` idle ends computed from use, `$3` ends as last read, `$4` idle timeouts, `$5` generations. Sessions are
/// locked in order of their ids, as everywhere, and only if they change. A session whose idle end has passed moves only
/// if the caller knew that end and reports use without a pause since before it.
const TOUCH: &str = concat!(
    "WITH ",
    clock!(),
    ", used AS MATERIALIZED (
         SELECT id, known, generation, least(until, now + idle::float8 * interval '1 millisecond') AS until
         FROM clock, unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::int8[], $5::int8[])
                     AS used (id, until, known, idle, generation)
     ), moving AS MATERIALIZED (
         SELECT s.id, used.generation,
                CASE WHEN s.idle_until > now OR s.idle_until >= used.known THEN least(used.until, s.expires_at)
                     ELSE s.idle_until END AS idle_until
         FROM clock, used JOIN sessions s ON s.id = used.id
         WHERE s.ended_at IS NULL
         AND (((s.idle_until > now OR s.idle_until >= used.known) AND s.idle_until < least(used.until, s.expires_at))
              OR s.used_generation < used.generation)
         ORDER BY s.id FOR NO KEY UPDATE OF s
     ), moved AS (
         UPDATE sessions s SET idle_until = greatest(s.idle_until, moving.idle_until),
                               used_generation = greatest(s.used_generation, moving.generation)
         FROM moving WHERE s.id = moving.id AND s.ended_at IS NULL
         RETURNING s.id, s.idle_until
     )
     SELECT s.id, coalesce(moved.idle_until, s.idle_until) AS ends_at
     FROM clock, used JOIN sessions s ON s.id = used.id LEFT JOIN moved ON moved.id = s.id
     WHERE s.ended_at IS NULL AND coalesce(moved.idle_until, s.idle_until) > now"
);

/// Writes the use of sessions; returns the ends of live ones.
pub(super) async fn touch(
    connection: &Connection<'_>,
    uses: &[SessionUse],
) -> Result<Vec<(SessionId, Timestamp)>, Fault> {
    let ids: Vec<SessionId> = uses.iter().map(|one| one.id).collect();
    let until: Vec<Timestamp> = uses.iter().map(|one| one.until).collect();
    let known: Vec<Timestamp> = uses.iter().map(|one| one.known).collect();
    let idle: Vec<Span> = uses.iter().map(|one| Span(one.idle)).collect();
    let generation: Vec<Generation> = uses.iter().map(|one| Generation(one.generation)).collect();
    let rows = connection.rows(TOUCH, &[&ids, &until, &known, &idle, &generation]).await?;
    let read = |row: &tokio_postgres::Row| Ok((row.try_get("id")?, row.try_get("ends_at")?));
    rows.iter().map(read).collect()
}
