//! The outbox, and the links.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::{apply, set_attributes, set_password};
use crate::clock::Timestamp;
use crate::id::{MailId, UserId};
use crate::secret::Secret;
use crate::vault::mail::{ClaimedMail, Link, LinkPurpose, Mail, MailOutcome, NewLink, NewMail, Outbox};
use crate::vault::sqlite::SqliteVault;
use crate::vault::sqlite::fault::Fault;
use crate::vault::sqlite::reader::View;
use crate::vault::sqlite::revoke::{Event, record};
use crate::vault::sqlite::rows;
use crate::vault::sqlite::writer::Tx;
use crate::vault::{AttributesChange, Ended, User, UserChange, VaultError};

#[async_trait]
impl Mail for SqliteVault {
    async fn add_link(&self, link: &NewLink, mail: Option<&NewMail>) -> Result<bool, VaultError> {
        let (link, mail) = (link.clone(), mail.cloned());
        self.writer.run(move |tx| add_link(tx, &link, mail.as_ref())).await
    }

    async fn link(&self, digest: [u8; 32]) -> Result<Option<Link>, VaultError> {
        self.readers.query(move |view| find(view, digest)).await
    }

    async fn set_password_by_link(
        &self,
        digest: [u8; 32],
        new: &Secret<String>,
        mail: Option<&NewMail>,
    ) -> Result<Option<Ended>, VaultError> {
        let (new, mail) = (new.clone(), mail.cloned());
        self.writer.run(move |tx| set_password_by_link(tx, digest, &new, mail.as_ref())).await
    }

    async fn verify_email_by_link(&self, digest: [u8; 32]) -> Result<Option<Ended>, VaultError> {
        self.writer.run(move |tx| verify_email_by_link(tx, digest)).await
    }

    async fn change_user(
        &self,
        id: UserId,
        change: &UserChange,
        mail: &NewMail,
    ) -> Result<Ended, VaultError> {
        let (change, mail) = (change.clone(), mail.clone());
        self.writer
            .run(move |tx| {
                let ended = apply(tx, id, &change)?;
                add(tx, &mail)?;
                Ok(ended)
            })
            .await
    }

    async fn add(&self, mail: &NewMail) -> Result<(), VaultError> {
        let mail = mail.clone();
        self.writer.run(move |tx| add(tx, &mail)).await
    }

    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<ClaimedMail>, VaultError> {
        self.writer.run(move |tx| claim(tx, limit, lease)).await
    }

    async fn settle(&self, id: MailId, attempt: u32, outcome: MailOutcome) -> Result<(), VaultError> {
        self.writer.run(move |tx| settle(tx, id, attempt, outcome)).await
    }

    async fn outbox(&self) -> Result<Outbox, VaultError> {
        self.readers.query(outbox).await
    }
}

/// Writes a message. It is sent after the commit.
fn add(tx: &Tx<'_>, mail: &NewMail) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO outbox (id, kind, user_id, sealed, created_at, until, due_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5)",
        params![mail.id, mail.kind, mail.user, mail.sealed, tx.now(), tx.now() + mail.life],
    )?;
    Ok(())
}

fn enabled_user(view: &View<'_>, id: UserId) -> Result<Option<User>, Fault> {
    let user = view.row("SELECT * FROM users WHERE id = ?1", params![id], rows::user)?;
    Ok(user.filter(|user| !user.disabled))
}

fn add_link(tx: &Tx<'_>, link: &NewLink, mail: Option<&NewMail>) -> Result<bool, Fault> {
    let user = enabled_user(tx, link.user_id)?.ok_or(VaultError::UserUnknown)?;
    let count =
        "SELECT count(*) FROM links WHERE user_id = ?1 AND purpose = ?2 AND epoch = ?3 AND until > ?4";
    let open: u32 = tx.value(count, params![user.id, link.purpose.as_str(), user.epoch, tx.now()])?;
    if open >= link.max_open {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO links (digest, purpose, user_id, browser, email, epoch, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            link.digest,
            link.purpose.as_str(),
            user.id,
            link.browser,
            link.email,
            user.epoch,
            tx.now() + link.life
        ],
    )?;
    if let Some(mail) = mail {
        add(tx, mail)?;
    }
    record(tx, &Event::of(link.purpose.event(), user.id))?;
    Ok(true)
}

/// Returns the link, if its user still has the epoch and the address that it was made for.
fn find(view: &View<'_>, digest: [u8; 32]) -> Result<Option<Link>, Fault> {
    let found =
        view.row("SELECT * FROM links WHERE digest = ?1 AND until > ?2", params![digest, view.now()], link)?;
    let Some((Some(purpose), link)) = found else { return Ok(None) };
    let user = enabled_user(view, link.user_id)?;
    let is_current = |user: &User| {
        let has_address = link.email.is_none() || link.email.as_ref() == user.attributes.email();
        user.epoch == link.epoch && has_address
    };
    Ok(user.filter(is_current).map(|_| Link { purpose, ..link }))
}

