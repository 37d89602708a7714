//! Refresh rotation: one statement that rotates, repeats, or ends a reused session.
//!
//! ```text
//!  generation presented    equal to the stored      one behind, in its time         older, or too late
//!                          -> rotate                -> the same token again         -> the session is ended (RFC 9700 4.14.2)
//! ```
//!
//! A generation may be repeated within the grace. After that it may be for a longer time, while no access token of the
//! current generation was used: then its client has never got the response. Such a late repeat gets a new generation,
//! and the one that got lost is void: whoever presents it has stolen it.
//!
//! A request can be slow: a gateway or a connection stalls, and the statement arrives when its client has long gone on.
//! An older generation that was current within the last two graces is refused, and ends nothing.
//!
//! When two requests rotate one session, the second waits for the row lock of the first. Postgres then re-evaluates the
//! row, conditions and assignments alike, so the second finds its generation one behind and repeats.

use std::time::Duration;

use tokio_postgres::Row;

use super::connection::clients::{Connection, Mode};
use super::fault::Fault;
use super::rows::{Generation, Kid, Span};
use super::{clock, rows};
use crate::id::SessionId;
use crate::vault::sessions::{StoredToken, behind};
use crate::vault::{Ended, LogEntry, Presented, REVOCATION_LIFE, Rotation, RotationRefused, VaultError};

/// `$1` family, `$2` presented generation, `$3` key of the next generation, `$4` grace, `$5` idle timeout, `$6` client,
/// `$7` retention of a revocation, `$8` grace while unused. No row means refused, and [`CURRENT`] gives the reason. If
/// the clock was set back by more than daily corrections, the age of a rotation is unknown, and so is whether a repeat
/// is within the grace.
const ROTATE: &str = concat!(
    "WITH ", clock!(), ", touched AS (
         UPDATE sessions s SET
             generation  = s.generation + (", rotates!(), ")::integer,
             repeats     = CASE WHEN ", rotates!(), " THEN 0 ELSE s.repeats + 1 END,
             refresh_kid = CASE WHEN ", rotates!(), " THEN $3 ELSE s.refresh_kid END,
             rotated_before = CASE WHEN ", rotates!(), " THEN s.rotated_at ELSE s.rotated_before END,
             rotated_at  = CASE WHEN ", rotates!(), " THEN now ELSE s.rotated_at END,
             late_generation = CASE WHEN ", late!(), " THEN s.generation + 1 ELSE s.late_generation END,
             late_previous   = CASE WHEN ", late!(), " THEN $2 ELSE s.late_previous END,
             settled_generation = CASE WHEN ", settles!(), " THEN s.generation ELSE s.settled_generation END,
             settled_at  = CASE WHEN ", settles!(), " THEN now ELSE s.settled_at END,
             idle_until  = CASE WHEN ", rotates!(), "
                                THEN least(now + $5::float8 * interval '1 millisecond', s.expires_at) ELSE s.idle_until END,
             ended_at    = CASE WHEN ", reused!(), " THEN now END,
             end_reason  = CASE WHEN ", reused!(), " THEN 'reuse' END
         FROM users u, clock
         WHERE s.family = $1 AND s.client_id = $6 AND s.generation >= $2
         AND s.ended_at IS NULL AND s.idle_until > now AND s.rotated_at < now + interval '5 seconds'
         AND u.id = s.user_id AND NOT u.disabled AND u.epoch = s.epoch
         AND NOT ", superseded!("$2", "$4"), "
         RETURNING s.id, s.user_id, s.client_id, u.login, u.email, u.email_verified_at, u.name, u.roles, u.rights,
                   s.amr, coalesce(s.proven_at, s.created_at) AS proven_at, s.idle_until, s.expires_at, now,
                   s.address, s.user_agent, s.generation, s.refresh_kid, s.ended_at IS NOT NULL AS reused,
                   s.repeats = 0 AND s.late_generation IS NOT DISTINCT FROM s.generation AS late,
                   $2 = ", previous!(), " AS previous,
                   CASE WHEN s.repeats = 0 THEN
                       greatest(0, extract(epoch FROM s.rotated_at - s.rotated_before))::float8
                   END AS age
     ), logged AS (
         INSERT INTO revocations (session_id, until)
         SELECT id, now + $7::float8 * interval '1 millisecond' FROM touched WHERE reused
         RETURNING pg_notify('doorward', '')
     ), remembered AS (
         INSERT INTO audit (at, event, user_id, session_id, cause, actor, address, request_id)
         SELECT now, 'refresh_reused', user_id, id, CASE WHEN previous THEN 'previous_generation' ELSE 'older_generation' END,
                'client', ($9::text[])[2], ($9::text[])[3]
         FROM touched WHERE reused
     )
     SELECT id, user_id, client_id, login, email, email_verified_at, name, roles, rights, amr, proven_at,
            idle_until, expires_at, now, address, user_agent, generation, refresh_kid, age, late, previous, reused
     FROM touched"
);

/// The generation that was exchanged for the current one.
macro_rules! previous {
    () => {
        "(CASE WHEN s.late_generation = s.generation THEN s.late_previous ELSE s.generation - 1 END)"
    };
}
pub(super) use previous;

/// The previous generation within the grace.
macro_rules! prompt {
    () => {
        concat!("$2 = ", previous!(), " AND now - s.rotated_at < $4::float8 * interval '1 millisecond'")
    };
}
use prompt;

/// The previous generation after the grace, in the time that it has while the current one is unused.
macro_rules! late {
    () => {
        concat!(
            "($2 = ",
            previous!(),
            " AND NOT (",
            prompt!(),
            ") AND s.used_generation < s.generation",
            " AND now - s.rotated_at < $8::float8 * interval '1 millisecond')"
        )
    };
}
use late;

