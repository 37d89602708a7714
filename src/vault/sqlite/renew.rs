//! Renewal: a new access token for a session whose refresh token stays as it is. Nothing is written but, at most once in
//! [`EXTEND_AFTER`] (or the idle grain, if that is less), a later idle end.

use rusqlite::params;

use super::fault::Fault;
use super::rotate::{self, Verdict};
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
    let verdict = rotate::judge(&held, presented, tx.now());
    if !matches!(verdict, Verdict::Rotate | Verdict::Repeat) {
        return rotate::carry_out(tx, &held, presented, verdict);
    }
    let idle_until = (tx.now() + presented.idle).min(held.expires_at);
    if idle_until > held.idle_until + extend_after(presented.idle) {
        tx.execute("UPDATE sessions SET idle_until = ?2 WHERE id = ?1", params![held.id, idle_until])?;
    }
    let age = (verdict == Verdict::Rotate).then(|| tx.now().since(held.rotated_at));
    rotate::granted(tx, held.id, held.generation, held.refresh_kid, age)
}
