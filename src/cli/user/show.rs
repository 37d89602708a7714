//! Users as text and as JSON: `user list` and `user show`.

use std::io::Write;

use serde_json::{Value, json};

use crate::cli::{AdminContext, table};
use crate::identity::Login;
use crate::password::is_unusable_hash;
use crate::vault::{AccountLink, ProviderAccount, SessionPage, User};

/// Users read at a time.
const PAGE: u32 = 500;

/// Lists users after a login name, at most `limit`.
pub(super) async fn list(
    context: &AdminContext,
    range: &table::Range<Login>,
    format: table::Format,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut pages = range.pages(PAGE);
    let mut array = table::JsonArray::default();
    while let Some((after, limit)) = pages.next() {
        let users = context.vault.users.list(after, limit).await?;
        if format.json {
            for user in &users {
                array.push(&object(user), out)?;
            }
        } else {
            if users.is_empty() && after.is_none() {
                writeln!(out, "there are no users yet: `doorward user add NAME` adds one")?;
            }
            let row = |user: &User| {
                let (login, roles) = (user.login.to_string(), user.roles.to_string());
                vec![login, state(user).to_owned(), roles, user.id.to_string(), user.created_at.to_string()]
            };
            let rows: Vec<Vec<String>> = users.iter().map(row).collect();
            table::print(&["NAME", "STATE", "ROLES", "ID", "ADDED"], &rows, out)?;
        }
        pages.read(users.len(), users.last().map(|user| user.login.clone()));
    }
    if format.json {
        array.end(out)?;
    }
    Ok(())
}

/// Shows all that the vault knows about a user, except the password hash.
pub(super) async fn show(
    context: &AdminContext,
    user: &User,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let sessions = count_sessions(context, user).await?;
    let accounts = context.vault.identities.of_user(user.id).await?;
    if json {
        let mut object = object(user);
        object["has_password"] = (!is_unusable_hash(&user.password)).into();
        object["sessions"] = sessions.into();
        object["accounts"] = accounts.iter().map(account).collect::<Vec<_>>().into();
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let none = || "-".to_owned();
    let attributes = &user.attributes;
    let email = attributes.email().map_or_else(none, |email| match user.email_verified_at {
        Some(at) => format!("{} (verified {at})", email.as_str()),
        None => format!("{} (not verified)", email.as_str()),
    });
    let roles = if user.roles.is_empty() { none() } else { user.roles.to_string() };
    for (label, value) in [
        ("login name", user.login.to_string()),
        ("id", user.id.to_string()),
        ("name", attributes.name().map_or_else(none, |name| name.as_str().to_owned())),
        ("e-mail", email),
        ("roles", roles),
        ("password", if is_unusable_hash(&user.password) { "none" } else { "set" }.to_owned()),
        ("state", state(user).to_owned()),
        ("added", user.created_at.to_string()),
        ("sessions", sessions.to_string()),
    ] {
        writeln!(out, "{label:<12}{value}")?;
    }
    for AccountLink { account, used_at, .. } in &accounts {
        let ProviderAccount { provider, issuer, subject } = account;
        writeln!(out, "{:<12}{provider}: {subject} at {issuer}, used {used_at}", "account")?;
    }
    Ok(())
}

/// Describes an account at a provider.
fn account(link: &AccountLink) -> Value {
    let ProviderAccount { provider, issuer, subject } = &link.account;
    json!({
        "provider": provider,
        "issuer": issuer,
        "subject": subject,
        "linked_at": link.created_at.to_string(),
        "used_at": link.used_at.to_string(),
    })
}

/// Counts the live sessions of a user.
async fn count_sessions(context: &AdminContext, user: &User) -> anyhow::Result<usize> {
    let (mut page, mut count) = (SessionPage::first(1000), 0);
    loop {
        let rows = context.vault.sessions.list(Some(user.id), page).await?;
        count += rows.len();
        match rows.last() {
            Some(last) if rows.len() == page.limit as usize => page.after = Some(last.grant.session_id),
            _ => return Ok(count),
        }
    }
}

/// Describes a user. Absent attributes are absent members.
fn object(user: &User) -> Value {
    let mut object = json!({
        "name": user.login.to_string(),
        "state": state(user),
        "roles": user.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "id": user.id.to_string(),
        "added_at": user.created_at.to_string(),
    });
    if let Some(email) = user.attributes.email() {
        object["email"] = email.as_str().into();
    }
    if let Some(at) = user.email_verified_at {
        object["email_verified_at"] = at.to_string().into();
    }
    if let Some(name) = user.attributes.name() {
        object["display_name"] = name.as_str().into();
    }
    object
}

const fn state(user: &User) -> &'static str {
    match (user.disabled, user.waits_for_approval) {
        (false, _) => "enabled",
        (true, true) => "waiting for approval",
        (true, false) => "disabled",
    }
}
