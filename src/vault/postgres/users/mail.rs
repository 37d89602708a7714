//! The outbox, and the links.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{apply, set_attributes, set_password};
use crate::clock::Timestamp;
use crate::id::{MailId, UserId};
use crate::secret::Secret;
use crate::vault::mail::{ClaimedMail, Link, LinkPurpose, Mail, MailOutcome, NewLink, NewMail, Outbox};
use crate::vault::postgres::connection::clients::{Connection, Mode};
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::rows::Span;
use crate::vault::postgres::{PostgresVault, audited, clock, origin, proof, revoke};
use crate::vault::{AttributesChange, Ended, UserChange, VaultError};

const ADD: &str = concat!(
    "WITH ",
    clock!(),
    " INSERT INTO outbox (id, kind, user_id, sealed, created_at, until, due_at)
      SELECT $1, $2, $3, $4, now, now + $5::float8 * interval '1 millisecond', now FROM clock"
);

/// Two requests of one user wait for each other, so that both count. A change of the epoch waits too.
const LOCK: &str = "SELECT id FROM users WHERE id = $1 AND NOT disabled FOR UPDATE";

/// `$6` the maximum number of links. No row: there are that many.
const ADD_LINK: &str = concat!(
    "WITH ",
    clock!(),
    ", added AS (
         INSERT INTO links (digest, purpose, user_id, browser, epoch, until, email)
         SELECT $1, $2, u.id, $4, u.epoch, now + $5::float8 * interval '1 millisecond', $8 FROM users u, clock
         WHERE u.id = $3 AND $6 > (
             SELECT count(*) FROM links l WHERE l.user_id = u.id AND l.purpose = $2 AND l.epoch = u.epoch AND l.until > now)
         RETURNING user_id
     ), remembered AS (
         INSERT INTO audit (at, event, user_id, actor, address, request_id) SELECT now, $7, user_id, ",
    origin!(9),
    " FROM added, clock
     )
     SELECT user_id FROM added"
);

const LINK: &str = concat!(
    "WITH ",
    clock!(),
    " SELECT l.purpose, l.user_id, l.browser, l.email, l.epoch FROM links l JOIN users u ON u.id = l.user_id, clock
      WHERE l.digest = $1 AND l.until > now AND u.epoch = l.epoch AND NOT u.disabled
      AND (l.email IS NULL OR l.email = u.email)"
);

/// The other links of the user go with it. Who opens the link has the mailbox; no session is left that would have to learn of the
/// verified address, `$2`.
const USE_LINK: &str = concat!(
    "WITH ",
    clock!(),
    ", gone AS (DELETE FROM links WHERE user_id = $1), verified AS (
         UPDATE users SET email_verified_at = now FROM clock WHERE id = $1 AND email = $2 AND email_verified_at IS NULL
     ) ",
    audited!("password_set_by_link", "now", "$1", "NULL", 3, "clock")
);

const VERIFY: &str = concat!(
    "WITH ",
    clock!(),
    ", gone AS (DELETE FROM links WHERE user_id = $1 AND purpose = $2) ",
    audited!("email_verified_by_link", "now", "$1", "NULL", 3, "clock")
);

const HAS_EMAIL: &str = "SELECT id FROM users WHERE id = $1 AND email = $2";

/// Two gateways that claim at once skip each other's rows.
const CLAIM: &str = concat!(
    "WITH ",
    clock!(),
    ", due AS MATERIALIZED (
         SELECT id FROM outbox WHERE done_at IS NULL AND due_at <= (SELECT now FROM clock)
         ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
     )
     UPDATE outbox o SET due_at = now + $2::float8 * interval '1 millisecond', attempts = o.attempts + 1
     FROM due, clock WHERE o.id = due.id
     RETURNING o.id, o.kind, o.sealed, o.attempts, o.until, o.created_at, now"
);

const SENT: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE outbox SET done_at = now, sealed = '' FROM clock WHERE id = $1 AND done_at IS NULL"
);

const GIVEN_UP: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE outbox SET done_at = now, sealed = '' FROM clock WHERE id = $1 AND attempts = $2 AND done_at IS NULL"
);

const FAILED: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE outbox SET due_at = now + $3::float8 * interval '1 millisecond' FROM clock
      WHERE id = $1 AND attempts = $2 AND done_at IS NULL"
);

const OUTBOX: &str = concat!(
    "WITH ",
    clock!(),
    ", waiting AS (SELECT count(*) AS waiting, min(created_at) AS oldest, min(due_at) AS due FROM outbox WHERE done_at IS NULL)
     SELECT now, waiting, oldest, due FROM clock, waiting"
);

