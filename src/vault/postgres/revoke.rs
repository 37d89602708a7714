//! Ending sessions: one statement that locks them in order, ends them, writes their log rows and notifies the
//! followers.

use std::time::Duration;

use tokio_postgres::Row;

use super::connection::clients::{Connection, Mode};
use super::fault::Fault;
use super::rows::Span;
use super::{clock, proof};
use crate::id::{SessionId, UserId};
use crate::vault::{EndReason, Ended, LogEntry, ProviderAccount, ProviderLogout, REVOCATION_LIFE, Scope};

/// Timeout of ending every session of one user.
pub(super) const ALL_OF_USER: Duration = Duration::from_secs(60);

/// Timeout of ending every session of all users. For some millions of sessions it takes a minute.
const EVERYONE: Duration = Duration::from_secs(300);

/// `$1` is the retention of a row in milliseconds, `$2` the reason for the end, in all statements.
///
/// In scope are sessions whose tokens could still be alive, including ended or expired ones. They are locked in order
/// of their ids, so that two statements that end the same ones wait for each other and do not deadlock. The result is
/// what was found under the lock. A session that had ended before has its row, which exists as long as the session is
/// in scope. No second row is written, so nobody can fill the log by ending one session again and again. Where nothing is
/// in scope, only the proof is written.
macro_rules! end {
    ($which:literal, $remember:literal) => {
        concat!(
            "WITH ",
            clock!(),
            ", concerned AS MATERIALIZED (
                 SELECT s.id, s.user_id, s.ended_at IS NOT NULL AS ended_before,
                        s.ended_at IS NULL AND s.idle_until > now AS alive
                 FROM sessions s, clock
                 WHERE s.idle_until > now - $1::float8 * interval '1 millisecond'
                 AND (s.ended_at IS NULL OR s.ended_at > now - $1::float8 * interval '1 millisecond') AND ",
            $which,
            "
                 ORDER BY s.id FOR NO KEY UPDATE OF s
             ), ended AS (
                 UPDATE sessions s SET ended_at = now, end_reason = $2 FROM concerned c, clock
                 WHERE s.id = c.id AND s.ended_at IS NULL
             ), logged AS (
                 INSERT INTO revocations (session_id, until)
                 SELECT id, now + $1::float8 * interval '1 millisecond' FROM concerned, clock WHERE NOT ended_before
                 RETURNING pg_notify('doorward', '')
             )",
            $remember,
            "
             SELECT now, now + $1::float8 * interval '1 millisecond' AS until, id, alive,
                    CASE WHEN id IS NULL THEN ",
            proof!(),
            " END AS proof
             FROM clock LEFT JOIN concerned ON true ORDER BY id"
        )
    };
}

/// Also writes an event for each session that had not ended before; `$3` is its name, `$4` its origin.
macro_rules! revoke {
    ($which:literal) => {
        end!(
            $which,
            ", remembered AS (
                 INSERT INTO audit (at, event, user_id, session_id, cause, actor, address, request_id)
                 SELECT now, $3, user_id, id, $2, ($4::text[])[1], ($4::text[])[2], ($4::text[])[3]
                 FROM concerned, clock WHERE NOT ended_before ORDER BY id
             )"
        )
    };
}

const ONE: &str = revoke!("s.id = $5 AND ($6 IS NULL OR s.user_id = $6)");
const OF_USER: &str = revoke!("s.user_id = $5");
const OF_CLIENT: &str = revoke!("s.user_id = $5 AND s.client_id = $6");
const ALL_BUT_ONE: &str = revoke!("s.user_id = $5 AND s.id <> $6");
/// Writes one event instead of one per session.
const ALL: &str = end!(
    "true",
    ", remembered AS (
             INSERT INTO audit (at, event, cause, actor, address, request_id)
             SELECT now, 'everyone_revoked', $2, ($3::text[])[1], ($3::text[])[2], ($3::text[])[3] FROM clock
         )"
);
const OF_ACCOUNT: &str = revoke!(
    "s.id IN (SELECT p.session_id FROM session_providers p
              WHERE p.provider = $5 AND p.issuer = $6 AND p.subject = $7 AND p.session_id IS DISTINCT FROM $8)"
);
const OF_SID: &str = revoke!(
    "s.id IN (SELECT p.session_id FROM session_providers p
              WHERE p.provider = $5 AND p.issuer = $6
              AND (p.sid = $7 AND ($8 IS NULL OR p.subject = $8) OR p.sid IS NULL AND p.subject = $8))"
);
const OTHERS: &str = end!("s.user_id = $3 AND s.id IS DISTINCT FROM $4", "");