/// A presented generation that is exchanged for a new one.
macro_rules! rotates {
    () => {
        concat!("(s.generation = $2 OR ", late!(), ")")
    };
}
use rotates;

/// A rotation whose predecessor is noted as settled.
macro_rules! settles {
    () => {
        concat!(
            "(",
            rotates!(),
            " AND (s.settled_at IS NULL OR now - s.settled_at >= $4::float8 * interval '1 millisecond'))"
        )
    };
}
use settles;

/// A presented generation that was replaced within the last two graces, and is neither the previous one nor void.
macro_rules! superseded {
    ($presented:literal, $grace:literal) => {
        concat!(
            "(",
            $presented,
            " < s.generation AND ",
            $presented,
            " <> ",
            previous!(),
            " AND ",
            $presented,
            " >= s.settled_generation AND coalesce(now - s.settled_at < 2 * ",
            $grace,
            "::float8 * interval '1 millisecond', false) AND NOT coalesce(",
            $presented,
            " > s.late_previous AND ",
            $presented,
            " < s.late_generation, false))"
        )
    };
}
use superseded;

/// A generation that is neither the current one nor the previous one in its time.
macro_rules! reused {
    () => {
        concat!("NOT (", rotates!(), " OR ", prompt!(), ")")
    };
}
use reused;

const CURRENT: &str = concat!(
    "WITH ",
    clock!(),
    "
     SELECT s.client_id, s.generation, s.idle_until > now AS current,
            s.rotated_at >= now + interval '5 seconds' AS set_back, ",
    superseded!("$2", "$3"),
    " AS superseded,
            coalesce(s.ended_at IS NULL AND NOT u.disabled AND u.epoch = s.epoch, false) AS valid
     FROM clock, sessions s LEFT JOIN users u ON u.id = s.user_id
     WHERE s.family = $1"
);

/// Maximum number of attempts for a rotation that should have worked. Each retry means that a password change kept this
/// session at the same moment.
const TRIES: usize = 4;

/// Returns the execution mode of a rotation. A retry after a lost response is a repeat: it returns the same token
/// within the grace. Without a grace that long, a retry would be treated as theft.
pub(super) fn mode(presented: &Presented, timeout: Duration) -> Mode {
    Mode::ONCE.idempotent_if(presented.grace.max(presented.grace_unused) > timeout * 2)
}

/// Rotates, repeats, refuses, or ends the session.
pub(super) async fn rotate(connection: &Connection<'_>, presented: &Presented) -> Result<Rotation, Fault> {
    for _ in 0..TRIES {
        // The generation counter is exhausted. No session lives that long, and the counter must not restart.
        if presented.generation < u32::MAX
            && let Some(row) = connection
                .row(
                    ROTATE,
                    &[
                        &&presented.family[..],
                        &Generation(presented.generation),
                        &Kid(presented.refresh_kid),
                        &Span(presented.grace),
                        &Span(presented.idle),
                        &presented.client_id,
                        &Span(REVOCATION_LIFE),
                        &Span(presented.grace_unused),
                        &connection.origin,
                    ],
                )
                .await?
        {
            return outcome(&row, presented);
        }
        let held = connection
            .row(
                CURRENT,
                &[&&presented.family[..], &Generation(presented.generation), &Span(presented.grace)],
            )
            .await?;
        if held.as_ref().is_some_and(|held| held.try_get("set_back").unwrap_or(false)) {
            return Err(set_back());
        }
        // Postgres re-evaluates the locked row, but with the user's row as it was before the wait.
        if let Some(why) = refusal(held.as_ref(), presented)? {
            return Ok(Rotation::Refused(why));
        }
        if let Some(held) = held
            && held.try_get("superseded")?
        {
            return Ok(Rotation::Refused(RotationRefused::Superseded));
        }
    }
    Err(VaultError::Unavailable("the session changes too quickly: try again".into()).into())
}

/// Error when it is unknown whether a repeat is within the grace.
pub(super) fn set_back() -> Fault {
    let text = "the clock of Postgres was set back: wait until it passes the last refresh";
    VaultError::Unavailable(text.into()).into()
}

fn outcome(row: &Row, presented: &Presented) -> Result<Rotation, Fault> {
    let grant = rows::grant(row)?;
    let generation: Generation = row.try_get("generation")?;
    if row.try_get("reused")? {
        let (id, now): (SessionId, _) = (grant.session_id, grant.now);
        let entries = vec![LogEntry::Session { id, until: now + REVOCATION_LIFE }];
        let ended = Ended { sessions: vec![id], alive: 1, entries, now };
        let behind = behind(generation.0, presented.generation, row.try_get("previous")?);
        return Ok(Rotation::Reused { ended, user_id: grant.user_id, behind });
    }
    let refresh_kid: Kid = row.try_get("refresh_kid")?;
    let (age, is_late): (Option<f64>, bool) = (row.try_get("age")?, row.try_get("late")?);
    let age = age.filter(|_| !is_late);
    Ok(Rotation::Granted {
        grant,
        generation: generation.0,
        refresh_kid: refresh_kid.0,
        age: age.map(Duration::from_secs_f64),
        is_late,
    })
}

/// Reason for the refusal; `None` if the rotation should have worked.
pub(super) fn refusal(held: Option<&Row>, presented: &Presented) -> Result<Option<RotationRefused>, Fault> {
    let Some(held) = held else { return Ok(Some(RotationRefused::Unknown)) };
    let generation: Generation = held.try_get("generation")?;
    let stored = StoredToken {
        client_id: held.try_get("client_id")?,
        generation: generation.0,
        is_valid: held.try_get("valid")?,
        is_current: held.try_get("current")?,
    };
    Ok(stored.refusal(presented))
}
