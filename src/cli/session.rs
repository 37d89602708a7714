//! `session`: list, revoke.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{AdminContext, confirmed, table, user};
use crate::id::SessionId;
use crate::identity::Login;
use crate::vault::{EndReason, Scope, SessionPage, SessionRow};

/// Sessions read at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List live sessions, newest first.
    List {
        /// List only the sessions of this user.
        #[arg(long, value_name = "NAME")]
        user: Option<Login>,
        #[command(flatten)]
        range: table::Range<SessionId>,
        #[command(flatten)]
        format: table::Format,
    },
    /// End sessions; running gateways that reach the vault reject them within milliseconds (SQLite: 50 ms; `vault.prepared = false`: 100 ms).
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Do not ask for confirmation before signing out all users.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// Session id, as shown by `session list` and the login response.
    #[arg(value_name = "SESSION", allow_hyphen_values = true)]
    session: Option<SessionId>,
    /// End every session of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<Login>,
    /// End every session of all users, for example after restoring a backup.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(
    context: &AdminContext,
    command: &Command,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        Command::List { user, range, format } => list(context, user.as_ref(), range, *format, out).await?,
        Command::Revoke { which, yes } => {
            let scope = match which {
                Which { session: Some(id), .. } => Scope::Session(*id, None),
                Which { user: Some(name), .. } => Scope::User(user::find(context, name).await?.id),
                Which { .. } => {
                    confirmed(*yes, "This signs out all users.", out)?;
                    Scope::Everyone
                }
            };
            let ended = context.vault.sessions.revoke(scope, EndReason::Admin).await?;
            if let (Some(id), true) = (which.session, ended.sessions.is_empty()) {
                anyhow::bail!("there is no session {id}: `doorward session list` shows the live ones");
            }
            writeln!(out, "sessions ended: {}", ended.alive)?;
        }
    }
    Ok(())
}

/// Lists live sessions of a user, or of all users.
async fn list(
    context: &AdminContext,
    name: Option<&Login>,
    range: &table::Range<SessionId>,
    format: table::Format,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let owner = match name {
        Some(name) => Some(user::find(context, name).await?.id),
        None => None,
    };
    if let Some(after) = range.after
        && context.vault.sessions.find(after).await?.is_none()
    {
        anyhow::bail!("there is no session {after}: start the list again without --after");
    }
    let mut pages = range.pages(PAGE);
    let mut array = table::JsonArray::default();
    while let Some((after, limit)) = pages.next() {
        let after = after.copied();
        let rows =
            context.vault.sessions.list(owner, SessionPage { after, ..SessionPage::first(limit) }).await?;
        if format.json {
            for row in &rows {
                array.push(&object(row), out)?;
            }
        } else {
            if rows.is_empty() && after.is_none() {
                writeln!(out, "there are no live sessions")?;
            }
            let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
            table::print(&["SESSION", "USER", "SIGNED IN", "RENEWED", "ADDRESS", "CLIENT"], &lines, out)?;
        }
        pages.read(rows.len(), rows.last().map(|row| row.grant.session_id));
    }
    if format.json {
        array.end(out)?;
    }
    Ok(())
}

fn line(row: &SessionRow) -> Vec<String> {
    let address = row.grant.address.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    let agent = row.grant.user_agent.as_deref().map_or_else(|| "-".to_owned(), printable);
    let (session, user) = (row.grant.session_id.to_string(), row.grant.login.to_string());
    vec![session, user, row.created_at.to_string(), row.renewed_at.to_string(), address, agent]
}

fn object(row: &SessionRow) -> serde_json::Value {
    json!({
        "session": row.grant.session_id.to_string(),
        "user": row.grant.login.to_string(),
        "user_id": row.grant.user_id.to_string(),
        "signed_in_at": row.created_at.to_string(),
        "renewed_at": row.renewed_at.to_string(),
        "address": row.grant.address.map(|address| address.to_string()),
        "client": row.grant.user_agent,
    })
}

/// Replaces control characters in a client's `User-Agent`, since they could move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
