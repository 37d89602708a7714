//! Sessions: open, look up, list.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::connection::clients::{Connection, Mode};
use super::fault::Fault;
use super::rows::{Address, Kid, Span};
use super::{PostgresVault, clock, renew, revoke, rotate, rows, touch};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
#[cfg(doc)]
use crate::identity::ClientKind;
use crate::vault::{
    EndReason, Ended, Grant, NewSession, Presented, Rotation, Scope, SessionPage, SessionRow, SessionUse,
    Sessions, VaultError,
};

/// Locks the user for share. A change of the user waits for this login and then ends its session, or this login waits
/// for the change and then finds another epoch.
const OPEN: &str = concat!(
    "WITH ", clock!(), ", owner AS MATERIALIZED (
         SELECT id, login, email, email_verified_at, name, roles, rights FROM users WHERE id = $3 AND epoch = $4 AND NOT disabled FOR SHARE
     ), opened AS (
         INSERT INTO sessions (id, family, user_id, epoch, client_id, refresh_kid, created_at, rotated_at,
                               idle_until, expires_at, address, user_agent, amr, proven_at)
         SELECT $1, $2, owner.id, $4, $5, $6, now, now,
                now + least($7, $8)::float8 * interval '1 millisecond', now + $8::float8 * interval '1 millisecond', $9, $10,
                $11, now - $12::float8 * interval '1 millisecond'
         FROM owner, clock
         RETURNING id, user_id, client_id, idle_until, expires_at, created_at, amr, proven_at, address, user_agent
     ), remembered AS (
         INSERT INTO audit (at, event, user_id, session_id, cause, actor, address, request_id)
         SELECT created_at, 'login', user_id, id, $11, ($13::text[])[1], coalesce($9, ($13::text[])[2]), ($13::text[])[3] FROM opened
     )
     SELECT opened.id, user_id, client_id, login, email, email_verified_at, name, roles, rights, amr, proven_at, idle_until,
            expires_at, created_at AS now, address, user_agent
     FROM opened, owner"
);

/// Columns of a [`SessionRow`].
macro_rules! session {
    ($rest:literal) => {
        concat!(
            "WITH ", clock!(), "
             SELECT s.id, s.user_id, s.client_id, u.login, u.email, u.email_verified_at, u.name, u.roles, u.rights,
                    s.amr, coalesce(s.proven_at, s.created_at) AS proven_at, s.idle_until, s.expires_at, now, s.created_at,
                    s.rotated_at, s.address, s.user_agent, ", live!(), " AS live
             FROM clock, sessions s JOIN users u ON u.id = s.user_id ",
            $rest
        )
    };
}

macro_rules! live {
    () => {
        "(s.ended_at IS NULL AND s.idle_until > now AND NOT u.disabled AND u.epoch = s.epoch)"
    };
}

/// The user before the session, as everywhere.
const LOCK_USER: &str = "SELECT id FROM users WHERE id = $1 FOR SHARE";

const LOCK_LIVE: &str = concat!(
    "WITH ",
    clock!(),
    " SELECT s.client_id, (extract(epoch FROM s.expires_at - now) * 1000)::bigint AS left_ms
      FROM clock, sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.user_id = $2 AND ",
    live!(),
    " FOR UPDATE OF s"
);

const MOVE_PROVIDER: &str = "UPDATE session_providers SET session_id = $2 WHERE session_id = $1";

const FIND: &str = session!("WHERE s.id = $1");
const FIND_MANY: &str = session!("WHERE s.id = ANY($1)");

