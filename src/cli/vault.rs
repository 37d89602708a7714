//! `vault` and `key`: manual housekeeping.

use std::cmp::Reverse;
use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{AdminContext, audit, confirmed, table};
use crate::auth::keys::{self, Predecessors, Rotated};
use crate::metrics::Label;
use crate::password::{HashGroup, Peppers};
use crate::server;
use crate::vault::{EndReason, Scope};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Migrate the stored schema (starting the gateway does this too).
    Migrate,
    /// Write a consistent copy of the vault to a new file; the gateway may be running. Back up the master key too.
    Backup {
        /// File to create; it must not exist.
        file: PathBuf,
    },
    /// After restoring a backup: end every session, since sessions revoked after the backup would become valid again.
    Restored {
        /// Do not ask for confirmation before signing out all users.
        #[arg(long)]
        yes: bool,
    },
    /// Count users by the hash of their password: its algorithm, its pepper, and whether the next sign-in replaces it.
    Passwords {
        #[command(flatten)]
        format: table::Format,
    },
    /// Show audit events, newest first; check that nobody has altered them.
    Audit(audit::Options),
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Add new signing keys. They sign after ten minutes; tokens signed with the old keys stay valid until they expire.
    Rotate,
}

pub(super) async fn run(
    context: &AdminContext,
    command: &Command,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        // Opening the vault has migrated it.
        Command::Migrate => {
            writeln!(out, "the vault has schema version {}", context.vault.audit.schema().await?)?;
        }
        Command::Backup { file } => {
            context.vault.audit.backup(file).await?;
            writeln!(
                out,
                "wrote {}; without the master key its signing keys cannot be decrypted",
                file.display()
            )?;
        }
        Command::Restored { yes } => {
            confirmed(*yes, "This signs out all users; it is needed only after a restore.", out)?;
            // Sessions from after the backup are not in the vault, and Redis may have them: their tokens end with their
            // keys. First, since it proves the master key.
            replace_keys(context, Predecessors::EndNow).await?;
            let ended = context.vault.sessions.revoke(Scope::Everyone, EndReason::Admin).await?;
            writeln!(out, "sessions ended: {}; all users must sign in again", ended.alive)?;
        }
        Command::Passwords { format } => passwords(context, *format, out).await?,
        Command::Audit(options) => audit::run(context, options, out).await?,
    }
    Ok(())
}

async fn passwords(context: &AdminContext, format: table::Format, out: &mut dyn Write) -> anyhow::Result<()> {
    let peppers = Peppers::new(&context.config.login.peppers);
    // Hashes of one group differ in parameters that decide nothing here.
    let mut groups: Vec<(HashGroup, u64)> = Vec::new();
    for count in context.vault.users.count_passwords().await? {
        let group = HashGroup::of(&count.parameters, &peppers);
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, users)) => *users += count.users,
            None => groups.push((group, count.users)),
        }
    }
    groups.sort_by_key(|(_, users)| Reverse(*users));
    if format.json {
        let mut array = table::JsonArray::default();
        for (group, users) in &groups {
            let object = json!({
                "hash": group.kind.map(Label::as_str),
                "pepper": group.pepper.as_ref().map(ToString::to_string),
                "state": group.state.as_str(),
                "users": users,
            });
            array.push(&object, out)?;
        }
        array.end(out)?;
        return Ok(());
    }
    let row = |(group, users): &(HashGroup, u64)| {
        let kind = group.kind.map_or("-", Label::as_str).to_owned();
        let pepper = group.pepper.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![kind, pepper, group.state.as_str().to_owned(), users.to_string()]
    };
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    table::print(&["HASH", "PEPPER", "STATE", "USERS"], &rows, out)
}

pub(super) async fn run_key(
    context: &AdminContext,
    command: &KeyCommand,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let KeyCommand::Rotate = command;
    let rotated = replace_keys(context, Predecessors::Overlap).await?;
    writeln!(out, "key {} is published now and signs from {}", rotated.access_kid, rotated.signs_from)?;
    Ok(())
}

async fn replace_keys(context: &AdminContext, predecessors: Predecessors) -> anyhow::Result<Rotated> {
    let (random, algorithm) = (context.surroundings.random.as_ref(), context.config.tokens.algorithm);
    let master = server::master_secret(&context.config, &context.vault, random).await?;
    // A vault that has never served has no key to replace. It gets its first one.
    keys::establish(&context.vault, &master, algorithm, random).await?;
    Ok(keys::rotate(&context.vault, &master, algorithm, predecessors, random).await?)
}
