//! `vault` and `key`: housekeeping by hand.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Desk, confirmed, table};
use crate::auth::keys;
use crate::server;
use crate::vault::{EndReason, Scope};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the stored schema up to date (starting the gateway does this too).
    Migrate,
    /// Write a consistent copy of everything to a new file; the gateway may be running. Keep the master key too.
    Backup {
        /// The file to make; it must not exist.
        file: PathBuf,
    },
    /// After restoring a backup: end every session once, since what was revoked after the backup would live again.
    Restored {
        /// Do not ask before everybody is signed out.
        #[arg(long)]
        yes: bool,
    },
    /// Show what was done lately, newest first.
    Audit {
        /// How many events.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        format: table::Format,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Add new signing keys; they sign in ten minutes, and tokens under the old ones stay good to their end.
    Rotate,
}

pub(super) async fn run(desk: &Desk, command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        // Opening it has done the work.
        Command::Migrate => {
            writeln!(out, "the vault has schema version {}", desk.vault.audit.schema().await?)?;
        }
        Command::Backup { file } => {
            desk.vault.audit.backup(file).await?;
            writeln!(
                out,
                "wrote {}; without the master key its signing keys cannot be opened",
                file.display()
            )?;
        }
        Command::Restored { yes } => {
            confirmed(
                *yes,
                "This signs everybody out, as it must be after a restore and at no other time.",
                out,
            )?;
            let ended = desk.vault.sessions.revoke(Scope::Everyone, EndReason::Admin).await?;
            writeln!(out, "sessions ended: {}; everybody signs in again", ended.alive)?;
        }
        Command::Audit { limit, format } => {
            let events = desk.vault.audit.recent(*limit).await?;
            if format.json {
                let mut array = table::JsonArray::default();
                for event in &events {
                    let object = json!({
                        "at": event.at.to_string(),
                        "event": event.event,
                        "user_id": event.user.map(|id| id.to_string()),
                        "session": event.session.map(|id| id.to_string()),
                        "address": event.address.map(|ip| ip.to_string()),
                    });
                    array.push(&object, out)?;
                }
                array.end(out)?;
                return Ok(());
            }
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let rows: Vec<Vec<String>> = events
                .into_iter()
                .map(|event| {
                    let user = or_dash(event.user.map(|id| id.to_string()));
                    let session = or_dash(event.session.map(|id| id.to_string()));
                    let address = or_dash(event.address.map(|ip| ip.to_string()));
                    vec![event.at.to_string(), event.event, user, session, address]
                })
                .collect();
            table::print(&["WHEN", "EVENT", "USER", "SESSION", "ADDRESS"], &rows, out)?;
        }
    }
    Ok(())
}

pub(super) async fn run_key(desk: &Desk, command: &KeyCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let KeyCommand::Rotate = command;
    let random = desk.surroundings.random.as_ref();
    let master = server::master_secret(&desk.config, &desk.vault, random).await?;
    // A vault that has never served has no key to rotate away from: it gets its first one.
    keys::establish(&desk.vault, &master, desk.config.tokens.algorithm, random).await?;
    let rotated = keys::rotate(&desk.vault, &master, desk.config.tokens.algorithm, random).await?;
    writeln!(out, "key {} is published now and signs from {}", rotated.access_kid, rotated.signs_from)?;
    Ok(())
}