/// A page of live sessions: `$1` is the last one of the page before, `$2` the limit, `$3` whether of browsers
/// ([`ClientKind`]). `place` increases with every login. A session of
/// another user tells nothing, not even that it exists.
macro_rules! page {
    ($and:literal, $of:literal) => {
        concat!(
            session!("WHERE "),
            $and,
            live!(),
            " AND ($3 IS NULL OR (s.client_id IN ('browser', 'browser-remembered')) = $3)
             AND s.place < coalesce((SELECT place FROM sessions WHERE id = $1",
            $of,
            "), 9223372036854775807)
             ORDER BY s.place DESC LIMIT $2"
        )
    };
}

const OF_USER: &str = page!("s.user_id = $4 AND ", " AND user_id = $4");
const OF_EVERYONE: &str = page!("", "");

#[async_trait]
impl Sessions for PostgresVault {
    async fn open(&self, session: &NewSession) -> Result<Grant, VaultError> {
        self.clients
            .query(Mode::ONCE, session.clone(), |connection, new| Box::pin(open(connection, new)))
            .await
    }

    async fn replace(&self, old: SessionId, new: &NewSession) -> Result<(Grant, Ended), VaultError> {
        self.clients
            .query(Mode::TRANSACTION, (old, new.clone()), |connection, (old, new)| {
                Box::pin(replace(connection, *old, new))
            })
            .await
    }

    async fn rotate(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        let mode = rotate::mode(presented, self.clients.timeout);
        self.clients
            .query(mode, presented.clone(), |connection, presented| {
                Box::pin(rotate::rotate(connection, presented))
            })
            .await
    }

    async fn renew(&self, presented: &Presented) -> Result<Rotation, VaultError> {
        // A repeated detection of reuse has no effect: the first one has ended the session.
        self.clients
            .query(Mode::IDEMPOTENT, presented.clone(), |connection, presented| {
                Box::pin(renew::renew(connection, presented))
            })
            .await
    }

    async fn touch(&self, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, VaultError> {
        // Moving an end twice has the same effect as once.
        self.clients
            .query(Mode::IDEMPOTENT, uses.to_vec(), |connection, uses| {
                Box::pin(touch::touch(connection, uses))
            })
            .await
    }

    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError> {
        self.clients.query(Mode::IDEMPOTENT, id, |connection, id| Box::pin(find(connection, *id))).await
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<SessionRow>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, ids.to_vec(), |connection, ids| Box::pin(find_many(connection, ids)))
            .await
    }

    async fn list(&self, user: Option<UserId>, page: SessionPage) -> Result<Vec<SessionRow>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, (user, page), |connection, input| {
                Box::pin(list(connection, input.0, input.1))
            })
            .await
    }

    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError> {
        let input = (scope, reason);
        let mode = revoke::mode(scope);
        self.clients
            .query(mode, input, |connection, input| Box::pin(revoke::revoke(connection, input.0, input.1)))
            .await
    }
}

/// Opens a session in place of another one.
async fn replace(
    connection: &Connection<'_>,
    old: SessionId,
    new: &NewSession,
) -> Result<(Grant, Ended), Fault> {
    connection.row(LOCK_USER, &[&new.user_id]).await?.ok_or(VaultError::Superseded)?;
    let row = connection.row(LOCK_LIVE, &[&old, &new.user_id]).await?.ok_or(VaultError::Superseded)?;
    let left: i64 = row.try_get("left_ms")?;
    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
    let new =
        NewSession { client_id: row.try_get("client_id")?, absolute: new.absolute.min(left), ..new.clone() };
    let grant = open(connection, &new).await?;
    connection.rows(MOVE_PROVIDER, &[&old, &new.id]).await?;
    let scope = Scope::Session(old, Some(new.user_id));
    let ended = revoke::revoke(connection, scope, EndReason::Replaced).await?;
    Ok((grant, ended))
}

/// Inserts a session, if the user is still the one that signed in.
pub(super) async fn open(connection: &Connection<'_>, new: &NewSession) -> Result<Grant, Fault> {
    let row = connection
        .row(
            OPEN,
            &[
                &new.id,
                &&new.family[..],
                &new.user_id,
                &new.epoch,
                &new.client_id,
                &Kid(new.refresh_kid),
                &Span(new.idle),
                &Span(new.absolute),
                &new.address.map(Address),
                &new.stored_user_agent(),
                &new.methods,
                &Span(new.proven_ago),
                &connection.origin,
            ],
        )
        .await?;
    Ok(rows::grant(&row.ok_or(VaultError::Superseded)?)?)
}

async fn find(connection: &Connection<'_>, id: SessionId) -> Result<Option<SessionRow>, Fault> {
    connection.row(FIND, &[&id]).await?.as_ref().map(read).transpose()
}

async fn find_many(connection: &Connection<'_>, ids: &Vec<SessionId>) -> Result<Vec<SessionRow>, Fault> {
    connection.rows(FIND_MANY, &[ids]).await?.iter().map(read).collect()
}

async fn list(
    connection: &Connection<'_>,
    user: Option<UserId>,
    page: SessionPage,
) -> Result<Vec<SessionRow>, Fault> {
    let (after, limit, browsers) = (page.after, i64::from(page.limit), page.browsers);
    let rows = match user {
        Some(user) => connection.rows(OF_USER, &[&after, &limit, &browsers, &user]).await?,
        None => connection.rows(OF_EVERYONE, &[&after, &limit, &browsers]).await?,
    };
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<SessionRow, Fault> {
    Ok(SessionRow {
        grant: rows::grant(row)?,
        live: row.try_get("live")?,
        created_at: row.try_get("created_at")?,
        // A login counts as the first refresh.
        renewed_at: row.try_get("rotated_at")?,
    })
}
