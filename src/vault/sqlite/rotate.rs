//! Refresh rotation: one decision in the writer's transaction.
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
//! A request can be slow. An older generation that was current within the last two graces is refused, and ends nothing.

use std::time::Duration;

use rusqlite::{Row, params};

use super::fault::Fault;
use super::writer::Tx;
use super::{revoke, rows};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::vault::sessions::{StoredToken, behind};
use crate::vault::{Presented, Rotation, RotationRefused, VaultError};

/// Tolerance for a clock that was set back; clocks are corrected by less than this every day. Beyond it the age of a
/// rotation is unknown, and so is whether a repeat is within the grace.
const CLOCK_STEP: Duration = Duration::from_secs(5);

/// The columns of a session that rotation needs.
pub(super) struct StoredSession {
    pub(super) id: SessionId,
    user_id: UserId,
    client_id: String,
    pub(super) generation: u32,
    used_generation: u32,
    late_generation: Option<u32>,
    late_previous: Option<u32>,
    settled_generation: u32,
    settled_at: Option<Timestamp>,
    pub(super) refresh_kid: u8,
    pub(super) rotated_at: Timestamp,
    pub(super) idle_until: Timestamp,
    pub(super) expires_at: Timestamp,
    /// True if it has not ended and its user exists, is enabled and still has the epoch of the login.
    is_valid: bool,
}

impl StoredSession {
    /// Returns the generation that was exchanged for the current one.
    fn previous(&self) -> Option<u32> {
        if self.late_generation == Some(self.generation) {
            self.late_previous
        } else {
            self.generation.checked_sub(1)
        }
    }
}

impl StoredSession {
    /// Returns whether a late repeat has replaced this generation, which never reached its client.
    fn is_void(&self, generation: u32) -> bool {
        let late = self.late_previous.zip(self.late_generation);
        late.is_some_and(|(previous, late)| previous < generation && generation < late)
    }
}

const STORED: &str = "
    SELECT s.id, s.user_id, client_id, generation, used_generation, late_generation, late_previous,
           settled_generation, settled_at, refresh_kid, rotated_at, idle_until, expires_at,
           coalesce(ended_at IS NULL AND u.disabled = 0 AND u.epoch = s.epoch, 0) AS valid
    FROM sessions s LEFT JOIN users u ON u.id = s.user_id
    WHERE family = ?1";

const GRANT: &str = "
    SELECT s.id, user_id, client_id, login, email, email_verified_at, name, roles, rights, amr,
           coalesce(proven_at, s.created_at) AS proven_at, idle_until, expires_at, address, user_agent
    FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE s.id = ?1";

/// Decision about a presented token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Rotate,
    Repeat,
    RotateLate,
    Reuse,
    Refuse(RotationRefused),
}

/// Rotates, repeats, refuses, or ends the session.
pub(super) fn rotate(tx: &Tx<'_>, presented: &Presented) -> Result<Rotation, Fault> {
    let Some(held) = find(tx, presented)? else {
        return Ok(Rotation::Refused(RotationRefused::Unknown));
    };
    let decision = decide(&held, presented, tx.now());
    apply(tx, &held, presented, decision)
}

/// Returns the session of a presented token.
pub(super) fn find(tx: &Tx<'_>, presented: &Presented) -> Result<Option<StoredSession>, Fault> {
    let found = tx.row(STORED, params![presented.family], held)?;
    if found.as_ref().is_some_and(|held| held.rotated_at > tx.now() + CLOCK_STEP) {
        return Err(VaultError::Unavailable(
            "the clock was set back: wait until it passes the last refresh".into(),
        )
        .into());
    }
    Ok(found)
}

/// Applies a decision.
pub(super) fn apply(
    tx: &Tx<'_>,
    held: &StoredSession,
    presented: &Presented,
    decision: Decision,
) -> Result<Rotation, Fault> {
    match decision {
        Decision::Rotate => {
            let generation = advance(tx, held, presented)?;
            let age = tx.now().since(held.rotated_at);
            granted(tx, held.id, generation, presented.refresh_kid, Some(age))
        }
        Decision::Repeat => granted(tx, held.id, held.generation, held.refresh_kid, None),
        Decision::RotateLate => {
            let generation = advance(tx, held, presented)?;
            tx.execute(
                "UPDATE sessions SET late_generation = ?2, late_previous = ?3 WHERE id = ?1",
                params![held.id, generation, presented.generation],
            )?;
            let mut rotation = granted(tx, held.id, generation, presented.refresh_kid, None)?;
            if let Rotation::Granted { is_late, .. } = &mut rotation {
                *is_late = true;
            }
            Ok(rotation)
        }
        Decision::Reuse => {
            let is_previous = held.previous() == Some(presented.generation);
            let ended = revoke::reused(tx, held.id, held.user_id, is_previous)?;
            let behind = behind(held.generation, presented.generation, is_previous);
            Ok(Rotation::Reused { ended, user_id: held.user_id, behind })
        }
        Decision::Refuse(why) => Ok(Rotation::Refused(why)),
    }
}

/// Creates the next generation and returns its number.
fn advance(tx: &Tx<'_>, held: &StoredSession, presented: &Presented) -> Result<u32, Fault> {
    let generation = held.generation + 1;
    tx.execute(
        "UPDATE sessions SET generation = ?2, refresh_kid = ?3, rotated_at = ?4, idle_until = ?5 WHERE id = ?1",
        params![
            held.id,
            generation,
            presented.refresh_kid,
            tx.now(),
            (tx.now() + presented.idle).min(held.expires_at)
        ],
    )?;
    if held.settled_at.is_none_or(|at| tx.now().since(at) >= presented.grace) {
        tx.execute(
            "UPDATE sessions SET settled_generation = ?2, settled_at = ?3 WHERE id = ?1",
            params![held.id, held.generation, tx.now()],
        )?;
    }
    Ok(generation)
}

