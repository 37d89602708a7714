//! A provider's statement about a person: roles, e-mail address and name of the user.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::UserId;
use crate::identity::{Attributes, DisplayName, Email, RightsVersion, Roles};
use crate::vault::identities::{ProviderAccount, Statement, merged};
use crate::vault::postgres::connection::clients::Connection;
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::rows::{self, Span};
use crate::vault::postgres::{audited, clock, origin, users};
use crate::vault::{Ended, LogEntry, REVOCATION_LIFE, VaultError};

/// Locks the user before the link, as every change of a user does.
const LOCK: &str = concat!(
    "WITH owner AS MATERIALIZED (
         SELECT * FROM users WHERE id = (
             SELECT user_id FROM identities WHERE provider = $1 AND issuer = $2 AND subject = $3
         ) FOR UPDATE
     )
     SELECT ",
    users::columns!(),
    " FROM owner u"
);

/// A statement after the lock, so that it sees what was committed before.
const LINKS: &str = concat!(
    "WITH ",
    clock!(),
    "SELECT roles, is_origin, used_at, now, provider = $2 AND issuer = $3 AND subject = $4 AS is_this
     FROM identities, clock WHERE user_id = $1"
);

const USED: &str = concat!(
    "WITH ",
    clock!(),
    "UPDATE identities SET used_at = CASE WHEN $5 THEN now ELSE used_at END, roles = $4 FROM clock
     WHERE provider = $1 AND issuer = $2 AND subject = $3
     RETURNING now"
);

const CHANGE: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (
         UPDATE users SET roles = $2, email = $3, email_verified_at = CASE WHEN $4 THEN coalesce(email_verified_at, now) END,
                          name = $5, rights = rights + 1
         FROM clock WHERE id = $1 RETURNING id, rights
     ), logged AS (
         INSERT INTO revocations (user_id, rights, until)
         SELECT id, rights, now + $6::float8 * interval '1 millisecond' FROM changed, clock
         RETURNING user_id, rights, until, pg_notify('doorward', '')
     ), remembered AS (",
    audited!("changed_by_provider", "now", "id", "$8", 7, "changed, clock"),
    ")
     SELECT now, user_id, rights, until FROM logged, clock"
);

/// Runs a change, and runs it again without the e-mail address if another user has that.
pub(super) async fn without_taken_email<I: Clone, A, F: Future<Output = Result<A, VaultError>>>(
    input: I,
    statement: impl Fn(&mut I) -> &mut Statement,
    run: impl Fn(I) -> F,
) -> Result<A, VaultError> {
    match run(input.clone()).await {
        Err(VaultError::EmailTaken) => {
            let mut input = input;
            let attributes = &mut statement(&mut input).attributes;
            *attributes = Attributes::new(None, false, attributes.name().cloned());
            run(input).await
        }
        done => done,
    }
}

/// Applies a statement to the owner of the account.
pub(super) async fn apply(
    connection: &Connection<'_>,
    account: &ProviderAccount,
    statement: &Statement,
) -> Result<Ended, Fault> {
    apply_to(connection, account, statement, None).await
}

/// As [`apply`]; with an owner only if the account belongs to that user.
pub(super) async fn apply_to(
    connection: &Connection<'_>,
    account: &ProviderAccount,
    statement: &Statement,
    owner: Option<UserId>,
) -> Result<Ended, Fault> {
    let ProviderAccount { provider, issuer, subject } = account;
    let row = connection.row(LOCK, &[provider, issuer, subject]).await?.ok_or(VaultError::UserUnknown)?;
    let user = rows::user(&row)?;
    if owner.is_some_and(|owner| owner != user.id) {
        return Err(VaultError::UserUnknown.into());
    }
    let links = links(connection, account, user.id).await?;
    let granted = statement.granted(&links.roles, links.age);
    let is_decided = statement.roles.is_some();
    let used = connection.one(USED, &[provider, issuer, subject, &granted, &is_decided]).await?;
    let mut ended = Ended { sessions: Vec::new(), alive: 0, entries: Vec::new(), now: used.try_get("now")? };
    let roles = merged(&user.roles, &links.roles, &granted, &links.of_others);
    let attributes = if links.is_origin { statement.attributes.clone() } else { user.attributes.clone() };
    if roles == user.roles && attributes == user.attributes {
        return Ok(ended);
    }
    let email = attributes.email().map(Email::as_str);
    let (verified, name) = (attributes.email_verified(), attributes.name().map(DisplayName::as_str));
    let row = connection
        .one(
            CHANGE,
            &[
                &user.id,
                &roles,
                &email,
                &verified,
                &name,
                &Span(REVOCATION_LIFE),
                &connection.origin,
                provider,
            ],
        )
        .await
        .map_err(users::taken)?;
    let rights: RightsVersion = row.try_get("rights")?;
    ended.entries.push(LogEntry::Rights { user_id: user.id, rights, until: row.try_get("until")? });
    Ok(ended)
}

/// Links of a user.
struct Links {
    /// Roles that the account gave last.
    roles: Roles,
    /// Time since it did.
    age: Duration,
    /// Roles that other accounts of the user give.
    of_others: Roles,
    is_origin: bool,
}

async fn links(connection: &Connection<'_>, account: &ProviderAccount, user: UserId) -> Result<Links, Fault> {
    let ProviderAccount { provider, issuer, subject } = account;
    let (roles, of_others) = (Roles::default(), Roles::default());
    let mut links = Links { roles, age: Duration::ZERO, of_others, is_origin: false };
    let mut others = Vec::new();
    for row in connection.rows(LINKS, &[&user, provider, issuer, subject]).await? {
        let roles: Roles = row.try_get("roles")?;
        if row.try_get("is_this")? {
            let (used_at, now): (Timestamp, Timestamp) = (row.try_get("used_at")?, row.try_get("now")?);
            (links.roles, links.age) = (roles, now.since(used_at));
            links.is_origin = row.try_get("is_origin")?;
        } else {
            others.extend(roles.iter().cloned());
        }
    }
    links.of_others = Roles::new(others);
    Ok(links)
}
