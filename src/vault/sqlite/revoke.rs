//! Ending sessions: the rows of the revocation log, and what is remembered of it.

use rusqlite::{Row, params};

use super::fault::Fault;
use super::reader::View;
use super::rows::Address;
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::RightsVersion;
use crate::vault::{EndReason, Ended, LogEntry, REVOCATION_LIFE, Scope};

/// A session whose tokens may still be about.
pub(super) struct Concerned {
    id: SessionId,
    user_id: UserId,
    ended_before: bool,
    /// Neither ended nor run out.
    alive: bool,
}

/// Sessions that neither ended nor ran out so long ago that no token of them can be alive.
macro_rules! concerned {
    ($and:literal) => {
        concat!(
            "SELECT id, user_id, ended_at IS NOT NULL AS ended_before, idle_until FROM sessions \
             WHERE idle_until > ?1 AND (ended_at IS NULL OR ended_at > ?1)",
            $and
        )
    };
}

/// The sessions in scope.
pub(super) fn concerned(view: &View<'_>, scope: Scope) -> Result<Vec<Concerned>, Fault> {
    let since = view.now() - REVOCATION_LIFE;
    let read = |row: &Row<'_>| {
        Ok(Concerned {
            id: row.get("id")?,
            user_id: row.get("user_id")?,
            ended_before: row.get("ended_before")?,
            alive: !row.get::<_, bool>("ended_before")?
                && row.get::<_, Timestamp>("idle_until")? > view.now(),
        })
    };
    match scope {
        Scope::Session(id, None) => view.rows(concerned!(" AND id = ?2"), params![since, id], read),
        Scope::Session(id, Some(owner)) => {
            view.rows(concerned!(" AND id = ?2 AND user_id = ?3"), params![since, id, owner], read)
        }
        Scope::User(user) => view.rows(concerned!(" AND user_id = ?2"), params![since, user], read),
        Scope::OfClient(user, client) => {
            view.rows(concerned!(" AND user_id = ?2 AND client_id = ?3"), params![since, user, client], read)
        }
        Scope::Others(user, keep) => others(view, user, Some(keep)),
        Scope::Everyone => view.rows(concerned!(""), params![since], read),
    }
}

/// Every session of a user but one.
pub(super) fn others(
    view: &View<'_>,
    user: UserId,
    keep: Option<SessionId>,
) -> Result<Vec<Concerned>, Fault> {
    let mut sessions = concerned(view, Scope::User(user))?;
    sessions.retain(|session| Some(session.id) != keep);
    Ok(sessions)
}

/// Ends sessions and writes a log row for each that was not ended before.
pub(super) fn end(tx: &Tx<'_>, sessions: &[Concerned], reason: EndReason) -> Result<Ended, Fault> {
    let alive = sessions.iter().filter(|session| session.alive).count();
    let mut ended = Ended { sessions: Vec::new(), alive, entries: Vec::new(), now: tx.now() };
    for session in sessions {
        tx.execute(
            "UPDATE sessions SET ended_at = ?2, end_reason = ?3 WHERE id = ?1 AND ended_at IS NULL",
            params![session.id, tx.now(), reason.as_str()],
        )?;
        ended.sessions.push(session.id);
        // One that had ended before has its row, which stands as long as it is concerned.
        if !session.ended_before {
            log_session(tx, session.id)?;
        }
        ended.entries.push(LogEntry::Session { id: session.id, until: until(tx) });
    }
    Ok(ended)
}

/// A revocation on its own: ends what is in scope and remembers it.
pub(super) fn revoke(tx: &Tx<'_>, scope: Scope, reason: EndReason) -> Result<Ended, Fault> {
    let sessions = concerned(tx, scope)?;
    let ended = end(tx, &sessions, reason)?;
    if matches!(scope, Scope::Everyone) {
        // One line rather than one for every session there is.
        remember(tx, &Event::new("everyone_revoked"))?;
        return Ok(ended);
    }
    for session in sessions.iter().filter(|session| !session.ended_before) {
        let event =
            Event { user: Some(session.user_id), session: Some(session.id), ..Event::new(reason.event()) };
        remember(tx, &event)?;
    }
    Ok(ended)
}

/// Ends one session because its refresh token was used twice.
pub(super) fn reused(tx: &Tx<'_>, id: SessionId, user_id: UserId) -> Result<Ended, Fault> {
    end_one(tx, Concerned { id, user_id, ended_before: false, alive: true }, EndReason::Reuse)
}

fn end_one(tx: &Tx<'_>, session: Concerned, reason: EndReason) -> Result<Ended, Fault> {
    let event =
        Event { user: Some(session.user_id), session: Some(session.id), ..Event::new(reason.event()) };
    remember(tx, &event)?;
    end(tx, &[session], reason)
}

fn log_session(tx: &Tx<'_>, id: SessionId) -> Result<(), Fault> {
    tx.execute("INSERT INTO revocations (session_id, until) VALUES (?1, ?2)", params![id, until(tx)])?;
    tx.announce();
    Ok(())
}

/// Writes that tokens of a user older than `rights` are no longer good.
pub(super) fn log_rights(tx: &Tx<'_>, user_id: UserId, rights: RightsVersion) -> Result<LogEntry, Fault> {
    let until = until(tx);
    tx.execute(
        "INSERT INTO revocations (user_id, rights, until) VALUES (?1, ?2, ?3)",
        params![user_id, rights, until],
    )?;
    tx.announce();
    Ok(LogEntry::Rights { user_id, rights, until })
}

fn until(tx: &Tx<'_>) -> Timestamp {
    tx.now() + REVOCATION_LIFE
}

/// Something to be remembered.
pub(super) struct Event {
    /// A stable word.
    pub(super) word: &'static str,
    /// Whom it concerns.
    pub(super) user: Option<UserId>,
    /// Which session.
    pub(super) session: Option<SessionId>,
    /// From where.
    pub(super) address: Option<Address>,
}

impl Event {
    /// Of nobody in particular.
    pub(super) const fn new(word: &'static str) -> Self {
        Self { word, user: None, session: None, address: None }
    }

    /// Of a user.
    pub(super) const fn of(word: &'static str, user: UserId) -> Self {
        Self { user: Some(user), ..Self::new(word) }
    }
}

/// Writes an event with what it tells of.
pub(super) fn remember(tx: &Tx<'_>, event: &Event) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO audit (at, event, user_id, session_id, address) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![tx.now(), event.word, event.user, event.session, event.address],
    )?;
    Ok(())
}
