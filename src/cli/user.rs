//! `user`: add, invite, list, show, set, passwd, reset, disable, enable, roles, link, unlink, factors, unlock, delete, import,
//! export.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{AdminContext, confirmed, table};
use crate::id::UserId;
use crate::identity::{Attributes, DisplayName, Email, Login, Role, Roles};
use crate::password::Person;
use crate::vault::{AttributesChange, Edit, Ended, NewUser, User, UserChange, UserKey, VaultError};

mod export;
mod factors;
mod import;
mod invite;
mod link;
mod password;
mod show;
mod unlock;

use password::PasswordSource;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user; prompts for the password twice.
    Add {
        /// Login name: a-z 0-9 . _ @ + -; capital letters are converted to lower case.
        name: Login,
        /// Role of the user; may be given several times.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<Role>,
        /// E-mail address; no other user may have it.
        #[arg(long, value_name = "ADDRESS")]
        email: Option<Email>,
        /// The address is known to belong to the user.
        #[arg(long, requires = "email")]
        email_verified: bool,
        /// Name for display, such as "Ada Lovelace".
        #[arg(long = "name", value_name = "DISPLAY_NAME")]
        display_name: Option<DisplayName>,
        #[command(flatten)]
        source: PasswordSource,
    },
    /// Add a user without a password, and send a link with which the user sets one; without [mail] the link is printed.
    Invite(invite::InviteOptions),
    /// List users in the order of their login names.
    List {
        #[command(flatten)]
        range: table::Range<Login>,
        #[command(flatten)]
        format: table::Format,
    },
    /// Show all that is known about a user, except the password.
    Show {
        /// Login name.
        name: Login,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Set or remove a user's e-mail address and name; access tokens with the old ones are rejected until they are
    /// refreshed.
    Set {
        /// Login name.
        name: Login,
        #[command(flatten)]
        attributes: AttributeOptions,
    },
    /// Set a new password; ends every session of the user.
    Passwd {
        /// Login name.
        name: Login,
        #[command(flatten)]
        source: PasswordSource,
    },
    /// Print a link with which a user sets a new password; for somebody who has forgotten it.
    Reset(invite::ResetOptions),
    /// Disable a user; ends every session and rejects further logins.
    Disable {
        /// Login name.
        name: Login,
    },
    /// Enable a disabled user, or approve one that waits for approval.
    #[command(visible_alias = "approve")]
    Enable {
        /// Login name.
        name: Login,
    },
    /// Replace a user's roles; access tokens with the old ones are rejected until they are refreshed.
    Roles {
        /// Login name.
        name: Login,
        /// New roles; without any, all are removed.
        roles: Vec<Role>,
    },
    /// Let an account at an identity provider sign in as this user.
    Link {
        /// Login name.
        name: Login,
        #[command(flatten)]
        account: link::AccountOptions,
    },
    /// Remove an account at an identity provider from a user, with its roles; ends every session that it opened.
    Unlink {
        /// Login name.
        name: Login,
        #[command(flatten)]
        account: link::AccountOptions,
    },
    /// Show a user's second factors, or remove them all, for somebody who has lost them.
    Factors {
        /// Login name.
        name: Login,
        /// Remove every second factor and recovery code; ends every session of the user.
        #[arg(long, conflicts_with = "json")]
        remove: bool,
        /// Do not ask for confirmation.
        #[arg(long, requires = "remove")]
        yes: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Forget the failed sign-ins and wrong codes of a user, who then need not wait for the next attempt.
    Unlock {
        /// Login name.
        name: Login,
    },
    /// Create users from a file: CSV, htpasswd, Authelia or Keycloak. Users who exist are left alone, so it can be repeated.
    Import(import::Options),
    /// Write all users to a CSV file, with the hashes of their passwords.
    Export(export::Options),
    /// Delete a user and end every session.
    Delete {
        /// Login name.
        name: Login,
        /// Do not ask for confirmation.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct AttributeOptions {
    /// New e-mail address, not verified unless --email-verified is given; no other user may have it.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<Email>,
    /// Remove the e-mail address.
    #[arg(long, conflicts_with_all = ["email", "email_verified"])]
    no_email: bool,
    /// The address, the new one or else the present one, is known to belong to the user.
    #[arg(long)]
    email_verified: bool,
    /// New name for display, such as "Ada Lovelace".
    #[arg(long = "name", value_name = "DISPLAY_NAME")]
    display_name: Option<DisplayName>,
    /// Remove the name for display.
    #[arg(long = "no-name", conflicts_with = "display_name")]
    no_display_name: bool,
}

impl AttributeOptions {
    /// Returns the change of the vault.
    fn change(&self) -> AttributesChange {
        fn edit<T: Clone>(new: Option<&T>, clear: bool) -> Edit<T> {
            match new {
                Some(new) => Edit::Set(new.clone()),
                None if clear => Edit::Clear,
                None => Edit::Keep,
            }
        }
        AttributesChange {
            email: edit(self.email.as_ref(), self.no_email),
            email_verified: self.email_verified.then_some(true),
            name: edit(self.display_name.as_ref(), self.no_display_name),
        }
    }
}

pub(super) async fn run(
    context: &AdminContext,
    command: &Command,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        Command::Add { name, roles, email, email_verified, display_name, source } => {
            if context.vault.users.find(&UserKey::Login(name.clone())).await?.is_some() {
                anyhow::bail!(
                    "the user `{name}` exists already: use `doorward user passwd {name}`, `doorward user roles {name}` or \
                     `doorward user set {name}`"
                );
            }
            let attributes = Attributes::new(email.clone(), *email_verified, display_name.clone());
            let login = &context.config.login;
            let person = Person::with(name, &attributes);
            let hash = password::hashed(context, person, login.min_password_length, source).await?;
            let id = UserId::random(context.surroundings.random.as_ref());
            let new = NewUser::new(id, name.clone(), hash, Roles::new(roles.iter().cloned()));
            let created = context.vault.users.create(&NewUser { attributes, ..new }).await;
            created.map_err(|error| taken(error, email.as_ref()))?;
            writeln!(out, "added `{name}`")?;
        }
        Command::Invite(options) => invite::invite(context, options, out).await?,
        Command::Reset(options) => invite::reset(context, options, out).await?,
        Command::List { range, format } => show::list(context, range, *format, out).await?,
        Command::Show { name, json } => show::show(context, &find(context, name).await?, *json, out).await?,
        Command::Set { name, attributes } => set(context, name, attributes, out).await?,
        Command::Passwd { name, source } => {
            let user = find(context, name).await?;
            let person = Person::with(&user.login, &user.attributes);
            let is_enrolled = context.vault.factors.of_user(user.id).await?.is_enrolled();
            let login = &context.config.login;
            let min_length =
                login.factor.min_password_length(login.min_password_length, &user.roles, is_enrolled);
            let new = password::hashed(context, person, min_length, source).await?;
            let ended = context
                .vault
                .users
                .change(user.id, &UserChange::Password { new, expected: None, keep: None })
                .await?;
            report(out, &format!("changed the password of `{name}`"), &ended)?;
        }
        Command::Disable { name } => {
            let user = find(context, name).await?;
            let ended = context.vault.users.change(user.id, &UserChange::Disabled(true)).await?;
            report(out, &format!("disabled `{name}`"), &ended)?;
        }
        Command::Enable { name } => {
            let user = find(context, name).await?;
            context.vault.users.change(user.id, &UserChange::Disabled(false)).await?;
            writeln!(out, "enabled `{name}`")?;
        }
        Command::Roles { name, roles } => {
            let user = find(context, name).await?;
            let roles = Roles::new(roles.iter().cloned());
            context.vault.users.change(user.id, &UserChange::Roles(roles.clone())).await?;
            let shown = if roles.is_empty() { "none".to_owned() } else { roles.to_string() };
            writeln!(out, "roles of `{name}`: {shown}")?;
        }
        Command::Link { name, account } => link::link(context, name, account, out).await?,
        Command::Unlink { name, account } => link::unlink(context, name, account, out).await?,
        Command::Factors { name, remove: true, yes, .. } => factors::remove(context, name, *yes, out).await?,
        Command::Factors { name, json, .. } => factors::show(context, name, *json, out).await?,
        Command::Unlock { name } => unlock::unlock(context, name, out).await?,
        Command::Import(options) => import::import(context, options, out).await?,
        Command::Export(options) => export::export(context, options, out).await?,
        Command::Delete { name, yes } => {
            let user = find(context, name).await?;
            confirmed(*yes, &format!("This deletes `{name}` and ends every session."), out)?;
            let ended = context.vault.users.change(user.id, &UserChange::Deleted).await?;
            report(out, &format!("deleted `{name}`"), &ended)?;
        }
    }
    Ok(())
}

/// Returns the user with this name.
pub(super) async fn find(context: &AdminContext, name: &Login) -> anyhow::Result<User> {
    let found = context.vault.users.find(&UserKey::Login(name.clone())).await?;
    found.with_context(|| format!("there is no user `{name}`: `doorward user list` shows them"))
}

async fn set(
    context: &AdminContext,
    name: &Login,
    options: &AttributeOptions,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let user = find(context, name).await?;
    if options.email_verified && options.email.is_none() && user.attributes.email().is_none() {
        anyhow::bail!("`{name}` has no e-mail address that could be verified: give one with --email");
    }
    let change = UserChange::Attributes(options.change());
    let changed = context.vault.users.change(user.id, &change).await;
    let changed = changed.map_err(|error| taken(error, options.email.as_ref()))?;
    // A change of attributes has a row in the log.
    let is_changed = !changed.entries.is_empty();
    writeln!(out, "{} `{name}`", if is_changed { "changed" } else { "nothing to change for" })?;
    Ok(())
}

/// Names the e-mail address that another user has.
fn taken(error: VaultError, email: Option<&Email>) -> anyhow::Error {
    match (error, email) {
        (VaultError::EmailTaken, Some(email)) => anyhow::anyhow!(
            "another user has the e-mail address `{}`: `doorward user list --json` shows the addresses",
            email.as_str()
        ),
        (error, _) => error.into(),
    }
}

fn report(out: &mut dyn Write, what: &str, ended: &Ended) -> anyhow::Result<()> {
    writeln!(out, "{what}; sessions ended: {}", ended.alive)?;
    Ok(())
}
