//! Sessions: open, look up, list.

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::fault::Fault;
use super::revoke::{Event, record};
use super::rows::Address;
use super::writer::Tx;
use super::{SqliteVault, renew, revoke, rotate, rows};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
#[cfg(doc)]
use crate::identity::ClientKind;
use crate::identity::Proof;
use crate::vault::{
    EndReason, Ended, Grant, NewSession, Presented, Rotation, Scope, SessionPage, SessionRow, SessionUse,
    Sessions, VaultError,
};

/// Columns of a [`SessionRow`]; `?1` is now.
macro_rules! session {
    ($rest:expr) => {
        concat!(
            "SELECT s.id, user_id, client_id, login, email, email_verified_at, name, roles, rights, amr, \
                    coalesce(proven_at, s.created_at) AS proven_at, idle_until, expires_at, s.created_at, rotated_at, address, user_agent, \
                    ended_at IS NULL AND idle_until > ?1 AND disabled = 0 AND u.epoch = s.epoch AS live \
             FROM sessions s JOIN users u ON u.id = s.user_id ",
            $rest
        )
    };
}

/// A page of live sessions: `?2` is the last one of the page before, `?3` the limit, `?4` whether of browsers ([`ClientKind`]).
/// `place` increases with every login. A session of another user tells nothing, not even that it exists.
macro_rules! page {
    ($and:literal, $of:literal) => {
        concat!(
            "WHERE ",
            $and,
            "live AND (?4 IS NULL OR (client_id IN ('browser', 'browser-remembered')) = ?4) \
             AND place < coalesce((SELECT place FROM sessions WHERE id = ?2",
            $of,
            "), 9223372036854775807) \
             ORDER BY place DESC LIMIT ?3"
        )
    };
}

#[async_trait]
impl Sessions for SqliteVault {
    async fn open(&self, session: &NewSession) -> Result<Grant, VaultError> {
        let session = session.clone();
        self.writer.run(move |tx| open(tx, &session)).await
    }

    async fn replace(&self, old: SessionId, new: &NewSession) -> Result<(Grant, Ended), VaultError> {
        let new = new.clone();
        self.writer.run(move |tx| replace(tx, old, &new)).await
    }

    async fn rotate(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        let presented = presented.clone();
        self.writer.run(move |tx| rotate::rotate(tx, &presented)).await
    }

    async fn renew(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        let presented = presented.clone();
        self.writer.run(move |tx| renew::renew(tx, &presented)).await
    }