#[async_trait]
impl Mail for PostgresVault {
    async fn add_link(&self, link: &NewLink, mail: Option<&NewMail>) -> Result<bool, VaultError> {
        self.clients
            .query(Mode::TRANSACTION, (link.clone(), mail.cloned()), |connection, (link, mail)| {
                Box::pin(add_link(connection, link, mail.as_ref()))
            })
            .await
    }

    async fn link(&self, digest: [u8; 32]) -> Result<Option<Link>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, digest, |connection, digest| Box::pin(find(connection, *digest)))
            .await
    }

    async fn set_password_by_link(
        &self,
        digest: [u8; 32],
        new: &Secret<String>,
        mail: Option<&NewMail>,
    ) -> Result<Option<Ended>, VaultError> {
        let mode = Mode::TRANSACTION.within(revoke::ALL_OF_USER);
        self.clients
            .query(mode, (digest, new.clone(), mail.cloned()), |connection, (digest, new, mail)| {
                Box::pin(set_password_by_link(connection, *digest, new, mail.as_ref()))
            })
            .await
    }

    async fn verify_email_by_link(&self, digest: [u8; 32]) -> Result<Option<Ended>, VaultError> {
        self.clients
            .query(Mode::TRANSACTION, digest, |connection, digest| {
                Box::pin(verify_email_by_link(connection, *digest))
            })
            .await
    }

    async fn change_user(
        &self,
        id: UserId,
        change: &UserChange,
        mail: &NewMail,
    ) -> Result<Ended, VaultError> {
        let mode = Mode::TRANSACTION.within(revoke::ALL_OF_USER);
        self.clients
            .query(mode, (id, change.clone(), mail.clone()), |connection, (id, change, mail)| {
                Box::pin(async move {
                    let ended = apply(connection, *id, change).await?;
                    add(connection, mail).await?;
                    Ok(ended)
                })
            })
            .await
    }

    async fn add(&self, mail: &NewMail) -> Result<(), VaultError> {
        self.clients.query(Mode::ONCE, mail.clone(), |connection, mail| Box::pin(add(connection, mail))).await
    }

    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<ClaimedMail>, VaultError> {
        self.clients
            .query(Mode::ONCE, (limit, lease), |connection, (limit, lease)| {
                Box::pin(claim(connection, *limit, *lease))
            })
            .await
    }

    async fn settle(&self, id: MailId, attempt: u32, outcome: MailOutcome) -> Result<(), VaultError> {
        // `Failed` twice only moves the next attempt by the time between the two.
        self.clients
            .query(Mode::IDEMPOTENT, (id, attempt, outcome), |connection, (id, attempt, outcome)| {
                Box::pin(settle(connection, *id, *attempt, *outcome))
            })
            .await
    }

    async fn outbox(&self) -> Result<Outbox, VaultError> {
        self.clients.query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(outbox(connection))).await
    }
}

async fn add(connection: &Connection<'_>, mail: &NewMail) -> Result<(), Fault> {
    let NewMail { id, kind, user, sealed, life } = mail;
    connection.rows(ADD, &[id, kind, user, sealed, &Span(*life)]).await.map(drop)
}

async fn add_link(
    connection: &Connection<'_>,
    link: &NewLink,
    mail: Option<&NewMail>,
) -> Result<bool, Fault> {
    connection.row(LOCK, &[&link.user_id]).await?.ok_or(VaultError::UserUnknown)?;
    let browser = link.browser.map(|browser| browser.to_vec());
    let added = connection
        .row(
            ADD_LINK,
            &[
                &&link.digest[..],
                &link.purpose.as_str(),
                &link.user_id,
                &browser,
                &Span(link.life),
                &i64::from(link.max_open),
                &link.purpose.event(),
                &link.email.as_ref(),
                &connection.origin,
            ],
        )
        .await?;
    if added.is_none() {
        return Ok(false);
    }
    if let Some(mail) = mail {
        add(connection, mail).await?;
    }
    Ok(true)
}

async fn find(connection: &Connection<'_>, digest: [u8; 32]) -> Result<Option<Link>, Fault> {
    let row = connection.row(LINK, &[&&digest[..]]).await?;
    row.as_ref().map(link).transpose().map(Option::flatten)
}