pub(super) fn decide(held: &StoredSession, presented: &Presented, now: Timestamp) -> Decision {
    let stored = StoredToken {
        client_id: &held.client_id,
        generation: held.generation,
        is_valid: held.is_valid,
        is_current: now < held.idle_until && now < held.expires_at,
    };
    if let Some(why) = stored.refusal(presented) {
        return Decision::Refuse(why);
    }
    let age = now.since(held.rotated_at);
    if presented.generation == held.generation {
        Decision::Rotate
    } else if held.previous() != Some(presented.generation) {
        let was_current = presented.generation >= held.settled_generation
            && held.settled_at.is_some_and(|at| now.since(at) < presented.grace * 2)
            && !held.is_void(presented.generation);
        if was_current { Decision::Refuse(RotationRefused::Superseded) } else { Decision::Reuse }
    } else if age < presented.grace {
        Decision::Repeat
    } else if held.used_generation < held.generation && age < presented.grace_unused {
        Decision::RotateLate
    } else {
        Decision::Reuse
    }
}

pub(super) fn granted(
    tx: &Tx<'_>,
    id: SessionId,
    generation: u32,
    refresh_kid: u8,
    age: Option<Duration>,
) -> Result<Rotation, Fault> {
    let grant = tx.row(GRANT, params![id], |row| rows::grant(row, tx.now()))?;
    // `decide` saw its user in this same transaction.
    let grant = grant.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Rotation::Granted { grant, generation, refresh_kid, age, is_late: false })
}

fn held(row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    Ok(StoredSession {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        client_id: row.get("client_id")?,
        generation: row.get("generation")?,
        used_generation: row.get("used_generation")?,
        late_generation: row.get("late_generation")?,
        late_previous: row.get("late_previous")?,
        settled_generation: row.get("settled_generation")?,
        settled_at: row.get("settled_at")?,
        refresh_kid: row.get("refresh_kid")?,
        rotated_at: row.get("rotated_at")?,
        idle_until: row.get("idle_until")?,
        expires_at: row.get("expires_at")?,
        is_valid: row.get("valid")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn decision(stored: u32, generation: u32, age_millis: u64, grace: Duration) -> Decision {
        decision_when_used(stored, stored, generation, age_millis, grace)
    }

    /// With ten times the grace while unused.
    fn decision_when_used(
        used: u32,
        stored: u32,
        generation: u32,
        age_millis: u64,
        grace: Duration,
    ) -> Decision {
        let at = Timestamp::from_secs(1_000_000);
        let held = StoredSession {
            id: SessionId::from_bytes([1; 16]),
            user_id: UserId::from_bytes([2; 16]),
            client_id: "web".into(),
            generation: stored,
            used_generation: used,
            late_generation: None,
            late_previous: None,
            settled_generation: 0,
            settled_at: None,
            refresh_kid: 1,
            rotated_at: at,
            idle_until: at + Duration::from_secs(3600),
            expires_at: at + Duration::from_secs(7200),
            is_valid: true,
        };
        let presented = Presented {
            family: [3; 32],
            generation,
            client_id: "web".into(),
            refresh_kid: 1,
            grace,
            grace_unused: grace * 10,
            idle: Duration::from_secs(3600),
        };
        decide(&held, &presented, at + Duration::from_millis(age_millis))
    }

    #[test]
    fn grace_ends_on_the_millisecond() {
        let grace = Duration::from_secs(60);
        assert_eq!(decision(1, 0, 59_999, grace), Decision::Repeat);
        assert_eq!(decision(1, 0, 60_000, grace), Decision::Reuse);
        assert_eq!(decision(1, 0, 0, Duration::ZERO), Decision::Reuse);
    }

    #[test]
    fn unused_successor_is_repeated_for_longer() {
        let grace = Duration::from_secs(60);
        assert_eq!(decision_when_used(0, 1, 0, 59_999, grace), Decision::Repeat);
        assert_eq!(decision_when_used(0, 1, 0, 60_000, grace), Decision::RotateLate);
        assert_eq!(decision_when_used(0, 1, 0, 599_999, grace), Decision::RotateLate);
        assert_eq!(decision_when_used(0, 1, 0, 600_000, grace), Decision::Reuse);
        assert_eq!(
            decision_when_used(1, 2, 1, 60_000, grace),
            Decision::RotateLate,
            "the one before was used"
        );
        assert_eq!(decision_when_used(2, 2, 1, 60_000, grace), Decision::Reuse);
        assert_eq!(decision_when_used(0, 2, 0, 60_000, grace), Decision::Reuse, "two back");
    }

    #[test]
    fn only_one_generation_back_is_a_repeat() {
        let grace = Duration::from_secs(60);
        assert_eq!(decision(7, 7, 0, grace), Decision::Rotate);
        assert_eq!(decision(7, 6, 0, grace), Decision::Repeat);
        assert_eq!(decision(7, 5, 0, grace), Decision::Reuse);
        assert_eq!(decision(7, 8, 0, grace), Decision::Refuse(RotationRefused::Unknown));
        assert_eq!(decision(u32::MAX, u32::MAX, 0, grace), Decision::Refuse(RotationRefused::Expired));
    }
}
