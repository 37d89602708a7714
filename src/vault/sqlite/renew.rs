//! Session renewal: a new access token for a session whose refresh token stays the same. The only write is a later idle
//! end, at most once in [`EXTEND_AFTER`] (or the idle grain, if that is shorter).

use rusqlite::params;

use super::fault::Fault;
use super::rotate::{self, Decision};
use super::writer::Tx;
#[cfg(doc)]
use crate::vault::EXTEND_AFTER;
use crate::vault::sessions::extend_after;
use crate::vault::{Presented, Rotation, RotationRefused};

/// Grants, refuses, or ends the session.
pub(super) fn renew(tx: &Tx<'_>, presented: &Presented) -> Result<Rotation, Fault> {
    let Some(held) = rotate::find(tx, presented)? else {
        return Ok(Rotation::Refused(RotationRefused::Unknown));
    };
    let decision = rotate::decide(&held, presented, tx.now());
    if !matches!(decision, Decision::Rotate | Decision::Repeat) {
        return rotate::apply(tx, &held, presented, decision);
    }
    let idle_until = (tx.now() + presented.idle).min(held.expires_at);
    if idle_until > held.idle_until + extend_after(presented.idle) {
        tx.execute("UPDATE sessions SET idle_until = ?2 WHERE id = ?1", params![held.id, idle_until])?;
    }
    let age = (decision == Decision::Rotate).then(|| tx.now().since(held.rotated_at));
    rotate::granted(tx, held.id, held.generation, held.refresh_kid, age)
}
