//! `--update`: the attributes of users who exist, from the file.

use super::check::Candidate;
use crate::cli::AdminContext;
use crate::vault::{AttributesChange, Edit, ImportMode, UserChange, UserKey, VaultError};

/// Result of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Updated {
    Unchanged,
    Changed,
    /// Another user has the address.
    EmailTaken,
}

/// Changes what the file says otherwise; what it leaves out stays, and so does the password.
pub(super) async fn update(
    context: &AdminContext,
    candidate: &Candidate,
    mode: ImportMode,
) -> anyhow::Result<Updated> {
    let users = &context.vault.users;
    let new = &candidate.new;
    let Some(user) = users.find(&UserKey::Login(new.login.clone())).await? else {
        // Deleted meanwhile.
        return Ok(Updated::Unchanged);
    };
    let (stored, wanted) = (&user.attributes, &new.attributes);
    let email = wanted.email().filter(|email| stored.email() != Some(*email));
    let name = wanted.name().filter(|name| stored.name() != Some(*name));
    let verifies = wanted.email_verified() && (email.is_some() || !stored.email_verified());
    let mut changes = Vec::new();
    if email.is_some() || name.is_some() || verifies {
        let edit = |email: Option<_>| email.map_or(Edit::Keep, Edit::Set);
        changes.push(UserChange::Attributes(AttributesChange {
            email: edit(email.cloned()),
            email_verified: verifies.then_some(true),
            name: name.cloned().map_or(Edit::Keep, Edit::Set),
        }));
    }
    if candidate.has_roles && user.roles != new.roles {
        changes.push(UserChange::Roles(new.roles.clone()));
    }
    if candidate.has_disabled && user.disabled != new.disabled {
        changes.push(UserChange::Disabled(new.disabled));
    }
    if changes.is_empty() {
        return Ok(Updated::Unchanged);
    }
    if mode == ImportMode::Trial {
        let is_taken = match email {
            Some(email) => users.find(&UserKey::Email(email.clone())).await?.is_some(),
            None => false,
        };
        return Ok(if is_taken { Updated::EmailTaken } else { Updated::Changed });
    }
    for change in &changes {
        match users.change(user.id, change).await {
            Ok(_) => {}
            Err(VaultError::EmailTaken) => return Ok(Updated::EmailTaken),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Updated::Changed)
}