/// Reads a row. A newer doorward may have purposes that this one does not know.
fn link(row: &Row) -> Result<Option<Link>, Fault> {
    let Some(purpose) = LinkPurpose::parse(row.try_get("purpose")?) else { return Ok(None) };
    let browser: Option<Vec<u8>> = row.try_get("browser")?;
    let browser = browser.map(|browser| browser.try_into()).transpose();
    let browser = browser.map_err(|_| VaultError::Damaged("a link in the vault is damaged".into()))?;
    Ok(Some(Link {
        purpose,
        user_id: row.try_get("user_id")?,
        browser,
        email: row.try_get("email")?,
        epoch: row.try_get("epoch")?,
    }))
}

/// Returns a link that can be used, with its user locked.
async fn locked(connection: &Connection<'_>, digest: [u8; 32]) -> Result<Option<Link>, Fault> {
    let Some(before) = find(connection, digest).await? else {
        // The proof that no other primary has it.
        connection.rows(concat!("SELECT ", proof!()), &[]).await?;
        return Ok(None);
    };
    // The user before all else; then the link is read again, since another gateway may have used it meanwhile.
    if connection.row(LOCK, &[&before.user_id]).await?.is_none() {
        return Ok(None);
    }
    find(connection, digest).await
}

async fn set_password_by_link(
    connection: &Connection<'_>,
    digest: [u8; 32],
    new: &Secret<String>,
    mail: Option<&NewMail>,
) -> Result<Option<Ended>, Fault> {
    let link = locked(connection, digest).await?.filter(|link| link.purpose.sets_password());
    let Some(link) = link else { return Ok(None) };
    connection.rows(USE_LINK, &[&link.user_id, &link.email.as_ref(), &connection.origin]).await?;
    if let Some(mail) = mail {
        add(connection, mail).await?;
    }
    set_password(connection, link.user_id, new, None).await.map(Some)
}

async fn verify_email_by_link(connection: &Connection<'_>, digest: [u8; 32]) -> Result<Option<Ended>, Fault> {
    let link = locked(connection, digest).await?.filter(|link| !link.purpose.sets_password());
    let Some(Link { user_id, purpose, email: Some(email), .. }) = link else { return Ok(None) };
    if connection.row(HAS_EMAIL, &[&user_id, &Some(&email)]).await?.is_none() {
        return Ok(None);
    }
    connection.rows(VERIFY, &[&user_id, &purpose.as_str(), &connection.origin]).await?;
    let change = AttributesChange { email_verified: Some(true), ..AttributesChange::default() };
    set_attributes(connection, user_id, &change).await.map(Some)
}

async fn claim(connection: &Connection<'_>, limit: u32, lease: Duration) -> Result<Vec<ClaimedMail>, Fault> {
    let mut rows = connection.rows(CLAIM, &[&i64::from(limit), &Span(lease)]).await?;
    // RETURNING has no order.
    let age =
        |row: &Row| row.try_get::<_, Timestamp>("created_at").map(Timestamp::millis).unwrap_or_default();
    rows.sort_by_key(age);
    let claimed = |row: &Row| {
        let (until, now): (Timestamp, Timestamp) = (row.try_get("until")?, row.try_get("now")?);
        Ok(ClaimedMail {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            sealed: row.try_get("sealed")?,
            attempt: u32::try_from(row.try_get::<_, i64>("attempts")?).unwrap_or(u32::MAX),
            left: until.since(now),
        })
    };
    rows.iter().map(claimed).collect()
}

async fn settle(
    connection: &Connection<'_>,
    id: MailId,
    attempt: u32,
    outcome: MailOutcome,
) -> Result<(), Fault> {
    let attempt = i64::from(attempt);
    match outcome {
        MailOutcome::Sent => connection.rows(SENT, &[&id]).await,
        MailOutcome::GivenUp => connection.rows(GIVEN_UP, &[&id, &attempt]).await,
        MailOutcome::Failed(wait) => connection.rows(FAILED, &[&id, &attempt, &Span(wait)]).await,
    }
    .map(drop)
}

async fn outbox(connection: &Connection<'_>) -> Result<Outbox, Fault> {
    let row = connection.one(OUTBOX, &[]).await?;
    let now: Timestamp = row.try_get("now")?;
    let (oldest, due): (Option<Timestamp>, Option<Timestamp>) = (row.try_get("oldest")?, row.try_get("due")?);
    Ok(Outbox {
        waiting: u32::try_from(row.try_get::<_, i64>("waiting")?).unwrap_or(u32::MAX),
        oldest: oldest.map(|oldest| now.since(oldest)).unwrap_or_default(),
        is_due: due.is_some_and(|due| due <= now),
    })
}
