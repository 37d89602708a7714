//! The provider's part of a session: its opening, rechecks, and logouts that the provider announces.

use std::time::Duration;

use rusqlite::params;

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::vault::identities::{
    LOGOUT_LIFE, NewProviderSession, ProviderAccount, ProviderLogout, Recheck, Rechecked, SignOutHint,
    SpentToken,
};
use crate::vault::sqlite::fault::Fault;
use crate::vault::sqlite::reader::View;
use crate::vault::sqlite::revoke::{ScopedSession, end_each, in_scope};
use crate::vault::sqlite::sessions;
use crate::vault::sqlite::writer::Tx;
use crate::vault::{EndReason, Ended, Grant, NewSession, Scope, VaultError};

/// Opens a session that a provider vouches for.
pub(super) fn open(tx: &Tx<'_>, new: &NewSession, part: &NewProviderSession) -> Result<Grant, Fault> {
    let of_session = part.sid_name().into_iter().map(|name| (name, tx.now()));
    let of_account =
        part.account_names().into_iter().map(|name| (name, part.forgotten_after().max(tx.now())));
    for (name, after) in of_session.chain(of_account) {
        if remembered(tx, &name, after)? {
            return Err(VaultError::Superseded.into());
        }
    }
    let grant = sessions::open(tx, new)?;
    // It was unlinked since the provider identified the person.
    if super::owner(tx, &part.account)?.is_none_or(|owner| owner.id != new.user_id) {
        return Err(VaultError::Superseded.into());
    }
    let ProviderAccount { provider, issuer, subject } = &part.account;
    tx.execute(
        "INSERT INTO session_providers \
         (session_id, provider, issuer, subject, sid, refresh, id_token, confirmed_at, check_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            new.id,
            provider,
            issuer,
            subject,
            part.sid,
            part.refresh,
            part.id_token,
            tx.now(),
            part.recheck.map(|span| tx.now() + span),
        ],
    )?;
    Ok(grant)
}

/// Returns whether any session is rechecked.
pub(super) fn has_rechecks(view: &View<'_>) -> Result<bool, Fault> {
    let any = "SELECT 1 FROM session_providers WHERE check_at IS NOT NULL LIMIT 1";
    Ok(view.row(any, params![], |_| Ok(()))?.is_some())
}

/// Takes the recheck of a session, if it is due and free.
pub(super) fn claim(tx: &Tx<'_>, session: SessionId, hold: Duration) -> Result<Option<Recheck>, Fault> {
    let due = tx.row(
        "SELECT p.*, s.user_id FROM session_providers p JOIN sessions s ON s.id = p.session_id \
         WHERE session_id = ?1 AND check_at <= ?2 AND (claimed_until IS NULL OR claimed_until <= ?2)",
        params![session, tx.now()],
        |row| {
            Ok(Recheck {
                user_id: row.get("user_id")?,
                account: super::account(row)?,
                refresh: row.get("refresh")?,
                unconfirmed: tx.now().since(row.get::<_, Timestamp>("confirmed_at")?),
            })
        },
    )?;
    if due.is_some() {
        tx.execute(
            "UPDATE session_providers SET claimed_until = ?2 WHERE session_id = ?1",
            params![session, tx.now() + hold],
        )?;
    }
    Ok(due)
}

/// Stores the outcome of a recheck.
pub(super) fn settle(tx: &Tx<'_>, session: SessionId, outcome: &Rechecked) -> Result<(), Fault> {
    match outcome {
        Rechecked::Confirmed { refresh, next } => tx.execute(
            "UPDATE session_providers SET claimed_until = NULL, confirmed_at = ?2, refresh = coalesce(?3, refresh), \
             check_at = ?4 WHERE session_id = ?1",
            params![session, tx.now(), refresh, next.map(|span| tx.now() + span)],
        )?,
        Rechecked::Undecided { refresh, retry } => tx.execute(
            "UPDATE session_providers SET claimed_until = NULL, refresh = coalesce(?3, refresh), check_at = ?2 \
             WHERE session_id = ?1",
            params![session, tx.now() + *retry, refresh],
        )?,
    };
    Ok(())
}

