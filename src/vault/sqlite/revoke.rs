//! Ending sessions: their rows of the revocation log, and the audit events.

use rusqlite::{Row, params};

use super::fault::Fault;
use super::reader::View;
use super::rows::Address;
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::RightsVersion;
use crate::request_id::RequestId;
use crate::vault::origin::Actor;
use crate::vault::{EndReason, Ended, LogEntry, REVOCATION_LIFE, Scope};

/// A session whose tokens could still be alive.
pub(super) struct ScopedSession {
    id: SessionId,
    user_id: UserId,
    ended_before: bool,
    /// True if it has neither ended nor expired.
    alive: bool,
}

/// Selects sessions whose tokens could still be alive, including ended or expired ones.
macro_rules! in_scope {
    ($and:literal) => {
        concat!(
            "SELECT id, user_id, ended_at IS NOT NULL AS ended_before, idle_until FROM sessions \
             WHERE idle_until > ?1 AND (ended_at IS NULL OR ended_at > ?1)",
            $and
        )
    };
}

/// Returns the sessions in scope.
pub(super) fn in_scope(view: &View<'_>, scope: Scope) -> Result<Vec<ScopedSession>, Fault> {
    let since = view.now() - REVOCATION_LIFE;
    let read = |row: &Row<'_>| {
        Ok(ScopedSession {
            id: row.get("id")?,
            user_id: row.get("user_id")?,
            ended_before: row.get("ended_before")?,
            alive: !row.get::<_, bool>("ended_before")?
                && row.get::<_, Timestamp>("idle_until")? > view.now(),
        })
    };
    match scope {
        Scope::Session(id, None) => view.rows(in_scope!(" AND id = ?2"), params![since, id], read),
        Scope::Session(id, Some(owner)) => {
            view.rows(in_scope!(" AND id = ?2 AND user_id = ?3"), params![since, id, owner], read)
        }
        Scope::User(user) => view.rows(in_scope!(" AND user_id = ?2"), params![since, user], read),
        Scope::OfClient(user, client) => {
            view.rows(in_scope!(" AND user_id = ?2 AND client_id = ?3"), params![since, user, client], read)
        }
        Scope::Others(user, keep) => others(view, user, Some(keep)),
        Scope::Everyone => view.rows(in_scope!(""), params![since], read),
    }
}

/// Returns every session of a user except `keep`.
pub(super) fn others(
    view: &View<'_>,
    user: UserId,
    keep: Option<SessionId>,
) -> Result<Vec<ScopedSession>, Fault> {
    let mut sessions = in_scope(view, Scope::User(user))?;
    sessions.retain(|session| Some(session.id) != keep);
    Ok(sessions)
}

/// Ends sessions, and writes a log row for each that had not ended before.
pub(super) fn end(tx: &Tx<'_>, sessions: &[ScopedSession], reason: EndReason) -> Result<Ended, Fault> {
    let alive = sessions.iter().filter(|session| session.alive).count();
    let mut ended = Ended { sessions: Vec::new(), alive, entries: Vec::new(), now: tx.now() };
    for session in sessions {
        tx.execute(
            "UPDATE sessions SET ended_at = ?2, end_reason = ?3 WHERE id = ?1 AND ended_at IS NULL",
            params![session.id, tx.now(), reason.as_str()],
        )?;
        ended.sessions.push(session.id);
        // A session that had ended before has its row, which exists as long as the session is in scope.
        if !session.ended_before {
            log_session(tx, session.id)?;
        }
        ended.entries.push(LogEntry::Session { id: session.id, until: until(tx) });
    }
    Ok(ended)
}

/// Ends the sessions in scope and records the event.
pub(super) fn revoke(tx: &Tx<'_>, scope: Scope, reason: EndReason) -> Result<Ended, Fault> {
    let sessions = in_scope(tx, scope)?;
    let ended = end(tx, &sessions, reason)?;
    if matches!(scope, Scope::Everyone) {
        // One event instead of one per session.
        record(tx, &Event::new("everyone_revoked").because(reason.as_str()))?;
        return Ok(ended);
    }
    record_ends(tx, &sessions, reason)?;
    Ok(ended)
}

/// Ends sessions, and records an event for each that had not ended before.
pub(super) fn end_each(tx: &Tx<'_>, sessions: &[ScopedSession], reason: EndReason) -> Result<Ended, Fault> {
    record_ends(tx, sessions, reason)?;
    end(tx, sessions, reason)
}

fn record_ends(tx: &Tx<'_>, sessions: &[ScopedSession], reason: EndReason) -> Result<(), Fault> {
    for session in sessions.iter().filter(|session| !session.ended_before) {
        let event = Event {
            user: Some(session.user_id),
            session: Some(session.id),
            ..Event::new(reason.event()).because(reason.as_str())
        };
        record(tx, &event)?;
    }
    Ok(())
}

/// Ends a session because its refresh token was reused.
pub(super) fn reused(tx: &Tx<'_>, id: SessionId, user_id: UserId, is_previous: bool) -> Result<Ended, Fault> {
    let session = ScopedSession { id, user_id, ended_before: false, alive: true };
    let cause = if is_previous { "previous_generation" } else { "older_generation" };
    // Whoever presented the token may not be the user.
    let actor = Some(Actor::Client.as_str());
    let event =
        Event { user: Some(user_id), session: Some(id), actor, ..Event::new(EndReason::Reuse.event()) };
    record(tx, &event.because(cause))?;
    end(tx, &[session], EndReason::Reuse)
}

fn log_session(tx: &Tx<'_>, id: SessionId) -> Result<(), Fault> {
    tx.execute("INSERT INTO revocations (session_id, until) VALUES (?1, ?2)", params![id, until(tx)])?;
    tx.announce();
    Ok(())
}

/// Writes that tokens of a user with a version older than `rights` are invalid.
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

/// An audit event to record.
pub(super) struct Event {
    /// Stable name.
    pub(super) name: &'static str,
    /// User concerned.
    pub(super) user: Option<UserId>,
    /// Session concerned.
    pub(super) session: Option<SessionId>,
    /// Client address, if it is not that of the request.
    pub(super) address: Option<Address>,
    /// Cause.
    pub(super) cause: Option<String>,
    /// Actor, if it is not that of the request.
    pub(super) actor: Option<&'static str>,
}

impl Event {
    /// An event without a user.
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, user: None, session: None, address: None, cause: None, actor: None }
    }

    /// An event of a user.
    pub(super) fn of(name: &'static str, user: UserId) -> Self {
        Self { user: Some(user), ..Self::new(name) }
    }

    /// The same event with its cause.
    pub(super) fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}

/// Writes an event.
pub(super) fn record(tx: &Tx<'_>, event: &Event) -> Result<(), Fault> {
    let origin = tx.origin();
    let address = event.address.as_ref().map(|address| address.0).or(origin.address).map(Address);
    let actor = event.actor.unwrap_or_else(|| origin.actor.as_str());
    let request_id = origin.request_id.as_ref().map(RequestId::as_str);
    tx.execute(
        "INSERT INTO audit (at, event, user_id, session_id, address, cause, actor, request_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![tx.now(), event.name, event.user, event.session, address, event.cause, actor, request_id],
    )?;
    Ok(())
}
