//! The provider's part of a session: its opening, rechecks, and logouts that the provider announces.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::vault::identities::{
    LOGOUT_LIFE, NewProviderSession, ProviderAccount, ProviderLogout, Recheck, Rechecked, SignOutHint,
    SpentToken,
};
use crate::vault::postgres::connection::clients::Connection;
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::rows::Span;
use crate::vault::postgres::{clock, revoke, sessions};
use crate::vault::{EndReason, Ended, Grant, NewSession, VaultError};

/// Sign-ins of one issuer share this lock; a logout of that issuer has it alone. So a session that is being opened is
/// either ended by the logout, or finds it.
const SIGN_IN: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 7237125663627506277))";
const LOG_OUT: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7237125663627506277))";

/// `$1` counts as long as it is remembered; `$2` only if it was remembered after the sign-in began.
const HAS_LOGGED_OUT: &str = concat!(
    "WITH ",
    clock!(),
    " SELECT 1 FROM provider_logouts, clock
      WHERE until > now AND (name = $1 OR (name = ANY ($2) AND until > $3)) LIMIT 1"
);

/// An unlink waits for this sign-in and then ends its session, or is done, and this finds no link. After the lock of the user, as
/// there.
const BELONGS: &str =
    "SELECT 1 FROM identities WHERE provider = $1 AND issuer = $2 AND subject = $3 AND user_id = $4
     FOR KEY SHARE";

const ADD: &str = concat!(
    "WITH ",
    clock!(),
    " INSERT INTO session_providers (session_id, provider, issuer, subject, sid, refresh, id_token, confirmed_at, check_at)
      SELECT $1, $2, $3, $4, $5, $6, $7, now, now + $8::float8 * interval '1 millisecond' FROM clock"
);

const HAS_RECHECKS: &str = "SELECT 1 FROM session_providers WHERE check_at IS NOT NULL LIMIT 1";

/// Whoever gets the row has the recheck. Another caller waits for its lock and finds it claimed.
const CLAIM: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE session_providers p SET claimed_until = now + $2::float8 * interval '1 millisecond'
      FROM clock, sessions s
      WHERE p.session_id = $1 AND s.id = $1 AND p.check_at <= now AND (p.claimed_until IS NULL OR p.claimed_until <= now)
      RETURNING s.user_id, p.provider, p.issuer, p.subject, p.refresh, p.confirmed_at, now"
);

const CONFIRMED: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE session_providers SET claimed_until = NULL, confirmed_at = now, refresh = coalesce($2, refresh),
             check_at = now + $3::float8 * interval '1 millisecond'
      FROM clock WHERE session_id = $1"
);

const UNDECIDED: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE session_providers SET claimed_until = NULL, refresh = coalesce($2, refresh),
             check_at = now + $3::float8 * interval '1 millisecond'
      FROM clock WHERE session_id = $1"
);

/// Remembers a name; no row if it is remembered already. One that has run out counts as forgotten.
const REMEMBER: &str = concat!(
    "WITH ",
    clock!(),
    " INSERT INTO provider_logouts (name, until) SELECT $1, now + $2::float8 * interval '1 millisecond' FROM clock
      ON CONFLICT (name) DO UPDATE SET until = excluded.until
      WHERE provider_logouts.until <= (SELECT now FROM clock) OR $3
      RETURNING name"
);

/// One row for each token that no other session of its account needs.
const TAKE: &str = concat!(
    "WITH ",
    clock!(),
    ", taken AS MATERIALIZED (
         SELECT p.session_id, p.provider, p.issuer, p.subject, p.refresh
         FROM session_providers p JOIN sessions s ON s.id = p.session_id
         WHERE p.session_id = ANY ($1) AND p.refresh IS NOT NULL AND s.ended_at IS NOT NULL
         ORDER BY p.session_id LIMIT $2 FOR UPDATE OF p
     ), deleted AS (
         UPDATE session_providers p SET refresh = NULL, check_at = NULL FROM taken t WHERE p.session_id = t.session_id
     )
     SELECT t.provider, t.issuer, t.subject, t.refresh FROM taken t, clock
     WHERE NOT EXISTS (
         SELECT 1 FROM session_providers o JOIN sessions s ON s.id = o.session_id
         WHERE o.provider = t.provider AND o.issuer = t.issuer AND o.subject = t.subject AND o.refresh IS NOT NULL
         AND s.ended_at IS NULL AND s.idle_until > now)"
);

const HINT: &str = "SELECT provider, issuer, subject, id_token FROM session_providers WHERE session_id = $1";

