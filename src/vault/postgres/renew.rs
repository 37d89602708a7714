//! Session renewal: a new access token for a session whose refresh token stays the same.
//!
//! One read, and at most once in [`EXTEND_AFTER`] (or the idle grain, if that is shorter) a write. The read is one
//! snapshot. A revocation that it does not see is committed later, and its row then rejects whatever was signed because
//! of this read.

use std::time::Duration;

use super::connection::clients::Connection;
use super::fault::Fault;
use super::rows::{Generation, Kid, Span};
use super::{clock, rotate, rows};
use crate::clock::Timestamp;
#[cfg(doc)]
use crate::vault::EXTEND_AFTER;
use crate::vault::sessions::extend_after;
use crate::vault::{Presented, Rotation, VaultError};

const SELECT: &str = concat!(
    "WITH ",
    clock!(),
    "
     SELECT s.id, s.user_id, u.login, u.email, u.email_verified_at, u.name, u.roles, u.rights,
            s.amr, coalesce(s.proven_at, s.created_at) AS proven_at,
            s.idle_until, s.expires_at, now, s.address, s.user_agent, s.client_id, s.generation, s.refresh_kid, s.idle_until > now AS current,
            s.rotated_at >= now + interval '5 seconds' AS set_back,
            greatest(0, extract(epoch FROM now - s.rotated_at))::float8 AS age, ",
    rotate::previous!(),
    " AS previous,
            coalesce(s.ended_at IS NULL AND NOT u.disabled AND u.epoch = s.epoch, false) AS valid
     FROM clock, sessions s LEFT JOIN users u ON u.id = s.user_id
     WHERE s.family = $1"
);

/// `$1` family, `$2` idle timeout. Never moves an end back.
const EXTEND: &str = concat!(
    "WITH ",
    clock!(),
    "
     UPDATE sessions s SET idle_until = least(now + $2::float8 * interval '1 millisecond', s.expires_at)
     FROM clock
     WHERE s.family = $1 AND s.ended_at IS NULL AND s.idle_until > now
     AND s.idle_until < least(now + $2::float8 * interval '1 millisecond', s.expires_at)
     RETURNING s.idle_until"
);

/// Grants, refuses, or ends the session.
pub(super) async fn renew(connection: &Connection<'_>, presented: &Presented) -> Result<Rotation, Fault> {
    let row = connection.row(SELECT, &[&&presented.family[..]]).await?;
    if let Some(why) = rotate::refusal(row.as_ref(), presented)? {
        return Ok(Rotation::Refused(why));
    }
    let row = row.ok_or_else(|| VaultError::Unavailable("a session came and went".into()))?;
    if row.try_get("set_back")? {
        return Err(rotate::set_back());
    }
    let generation: Generation = row.try_get("generation")?;
    let age = Duration::from_secs_f64(row.try_get("age")?);
    // -1 before the first rotation.
    let previous: i64 = row.try_get("previous")?;
    let is_current = presented.generation == generation.0;
    let is_prompt_repeat = i64::from(presented.generation) == previous && age < presented.grace;
    if !is_current && !is_prompt_repeat {
        // The rotation statement decides about late repeats and reuse here too, with the row locked.
        return rotate::rotate(connection, presented).await;
    }
    let mut grant = rows::grant(&row)?;
    if (grant.now + presented.idle).min(grant.expires_at) > grant.ends_at + extend_after(presented.idle)
        && let Some(extended) =
            connection.row(EXTEND, &[&&presented.family[..], &Span(presented.idle)]).await?
    {
        let idle_until: Timestamp = extended.try_get("idle_until")?;
        grant.ends_at = idle_until;
    }
    let refresh_kid: Kid = row.try_get("refresh_kid")?;
    Ok(Rotation::Granted {
        grant,
        generation: generation.0,
        refresh_kid: refresh_kid.0,
        age: is_current.then_some(age),
        is_late: false,
    })
}
