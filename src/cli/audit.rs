//! `vault audit`: events, and the check of the chain that links them.

use std::io::Write;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{AdminContext, table};
use crate::clock::Timestamp;
use crate::id::UserId;
use crate::server;
use crate::vault::{AuditEvent, AuditQuery, ChainKey, ChainPoint, UserKey, Verified, verify};

/// Events read at a time.
const PAGE: u32 = 1000;

/// Time after which a row that is not linked is worth a warning: gateways link within a second or two.
const LINKED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Maximum number of events.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Show all events, not only the newest.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Only events of this user: a name, or the id of a user who was deleted.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only events since then: a time such as 2026-12-01T08:00:00Z, or a span such as 24h. With --verify: the head that was
    /// kept.
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// Check that no row was altered, inserted, moved or removed. With a head that was kept elsewhere (--since), that none was
    /// cut off at the end either.
    #[arg(long, conflicts_with_all = ["limit", "all", "user", "json"])]
    verify: bool,
    /// Print the head of the chain, to keep it elsewhere.
    #[arg(long, conflicts_with_all = ["verify", "limit", "all", "user", "since", "json"])]
    head: bool,
    #[command(flatten)]
    format: table::Format,
}

/// Start of a list, or a head that was kept.
#[derive(Clone, Copy, Debug)]
enum Since {
    Time(SystemTime),
    Span(Duration),
    Head(ChainPoint),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(point) = text.parse() {
            return Ok(Self::Head(point));
        }
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::Span(span));
        }
        humantime::parse_rfc3339_weak(text).map(Self::Time).map_err(|_| {
            "write a time such as 2026-12-01T08:00:00Z, a span such as 24h, or what `vault audit --head` printed".to_owned()
        })
    }
}

pub(super) async fn run(
    context: &AdminContext,
    options: &Options,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if options.verify || options.head {
        let kept = match options.since {
            None => None,
            Some(Since::Head(point)) => Some(point),
            Some(_) => {
                anyhow::bail!("--verify --since takes a head, as `doorward vault audit --head` printed it")
            }
        };
        let random = context.surroundings.random.as_ref();
        let master = server::master_secret(&context.config, &context.vault, random).await?;
        let key = ChainKey::new(&master.derive(ChainKey::DERIVATION));
        return if options.head {
            print_head(context, &key, out).await
        } else {
            check(context, &key, kept, out).await
        };
    }
    let now = context.surroundings.clock.wall();
    let since = match options.since {
        None => None,
        Some(Since::Span(span)) => Some(now - span),
        Some(Since::Time(time)) => {
            let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Some(Timestamp::EPOCH + since_epoch)
        }
        Some(Since::Head(_)) => anyhow::bail!("--since with a head needs --verify"),
    };
    let user = match &options.user {
        None => None,
        Some(name) => Some(user_id(context, name).await?),
    };
    let limit = if options.all { u64::MAX } else { u64::from(options.limit) };
    list(context, AuditQuery { before: None, since, user, limit: PAGE }, limit, options.format, out).await
}

/// Returns the id of a user with this name; a deleted user is named by the id.
async fn user_id(context: &AdminContext, name: &str) -> anyhow::Result<UserId> {
    if let Ok(login) = name.parse()
        && let Some(user) = context.vault.users.find(&UserKey::Login(login)).await?
    {
        return Ok(user.id);
    }
    name.parse()
        .ok()
        .with_context(|| format!("there is no user `{name}`: give a name, or an id of a deleted user"))
}

async fn list(
    context: &AdminContext,
    mut query: AuditQuery,
    mut left: u64,
    format: table::Format,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut array = table::JsonArray::default();
    while left > 0 {
        query.limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let events = context.vault.trail.page(&query).await?;
        if format.json {
            for event in &events {
                array.push(&object(event), out)?;
            }
        } else {
            let rows: Vec<Vec<String>> = events.iter().map(row).collect();
            table::print(HEADINGS, &rows, out)?;
        }
        query.before = events.last().map(|event| event.seq);
        left -= events.len() as u64;
        if events.len() < query.limit as usize {
            break;
        }
    }
    if format.json {
        array.end(out)?;
    }
    Ok(())
}

const HEADINGS: &[&str] =
    &["WHEN", "EVENT", "USER", "SESSION", "ADDRESS", "OUTCOME", "ACTOR", "CAUSE", "TIMES", "REQUEST"];

fn row(event: &AuditEvent) -> Vec<String> {
    let or_dash = |text: Option<&String>| text.map_or_else(|| "-".to_owned(), |text| printable(text));
    let user = match (&event.user, &event.name) {
        (Some(id), _) => id.to_string(),
        (None, Some(name)) => format!("#{}", printable(name)),
        (None, None) => "-".to_owned(),
    };
    vec![
        event.at.to_string(),
        printable(&event.event),
        user,
        event.session.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        or_dash(event.address.as_ref()),
        printable(&event.outcome),
        or_dash(event.actor.as_ref()),
        or_dash(event.cause.as_ref()),
        event.times.to_string(),
        or_dash(event.request_id.as_ref()),
    ]
}

fn object(event: &AuditEvent) -> serde_json::Value {
    json!({
        "at": event.at.to_string(),
        "event": event.event,
        "outcome": event.outcome,
        "actor": event.actor,
        "user_id": event.user.map(|id| id.to_string()),
        "name_digest": event.name,
        "session": event.session.map(|id| id.to_string()),
        "address": event.address,
        "cause": event.cause,
        "request_id": event.request_id,
        "times": event.times,
        "position": event.position,
    })
}

/// Replaces control characters, which could move a terminal's cursor: somebody may have altered the vault.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

async fn print_head(context: &AdminContext, key: &ChainKey, out: &mut dyn Write) -> anyhow::Result<()> {
    let chain = context.vault.trail.chain().await?;
    key.check_ends(&chain)?;
    anyhow::ensure!(
        chain.head.point.position > 0,
        "no event is linked yet: a running gateway links them within seconds"
    );
    writeln!(out, "{}", chain.head.point)?;
    Ok(())
}

async fn check(
    context: &AdminContext,
    key: &ChainKey,
    kept: Option<ChainPoint>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Verified { head, rows, expired, chain } = verify(context.vault.trail.as_ref(), key, kept).await?;
    if rows == 0 {
        writeln!(out, "the audit trail is whole: no rows are linked")?;
    } else {
        writeln!(
            out,
            "the audit trail is whole: {rows} rows, {} to {}",
            head.position - rows + 1,
            head.position
        )?;
    }
    if expired > 0 {
        writeln!(out, "rows before {} were deleted by retention", expired + 1)?;
    }
    if chain.not_linked > 0 {
        writeln!(out, "{} rows are not linked yet, and not checked", chain.not_linked)?;
    }
    if let Some(oldest) = chain.oldest_not_linked.filter(|at| chain.now.since(*at) > LINKED_WITHIN) {
        writeln!(
            out,
            "warning: the oldest of them is from {oldest}; a running gateway links them within seconds"
        )?;
    }
    if head.position > 0 {
        writeln!(out, "head {head}")?;
    }
    Ok(())
}
