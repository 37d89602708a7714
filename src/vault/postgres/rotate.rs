//! Refresh rotation: one statement that rotates, answers a retry, or ends a reused session.
//!
//! ```text
//!  generation presented    equal to the stored      one behind, inside the grace    further back, or too late
//!                          -> rotate                -> the same token again         -> the session is ended (RFC 9700 4.14.2)
//! ```
//!
//! Of two that rotate one session, the second waits for the first one's row lock; Postgres then judges the row anew,
//! conditions and assignments alike, so it finds the generation behind and repeats.

use std::time::Duration;

use tokio_postgres::Row;

use super::clients::{How, Talk};
use super::fault::Fault;
use super::rows::{Generation, Kid, Span};
use super::{clock, rows};
use crate::id::SessionId;
use crate::vault::{Ended, LogEntry, Presented, REVOCATION_LIFE, Rotation, RotationRefused, VaultError};

/// `$1` family, `$2` generation presented, `$3` key of a new generation, `$4` grace, `$5` idle, `$6` client,
/// `$7` how long a revocation matters. No row: refused, and [`HELD`] tells why. A clock that was set back by more than it
/// is corrected by every day makes the age of a rotation unknown, and with it whether a repeat is within the grace.
const ROTATE: &str = concat!(
    "WITH ", clock!(), ", touched AS (
         UPDATE sessions s SET
             generation  = s.generation + (s.generation = $2)::integer,
             repeats     = CASE WHEN s.generation = $2 THEN 0 ELSE s.repeats + 1 END,
             refresh_kid = CASE WHEN s.generation = $2 THEN $3 ELSE s.refresh_kid END,
             rotated_before = CASE WHEN s.generation = $2 THEN s.rotated_at ELSE s.rotated_before END,
             rotated_at  = CASE WHEN s.generation = $2 THEN now ELSE s.rotated_at END,
             idle_until  = CASE WHEN s.generation = $2
                                THEN least(now + $5::float8 * interval '1 millisecond', s.expires_at) ELSE s.idle_until END,
             ended_at    = CASE WHEN ", reused!(), " THEN now END,
             end_reason  = CASE WHEN ", reused!(), " THEN 'reuse' END
         FROM users u, clock
         WHERE s.family = $1 AND s.client_id = $6 AND s.generation >= $2
         AND s.ended_at IS NULL AND s.idle_until > now AND s.rotated_at < now + interval '5 seconds'
         AND u.id = s.user_id AND NOT u.disabled AND u.epoch = s.epoch
         RETURNING s.id, s.user_id, s.client_id, u.login, u.roles, u.rights, s.idle_until, s.expires_at, now,
                   s.generation, s.refresh_kid, s.ended_at IS NOT NULL AS reused,
                   CASE WHEN s.repeats = 0 THEN
                       greatest(0, extract(epoch FROM s.rotated_at - s.rotated_before))::float8
                   END AS age
     ), logged AS (
         INSERT INTO revocations (session_id, until)
         SELECT id, now + $7::float8 * interval '1 millisecond' FROM touched WHERE reused
         RETURNING pg_notify('doorward', '')
     ), remembered AS (
         INSERT INTO audit (at, event, user_id, session_id)
         SELECT now, 'refresh_reused', user_id, id FROM touched WHERE reused
     )
     SELECT id, user_id, client_id, login, roles, rights, idle_until, expires_at, now, generation, refresh_kid, age, reused
     FROM touched"
);

/// A generation that is neither the current one nor the one before inside the grace.
macro_rules! reused {
    () => {
        "s.generation > $2 AND NOT (s.generation = $2 + 1 AND now - s.rotated_at < $4::float8 * interval '1 millisecond')"
    };
}
use reused;

const HELD: &str = concat!(
    "WITH ",
    clock!(),
    "
     SELECT s.client_id, s.generation, s.idle_until > now AS current,
            s.rotated_at >= now + interval '5 seconds' AS set_back,
            coalesce(s.ended_at IS NULL AND NOT u.disabled AND u.epoch = s.epoch, false) AS standing
     FROM clock, sessions s LEFT JOIN users u ON u.id = s.user_id
     WHERE s.family = $1"
);

/// How often a rotation that should have worked is tried anew. Each time means that a password change kept this session
/// in the very moment.
const TRIES: usize = 4;

/// How a rotation is asked for. Done again after its answer was lost, it is a repeat: the same token, as long as the
/// grace lasts. Without a grace that long, asking again would be taken for theft.
pub(super) fn how(presented: &Presented, timeout: Duration) -> How {
    How::ONCE.again_if(presented.grace > timeout * 2)
}

/// Rotates, repeats, refuses, or ends the session.
pub(super) async fn rotate(talk: &Talk<'_>, presented: &Presented) -> Result<Rotation, Fault> {
    for _ in 0..TRIES {
        // The count is used up: not reached in any session's life, and it must not begin anew.
        if presented.generation < u32::MAX
            && let Some(row) = talk
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
                    ],
                )
                .await?
        {
            return answer(&row, presented);
        }
        let held = talk.row(HELD, &[&&presented.family[..]]).await?;
        if held.as_ref().is_some_and(|held| held.try_get("set_back").unwrap_or(false)) {
            return Err(set_back());
        }
        // Postgres judges the locked row anew, but against the user's row as it was before the wait.
        if let Some(why) = refusal(held.as_ref(), presented)? {
            return Ok(Rotation::Refused(why));
        }
    }
    Err(VaultError::Unavailable("the session changes too quickly: try again".into()).into())
}

/// Whether a repeat is within the grace is unknown.
pub(super) fn set_back() -> Fault {
    let text = "the clock of Postgres was set back: it must pass the last refresh first";
    VaultError::Unavailable(text.into()).into()
}

fn answer(row: &Row, presented: &Presented) -> Result<Rotation, Fault> {
    let grant = rows::grant(row)?;
    let generation: Generation = row.try_get("generation")?;
    if row.try_get("reused")? {
        let (id, now): (SessionId, _) = (grant.session_id, grant.now);
        let entries = vec![LogEntry::Session { id, until: now + REVOCATION_LIFE }];
        let ended = Ended { sessions: vec![id], alive: 1, entries, now };
        let behind = generation.0.saturating_sub(presented.generation);
        return Ok(Rotation::Reused { ended, user_id: grant.user_id, behind });
    }
    let refresh_kid: Kid = row.try_get("refresh_kid")?;
    let age: Option<f64> = row.try_get("age")?;
    Ok(Rotation::Granted {
        grant,
        generation: generation.0,
        refresh_kid: refresh_kid.0,
        age: age.map(Duration::from_secs_f64),
    })
}

/// Why it was refused; `None` when it should not have been.
pub(super) fn refusal(held: Option<&Row>, presented: &Presented) -> Result<Option<RotationRefused>, Fault> {
    let Some(held) = held else { return Ok(Some(RotationRefused::Unknown)) };
    let generation: Generation = held.try_get("generation")?;
    Ok(if held.try_get::<_, &str>("client_id")? != presented.client_id {
        Some(RotationRefused::OtherClient)
    } else if !held.try_get::<_, bool>("standing")? {
        Some(RotationRefused::Ended)
    } else if !held.try_get::<_, bool>("current")? {
        Some(RotationRefused::Expired)
    } else if presented.generation > generation.0 {
        Some(RotationRefused::Unknown)
    } else if presented.generation == u32::MAX {
        Some(RotationRefused::Expired)
    } else {
        None
    })
}