/// Returns the execution mode of a revocation, which is idempotent.
pub(super) fn mode(scope: Scope) -> Mode {
    match scope {
        Scope::Everyone => Mode::IDEMPOTENT.within(EVERYONE).patiently(),
        // A user may have very many sessions, which must still be ended: 100,000 sessions take 2 s.
        Scope::User(_) | Scope::Others(..) | Scope::OfClient(..) => Mode::IDEMPOTENT.within(ALL_OF_USER),
        Scope::Session(..) => Mode::IDEMPOTENT,
    }
}

/// Ends the sessions in scope and records the event.
pub(super) async fn revoke(
    connection: &Connection<'_>,
    scope: Scope,
    reason: EndReason,
) -> Result<Ended, Fault> {
    let (life, why, word) = (Span(REVOCATION_LIFE), reason.as_str(), reason.event());
    let origin = &connection.origin;
    let rows = match scope {
        Scope::Session(id, owner) => connection.rows(ONE, &[&life, &why, &word, origin, &id, &owner]).await?,
        Scope::User(user) => connection.rows(OF_USER, &[&life, &why, &word, origin, &user]).await?,
        Scope::OfClient(user, client) => {
            connection.rows(OF_CLIENT, &[&life, &why, &word, origin, &user, &client]).await?
        }
        Scope::Others(user, keep) => {
            connection.rows(ALL_BUT_ONE, &[&life, &why, &word, origin, &user, &keep]).await?
        }
        Scope::Everyone => connection.rows(ALL, &[&life, &why, origin]).await?,
    };
    ended(&rows)
}

/// Ends every session of a user except `keep`. The caller has locked the user, so no session is opened meanwhile.
pub(super) async fn others(
    connection: &Connection<'_>,
    user: UserId,
    keep: Option<SessionId>,
    reason: EndReason,
) -> Result<Ended, Fault> {
    ended(&connection.rows(OTHERS, &[&Span(REVOCATION_LIFE), &reason.as_str(), &user, &keep]).await?)
}

/// Ends every session that an account at a provider opened, except `keep`.
pub(super) async fn of_account(
    connection: &Connection<'_>,
    account: &ProviderAccount,
    keep: Option<SessionId>,
    reason: EndReason,
) -> Result<Ended, Fault> {
    let (life, why, word) = (Span(REVOCATION_LIFE), reason.as_str(), reason.event());
    let ProviderAccount { provider, issuer, subject } = account;
    ended(
        &connection
            .rows(OF_ACCOUNT, &[&life, &why, &word, &connection.origin, provider, issuer, subject, &keep])
            .await?,
    )
}

/// Ends the sessions that belong to one session at a provider, of this account if it is named; of that account also those
/// whose session at the provider is unknown.
pub(super) async fn of_sid(
    connection: &Connection<'_>,
    logout: &ProviderLogout,
    sid: &String,
) -> Result<Ended, Fault> {
    let reason = EndReason::Provider;
    let (life, why, word) = (Span(REVOCATION_LIFE), reason.as_str(), reason.event());
    let ProviderLogout { provider, issuer, subject, .. } = logout;
    ended(
        &connection
            .rows(OF_SID, &[&life, &why, &word, &connection.origin, provider, issuer, sid, subject])
            .await?,
    )
}

fn ended(rows: &[Row]) -> Result<Ended, Fault> {
    let first = rows.first().ok_or_else(|| {
        crate::vault::VaultError::Unavailable("Postgres answered a revocation without a row".into())
    })?;
    let mut ended = Ended { sessions: Vec::new(), alive: 0, entries: Vec::new(), now: first.try_get("now")? };
    let until = first.try_get("until")?;
    for row in rows {
        let Some(id) = row.try_get("id")? else { continue };
        ended.sessions.push(id);
        ended.alive += usize::from(row.try_get::<_, Option<bool>>("alive")?.unwrap_or(false));
        ended.entries.push(LogEntry::Session { id, until });
    }
    Ok(ended)
}