    async fn touch(&self, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, VaultError> {
        let uses = uses.to_vec();
        self.writer.run(move |tx| touch(tx, &uses)).await
    }

    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError> {
        let find = session!("WHERE s.id = ?2");
        self.readers
            .query(move |view| view.row(find, params![view.now(), id], |row| read(row, view.now())))
            .await
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<SessionRow>, VaultError> {
        let (find, ids) = (session!("WHERE s.id = ?2"), ids.to_vec());
        self.readers
            .query(move |view| {
                let rows =
                    ids.iter().map(|id| view.row(find, params![view.now(), id], |row| read(row, view.now())));
                rows.filter_map(Result::transpose).collect()
            })
            .await
    }

    async fn list(&self, user: Option<UserId>, page: SessionPage) -> Result<Vec<SessionRow>, VaultError> {
        let of_user = session!(page!("user_id = ?5 AND ", " AND user_id = ?5"));
        let of_everyone = session!(page!("", ""));
        let SessionPage { browsers, after, limit } = page;
        self.readers
            .query(move |view| {
                let (now, read) = (view.now(), |row: &Row<'_>| read(row, view.now()));
                match user {
                    Some(user) => view.rows(of_user, params![now, after, limit, browsers, user], read),
                    None => view.rows(of_everyone, params![now, after, limit, browsers], read),
                }
            })
            .await
    }

    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError> {
        self.writer.run(move |tx| revoke::revoke(tx, scope, reason)).await
    }
}

/// Opens a session in place of another one.
fn replace(tx: &Tx<'_>, old: SessionId, new: &NewSession) -> Result<(Grant, Ended), Fault> {
    let held = tx.row(session!("WHERE s.id = ?2"), params![tx.now(), old], |row| read(row, tx.now()))?;
    let held = held.filter(|row| row.live && row.grant.user_id == new.user_id);
    let held = held.ok_or(VaultError::Superseded)?.grant;
    let absolute = new.absolute.min(held.expires_at.since(tx.now()));
    let grant = open(tx, &NewSession { client_id: held.client_id, absolute, ..new.clone() })?;
    tx.execute("UPDATE session_providers SET session_id = ?2 WHERE session_id = ?1", params![old, new.id])?;
    let ended = revoke::revoke(tx, Scope::Session(old, Some(new.user_id)), EndReason::Replaced)?;
    Ok((grant, ended))
}

/// Inserts a session, if the user is still the one that signed in.
pub(super) fn open(tx: &Tx<'_>, new: &NewSession) -> Result<Grant, Fault> {
    let now = tx.now();
    let user = tx
        .row("SELECT * FROM users WHERE id = ?1", params![new.user_id], rows::user)?
        .filter(|user| !user.disabled && user.epoch == new.epoch)
        .ok_or(VaultError::Superseded)?;
    let expires_at = now + new.absolute;
    let idle_until = (now + new.idle).min(expires_at);
    let proven_at = now - new.proven_ago;
    tx.execute(
        "INSERT INTO sessions (id, family, user_id, client_id, epoch, refresh_kid, created_at, rotated_at, \
                               idle_until, expires_at, address, user_agent, amr, proven_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            new.id,
            new.family,
            new.user_id,
            new.client_id,
            new.epoch,
            new.refresh_kid,
            now,
            idle_until,
            expires_at,
            new.address.map(Address),
            new.stored_user_agent(),
            new.methods,
            proven_at,
        ],
    )?;
    let event = Event {
        session: Some(new.id),
        address: new.address.map(Address),
        ..Event::of("login", new.user_id).because(new.methods.to_string())
    };
    record(tx, &event)?;
    Ok(Grant {
        session_id: new.id,
        user_id: user.id,
        client_id: new.client_id.clone(),
        login: user.login,
        attributes: user.attributes,
        roles: user.roles,
        rights: user.rights,
        proof: Proof { methods: new.methods, at: proven_at },
        ends_at: idle_until,
        expires_at,
        now,
        address: new.address,
        user_agent: new.stored_user_agent().map(str::to_owned),
    })
}

/// Writes the use of sessions. A session whose idle end has passed moves only if the caller knew that end and
/// reports use without a pause since before it.
fn touch(tx: &Tx<'_>, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, Fault> {
    let mut alive = Vec::new();
    for one in uses {
        let ends =
            "SELECT idle_until, expires_at, used_generation FROM sessions WHERE id = ?1 AND ended_at IS NULL";
        let ends = tx.row(ends, params![one.id], |row| {
            let ends: (Timestamp, Timestamp) = (row.get("idle_until")?, row.get("expires_at")?);
            Ok((ends, row.get::<_, u32>("used_generation")?))
        })?;
        let Some(((stored, expires_at), used_generation)) = ends else { continue };
        if used_generation < one.generation {
            tx.execute(
                "UPDATE sessions SET used_generation = ?2 WHERE id = ?1",
                params![one.id, one.generation],
            )?;
        }
        let until = one.until.min(tx.now() + one.idle).min(expires_at);
        let moves = until > stored && (stored > tx.now() || stored >= one.known);
        if moves {
            tx.execute("UPDATE sessions SET idle_until = ?2 WHERE id = ?1", params![one.id, until])?;
        }
        let end = if moves { until } else { stored };
        if end > tx.now() {
            alive.push((one.id, end));
        }
    }
    Ok(alive)
}

fn read(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        grant: rows::grant(row, now)?,
        live: row.get("live")?,
        created_at: row.get("created_at")?,
        // A login counts as the first refresh.
        renewed_at: row.get("rotated_at")?,
    })
}