/// Ends the sessions of a provider's logout, once.
pub(super) fn log_out(tx: &Tx<'_>, logout: &ProviderLogout) -> Result<Option<Ended>, Fault> {
    let token = logout.token_name();
    if remembered(tx, &token, tx.now())? {
        return Ok(None);
    }
    remember(tx, &token, logout.token_life)?;
    for name in logout.names() {
        remember(tx, &name, LOGOUT_LIFE)?;
    }
    let ProviderLogout { provider, issuer, sid, subject, .. } = logout;
    let ids = match (sid, subject) {
        (Some(sid), _) => tx.rows(
            "SELECT session_id FROM session_providers \
             WHERE provider = ?1 AND issuer = ?2 \
             AND (sid = ?3 AND (?4 IS NULL OR subject = ?4) OR sid IS NULL AND subject = ?4)",
            params![provider, issuer, sid, subject],
            |row| row.get("session_id"),
        )?,
        (None, Some(subject)) => ids_of(tx, provider, issuer, subject)?,
        // Refused before: such a token names nobody.
        (None, None) => return Ok(None),
    };
    end_each(tx, &scoped(tx, ids)?, EndReason::Provider).map(Some)
}

/// Returns the sessions that an account at a provider opened, except `keep`.
pub(super) fn of_account(
    view: &View<'_>,
    account: &ProviderAccount,
    keep: Option<SessionId>,
) -> Result<Vec<ScopedSession>, Fault> {
    let mut ids = ids_of(view, &account.provider, &account.issuer, &account.subject)?;
    ids.retain(|id| Some(*id) != keep);
    scoped(view, ids)
}

fn ids_of(view: &View<'_>, provider: &str, issuer: &str, subject: &str) -> Result<Vec<SessionId>, Fault> {
    view.rows(
        "SELECT session_id FROM session_providers WHERE provider = ?1 AND issuer = ?2 AND subject = ?3",
        params![provider, issuer, subject],
        |row| row.get("session_id"),
    )
}

fn scoped(view: &View<'_>, ids: Vec<SessionId>) -> Result<Vec<ScopedSession>, Fault> {
    let mut sessions = Vec::new();
    for id in ids {
        sessions.extend(in_scope(view, Scope::Session(id, None))?);
    }
    Ok(sessions)
}

/// Returns whether a name is remembered until later than `after`.
fn remembered(view: &View<'_>, name: &str, after: Timestamp) -> Result<bool, Fault> {
    let found = view.row(
        "SELECT 1 FROM provider_logouts WHERE name = ?1 AND until > ?2",
        params![name, after],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

fn remember(tx: &Tx<'_>, name: &str, life: Duration) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO provider_logouts (name, until) VALUES (?1, ?2) \
         ON CONFLICT (name) DO UPDATE SET until = excluded.until",
        params![name, tx.now() + life],
    )?;
    Ok(())
}

/// Takes the refresh tokens of ended sessions.
pub(super) fn take_refresh(tx: &Tx<'_>, ended: &[SessionId], limit: u32) -> Result<Vec<SpentToken>, Fault> {
    let mut taken = Vec::new();
    for id in ended {
        if taken.len() >= limit as usize {
            break;
        }
        taken.extend(tx.row(
            "SELECT p.* FROM session_providers p JOIN sessions s ON s.id = p.session_id \
             WHERE session_id = ?1 AND refresh IS NOT NULL AND s.ended_at IS NOT NULL",
            params![id],
            |row| Ok(SpentToken { account: super::account(row)?, refresh: row.get("refresh")? }),
        )?);
        tx.execute(
            "UPDATE session_providers SET refresh = NULL, check_at = NULL WHERE session_id = ?1 \
             AND EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND ended_at IS NOT NULL)",
            params![id],
        )?;
    }
    let mut spent = Vec::new();
    for token in taken {
        let needed = tx.row(
            "SELECT 1 FROM session_providers p JOIN sessions s ON s.id = p.session_id \
             WHERE p.provider = ?1 AND p.issuer = ?2 AND p.subject = ?3 AND p.refresh IS NOT NULL \
             AND s.ended_at IS NULL AND s.idle_until > ?4 LIMIT 1",
            params![token.account.provider, token.account.issuer, token.account.subject, tx.now()],
            |_| Ok(()),
        )?;
        if needed.is_none() {
            spent.push(token);
        }
    }
    Ok(spent)
}

/// Returns what the sign-out at the provider needs.
pub(super) fn hint(view: &View<'_>, session: SessionId) -> Result<Option<SignOutHint>, Fault> {
    view.row(
        "SELECT provider, issuer, subject, id_token FROM session_providers WHERE session_id = ?1",
        params![session],
        |row| Ok(SignOutHint { account: super::account(row)?, id_token: row.get("id_token")? }),
    )
}