/// Opens a session that a provider vouches for.
pub(super) async fn open(
    connection: &Connection<'_>,
    new: &NewSession,
    part: &NewProviderSession,
) -> Result<Grant, Fault> {
    let ProviderAccount { provider, issuer, subject } = &part.account;
    connection.rows(SIGN_IN, &[issuer]).await?;
    let names = (part.sid_name(), part.account_names());
    if connection.row(HAS_LOGGED_OUT, &[&names.0, &names.1, &part.forgotten_after()]).await?.is_some() {
        return Err(VaultError::Superseded.into());
    }
    let grant = sessions::open(connection, new).await?;
    let belongs = connection.row(BELONGS, &[provider, issuer, subject, &new.user_id]).await?;
    belongs.ok_or(VaultError::Superseded)?;
    let recheck = part.recheck.map(Span);
    let values = (&new.id, &part.sid, &part.refresh, &part.id_token);
    connection
        .rows(ADD, &[values.0, provider, issuer, subject, values.1, values.2, values.3, &recheck])
        .await?;
    Ok(grant)
}

/// Returns whether any session is rechecked.
pub(super) async fn has_rechecks(connection: &Connection<'_>) -> Result<bool, Fault> {
    Ok(connection.row(HAS_RECHECKS, &[]).await?.is_some())
}

/// Takes the recheck of a session, if it is due and free.
pub(super) async fn claim(
    connection: &Connection<'_>,
    session: SessionId,
    hold: Duration,
) -> Result<Option<Recheck>, Fault> {
    let Some(row) = connection.row(CLAIM, &[&session, &Span(hold)]).await? else { return Ok(None) };
    let (confirmed_at, now): (Timestamp, Timestamp) = (row.try_get("confirmed_at")?, row.try_get("now")?);
    Ok(Some(Recheck {
        user_id: row.try_get("user_id")?,
        account: super::account(&row)?,
        refresh: row.try_get("refresh")?,
        unconfirmed: now.since(confirmed_at),
    }))
}

/// Stores the outcome of a recheck.
pub(super) async fn settle(
    connection: &Connection<'_>,
    session: SessionId,
    outcome: &Rechecked,
) -> Result<(), Fault> {
    match outcome {
        Rechecked::Confirmed { refresh, next } => {
            connection.rows(CONFIRMED, &[&session, refresh, &next.map(Span)]).await?;
        }
        Rechecked::Undecided { refresh, retry } => {
            connection.rows(UNDECIDED, &[&session, refresh, &Span(*retry)]).await?;
        }
    }
    Ok(())
}

/// Ends the sessions of a provider's logout, once.
pub(super) async fn log_out(
    connection: &Connection<'_>,
    logout: &ProviderLogout,
) -> Result<Option<Ended>, Fault> {
    connection.rows(LOG_OUT, &[&logout.issuer]).await?;
    let (token, life) = (logout.token_name(), Span(logout.token_life));
    if connection.row(REMEMBER, &[&token, &life, &false]).await?.is_none() {
        return Ok(None);
    }
    for name in logout.names() {
        connection.rows(REMEMBER, &[&name, &Span(LOGOUT_LIFE), &true]).await?;
    }
    let ProviderLogout { provider, issuer, sid, subject, .. } = logout;
    let ended = match (sid, subject) {
        (Some(sid), _) => revoke::of_sid(connection, logout, sid).await?,
        (None, Some(subject)) => {
            let account = ProviderAccount {
                provider: provider.clone(),
                issuer: issuer.clone(),
                subject: subject.clone(),
            };
            revoke::of_account(connection, &account, None, EndReason::Provider).await?
        }
        // Refused before: such a token names nobody.
        (None, None) => return Ok(None),
    };
    Ok(Some(ended))
}

/// Takes the refresh tokens of ended sessions.
pub(super) async fn take_refresh(
    connection: &Connection<'_>,
    ended: &Vec<SessionId>,
    limit: u32,
) -> Result<Vec<SpentToken>, Fault> {
    let rows = connection.rows(TAKE, &[ended, &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| Ok(SpentToken { account: super::account(row)?, refresh: row.try_get("refresh")? }))
        .collect()
}

/// Returns what the sign-out at the provider needs.
pub(super) async fn hint(
    connection: &Connection<'_>,
    session: SessionId,
) -> Result<Option<SignOutHint>, Fault> {
    let Some(row) = connection.row(HINT, &[&session]).await? else { return Ok(None) };
    let account = super::account(&row)?;
    Ok(Some(SignOutHint { account, id_token: row.try_get("id_token")? }))
}
