//! A provider's statement about a person: roles, e-mail address and name of the user.

use rusqlite::params;

use crate::clock::Timestamp;
use crate::id::UserId;
use crate::identity::{Attributes, DisplayName, Email, RightsVersion, Roles};
use crate::vault::identities::{ProviderAccount, Statement, merged};
use crate::vault::sqlite::fault::Fault;
use crate::vault::sqlite::revoke::{Event, log_rights, record};
use crate::vault::sqlite::writer::Tx;
use crate::vault::{Ended, VaultError};

/// Applies a statement to the owner of the account; with an owner only if the account belongs to that user.
pub(super) fn apply(
    tx: &Tx<'_>,
    account: &ProviderAccount,
    statement: &Statement,
    owner: Option<UserId>,
) -> Result<Ended, Fault> {
    let ProviderAccount { provider, issuer, subject } = account;
    let user = super::owner(tx, account)?
        .filter(|user| owner.is_none_or(|owner| owner == user.id))
        .ok_or(VaultError::UserUnknown)?;
    let links = tx.rows(
        "SELECT roles, is_origin, used_at, provider = ?2 AND issuer = ?3 AND subject = ?4 AS is_this \
         FROM identities WHERE user_id = ?1",
        params![user.id, provider, issuer, subject],
        |row| {
            Ok((
                row.get::<_, Roles>("roles")?,
                row.get::<_, bool>("is_origin")?,
                row.get::<_, Timestamp>("used_at")?,
                row.get::<_, bool>("is_this")?,
            ))
        },
    )?;
    let (mut before, mut of_others, mut is_origin) = (Roles::default(), Vec::new(), false);
    let mut decided_at = tx.now();
    for (roles, is_creator, used_at, is_this) in links {
        if is_this {
            (before, is_origin, decided_at) = (roles, is_creator, used_at);
        } else {
            of_others.extend(roles.iter().cloned());
        }
    }
    let granted = statement.granted(&before, tx.now().since(decided_at));
    if statement.roles.is_some() {
        decided_at = tx.now();
    }
    tx.execute(
        "UPDATE identities SET used_at = ?4, roles = ?5 WHERE provider = ?1 AND issuer = ?2 AND subject = ?3",
        params![provider, issuer, subject, decided_at, granted],
    )?;
    let mut ended = Ended { sessions: Vec::new(), alive: 0, entries: Vec::new(), now: tx.now() };
    let roles = merged(&user.roles, &before, &granted, &Roles::new(of_others));
    let attributes =
        if is_origin { free(tx, user.id, &statement.attributes)? } else { user.attributes.clone() };
    if roles == user.roles && attributes == user.attributes {
        return Ok(ended);
    }
    let rights = RightsVersion(user.rights.0 + 1);
    tx.execute(
        "UPDATE users SET roles = ?2, email = ?3, \
         email_verified_at = CASE WHEN ?4 THEN coalesce(email_verified_at, ?7) END, name = ?5, rights = ?6 WHERE id = ?1",
        params![
            user.id,
            roles,
            attributes.email().map(Email::as_str),
            attributes.email_verified(),
            attributes.name().map(DisplayName::as_str),
            rights,
            tx.now()
        ],
    )?;
    record(tx, &Event::of("changed_by_provider", user.id).because(&account.provider))?;
    ended.entries.push(log_rights(tx, user.id, rights)?);
    Ok(ended)
}

/// Leaves out an e-mail address that another user has.
fn free(tx: &Tx<'_>, user: UserId, attributes: &Attributes) -> Result<Attributes, Fault> {
    let taken = tx.row(
        "SELECT 1 FROM users WHERE email = ?1 AND id <> ?2",
        params![attributes.email().map(Email::as_str), user],
        |_| Ok(()),
    )?;
    Ok(match taken {
        None => attributes.clone(),
        Some(()) => Attributes::new(None, false, attributes.name().cloned()),
    })
}
