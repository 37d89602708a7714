//! `user`: add, list, passwd, disable, enable, roles, delete.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{AdminContext, confirmed, table};
use crate::id::UserId;
use crate::identity::{Login, Role, Roles};
use crate::password::{Hasher, Password};
use crate::secret::Secret;
use crate::vault::{Ended, NewUser, User, UserChange, UserKey};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user; prompts for the password twice.
    Add {
        /// Login name: a-z 0-9 . _ @ + -; capital letters are converted to lower case.
        name: Login,
        /// Role of the user; may be given several times.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<Role>,
        #[command(flatten)]
        source: PasswordSource,
    },
    /// List users.
    List {
        #[command(flatten)]
        format: table::Format,
    },
    /// Set a new password; ends every session of the user.
    Passwd {
        /// Login name.
        name: Login,
        #[command(flatten)]
        source: PasswordSource,
    },
    /// Disable a user; ends every session and rejects further logins.
    Disable {
        /// Login name.
        name: Login,
    },
    /// Enable a disabled user.
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
pub(super) struct PasswordSource {
    /// Read the password from the first line of standard input instead of prompting.
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of this file, such as a mounted secret.
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
}

pub(super) async fn run(
    context: &AdminContext,
    command: &Command,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        Command::Add { name, roles, source } => {
            if context.vault.users.find(&UserKey::Login(name.clone())).await?.is_some() {
                anyhow::bail!(
                    "the user `{name}` exists already: use `doorward user passwd {name}` or `doorward user roles \
                     {name}`"
                );
            }
            let hash = hashed(context, name, source).await?;
            let id = UserId::random(context.surroundings.random.as_ref());
            let new = NewUser::new(id, name.clone(), hash, Roles::new(roles.iter().cloned()));
            context.vault.users.create(&new).await?;
            writeln!(out, "added `{name}`")?;
        }
        Command::List { format } => list(context, *format, out).await?,
        Command::Passwd { name, source } => {
            let user = find(context, name).await?;
            let new = hashed(context, name, source).await?;
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

async fn list(context: &AdminContext, format: table::Format, out: &mut dyn Write) -> anyhow::Result<()> {
    const PAGE: u32 = 500;
    let mut after: Option<Login> = None;
    let mut array = table::JsonArray::default();
    loop {
        let users = context.vault.users.list(after.as_ref(), PAGE).await?;
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
        match users.last() {
            Some(last) if users.len() == PAGE as usize => after = Some(last.login.clone()),
            _ => break,
        }
    }
    if format.json {
        array.end(out)?;
    }
    Ok(())
}

fn object(user: &User) -> serde_json::Value {
    json!({
        "name": user.login.to_string(),
        "state": state(user),
        "roles": user.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "id": user.id.to_string(),
        "added_at": user.created_at.to_string(),
    })
}

const fn state(user: &User) -> &'static str {
    if user.disabled { "disabled" } else { "enabled" }
}

async fn hashed(
    context: &AdminContext,
    name: &Login,
    source: &PasswordSource,
) -> anyhow::Result<Secret<String>> {
    let min_length = context.config.login.min_password_length;
    let password = Password::new(read_password(source, min_length)?.expose())?;
    password.acceptable(name, &context.config.brand.name, min_length)?;
    let hasher = Hasher::start(1, 1, Arc::clone(&context.surroundings.random))?;
    Ok(hasher.hash(password).await?)
}

/// Reads a password. A prompt states the minimum length in characters.
fn read_password(source: &PasswordSource, min_length: usize) -> anyhow::Result<Secret<String>> {
    if let Some(file) = &source.password_file {
        let refused = || {
            format!(
                "cannot read the password from `{}`: name a file of text that this user can read",
                file.display()
            )
        };
        let opened = File::open(file).with_context(refused)?;
        return first_line(BufReader::new(opened)).with_context(refused);
    }
    if source.password_stdin {
        return first_line(std::io::stdin().lock()).context("cannot read the password from standard input");
    }
    let prompt = |text: &str| rpassword::prompt_password(text).map(Secret::new);
    let first = prompt(&format!("Password (at min_length {min_length} characters): "))
        .context("cannot prompt for the password here: use --password-stdin or --password-file")?;
    anyhow::ensure!(
        first == prompt("Repeat the password: ")?,
        "the two passwords differ: nothing was changed"
    );
    Ok(first)
}

/// Reads the first line, without its line end.
fn first_line(mut from: impl BufRead) -> std::io::Result<Secret<String>> {
    let mut line = String::new();
    let read = from.read_line(&mut line);
    let line = Secret::new(line);
    read?;
    Ok(Secret::new(line.expose().trim_end_matches(['\r', '\n']).to_owned()))
}

fn report(out: &mut dyn Write, what: &str, ended: &Ended) -> anyhow::Result<()> {
    writeln!(out, "{what}; sessions ended: {}", ended.alive)?;
    Ok(())
}