/// Reads a row. A newer doorward may have purposes that this one does not know.
fn link(row: &Row<'_>) -> rusqlite::Result<(Option<LinkPurpose>, Link)> {
    let purpose = LinkPurpose::parse(&row.get::<_, String>("purpose")?);
    let link = Link {
        purpose: LinkPurpose::Reset,
        user_id: row.get("user_id")?,
        browser: row.get("browser")?,
        email: row.get("email")?,
        epoch: row.get("epoch")?,
    };
    Ok((purpose, link))
}

fn set_password_by_link(
    tx: &Tx<'_>,
    digest: [u8; 32],
    new: &Secret<String>,
    mail: Option<&NewMail>,
) -> Result<Option<Ended>, Fault> {
    let link = find(tx, digest)?.filter(|link| link.purpose.sets_password());
    let Some(link) = link else { return Ok(None) };
    tx.execute("DELETE FROM links WHERE user_id = ?1", params![link.user_id])?;
    record(tx, &Event::of("password_set_by_link", link.user_id))?;
    if let Some(mail) = mail {
        add(tx, mail)?;
    }
    // Who opens the link has the mailbox. No session is left that would have to learn of it.
    tx.execute(
        "UPDATE users SET email_verified_at = ?2 WHERE id = ?1 AND email = ?3 AND email_verified_at IS NULL",
        params![link.user_id, tx.now(), link.email],
    )?;
    set_password(tx, link.user_id, new, None).map(Some)
}

fn verify_email_by_link(tx: &Tx<'_>, digest: [u8; 32]) -> Result<Option<Ended>, Fault> {
    let link = find(tx, digest)?.filter(|link| !link.purpose.sets_password() && link.email.is_some());
    let Some(link) = link else { return Ok(None) };
    let user = enabled_user(tx, link.user_id)?.filter(|user| user.attributes.email() == link.email.as_ref());
    let Some(user) = user else { return Ok(None) };
    tx.execute(
        "DELETE FROM links WHERE user_id = ?1 AND purpose = ?2",
        params![user.id, link.purpose.as_str()],
    )?;
    record(tx, &Event::of("email_verified_by_link", user.id))?;
    let change = AttributesChange { email_verified: Some(true), ..AttributesChange::default() };
    set_attributes(tx, &user, &change).map(Some)
}

fn claim(tx: &Tx<'_>, limit: u32, lease: Duration) -> Result<Vec<ClaimedMail>, Fault> {
    let due = "SELECT * FROM outbox WHERE done_at IS NULL AND due_at <= ?1 ORDER BY due_at LIMIT ?2";
    let claimed = tx.rows(due, params![tx.now(), limit], |row| {
        Ok(ClaimedMail {
            id: row.get("id")?,
            kind: row.get("kind")?,
            sealed: row.get("sealed")?,
            attempt: row.get::<_, u32>("attempts")?.saturating_add(1),
            left: row.get::<_, Timestamp>("until")?.since(tx.now()),
        })
    })?;
    for mail in &claimed {
        tx.execute(
            "UPDATE outbox SET due_at = ?2, attempts = ?3 WHERE id = ?1",
            params![mail.id, tx.now() + lease, mail.attempt],
        )?;
    }
    Ok(claimed)
}

fn settle(tx: &Tx<'_>, id: MailId, attempt: u32, outcome: MailOutcome) -> Result<(), Fault> {
    match outcome {
        MailOutcome::Sent => tx.execute(
            "UPDATE outbox SET done_at = ?2, sealed = x'' WHERE id = ?1 AND done_at IS NULL",
            params![id, tx.now()],
        ),
        MailOutcome::GivenUp => tx.execute(
            "UPDATE outbox SET done_at = ?3, sealed = x'' WHERE id = ?1 AND attempts = ?2 AND done_at IS NULL",
            params![id, attempt, tx.now()],
        ),
        MailOutcome::Failed(wait) => tx.execute(
            "UPDATE outbox SET due_at = ?3 WHERE id = ?1 AND attempts = ?2 AND done_at IS NULL",
            params![id, attempt, tx.now() + wait],
        ),
    }?;
    Ok(())
}

fn outbox(view: &View<'_>) -> Result<Outbox, Fault> {
    let all = "SELECT count(*) AS waiting, min(created_at) AS oldest, min(due_at) AS due FROM outbox WHERE done_at IS NULL";
    let read = |row: &Row<'_>| {
        let (oldest, due): (Option<Timestamp>, Option<Timestamp>) = (row.get("oldest")?, row.get("due")?);
        Ok(Outbox {
            waiting: row.get("waiting")?,
            oldest: oldest.map(|oldest| view.now().since(oldest)).unwrap_or_default(),
            is_due: due.is_some_and(|due| due <= view.now()),
        })
    };
    Ok(view.row(all, [], read)?.unwrap_or_default())
}
