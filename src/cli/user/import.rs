//! `user import`: creates users from the files of other programs.
//!
//! ```text
//! first pass   read, check, compare with the vault; nothing is written
//! second pass  read and check again, create in batches                   unless users are refused, or --dry-run
//! ```
//!
//! A thread reads and checks; the batches wait in a short queue. So memory does not grow with the file, except for a fingerprint of
//! each name and address.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use crate::cli::AdminContext;
use crate::identity::Role;
use crate::password::Peppers;
use crate::vault::{ImportMode, Imported, NewUser, VaultError};

mod authelia;
mod check;
mod csv_file;
mod entry;
mod htpasswd;
mod keycloak;
mod progress;
mod report;
mod source;
mod update;

use check::{Candidate, Checker, RoleMap};
pub(super) use csv_file::COLUMNS;
use entry::{Item, Place};
use progress::Progress;
use report::Report;
use source::Source;

/// Users in one transaction: enough that the commits cost little, and so few that a sign-in does not wait behind one.
const BATCH: usize = 500;
/// Tries of a batch, each of which waits for `vault.statement_timeout`.
const TRIES: u32 = 5;
/// Batches that are checked before they are needed.
const AHEAD: usize = 2;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// File to import.
    file: PathBuf,
    /// Format of the file.
    #[arg(long)]
    from: Format,
    /// Check everything, write nothing, and report what would happen.
    #[arg(long)]
    dry_run: bool,
    /// Import the others when users are refused. By default one refused user keeps everything from being written.
    #[arg(long)]
    skip_refused: bool,
    /// Take e-mail address, name, roles and disabled of users who exist from the file. Their passwords are left alone.
    #[arg(long)]
    update: bool,
    /// Role of every imported user; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
    /// Role of the members of a group or role of the other program, such as /staff=user; may be given several times.
    #[arg(long = "map", value_name = "GROUP=ROLE", value_parser = check::mapping)]
    mappings: Vec<(String, Role)>,
    /// Roles with the names of the groups and roles of the other program, where these are names of roles.
    #[arg(long)]
    groups_as_roles: bool,
    /// E-mail addresses that the file calls verified are verified.
    #[arg(long)]
    trust_verified: bool,
    /// Print one JSON array: an object for each refused or skipped user, and a summary.
    #[arg(long)]
    json: bool,
}

/// Format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values with a header line: login, password_hash, email, email_verified, name, roles, disabled.
    Csv,
    /// Apache's htpasswd: name:hash.
    Htpasswd,
    /// Authelia's users_database.yml.
    Authelia,
    /// A realm export of Keycloak with users.
    Keycloak,
}

/// A batch, or the end of the file.
enum Message {
    Batch(Vec<Checked>),
    /// The file as a whole is unusable.
    Failed(anyhow::Error),
}

/// A user after the check.
enum Checked {
    User(Box<Candidate>),
    Refused { place: Place, login: String, why: String },
    Skipped { place: Place, login: String, why: &'static str },
}

pub(super) async fn import(
    context: &AdminContext,
    options: &Options,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let trial = pass(context, options, ImportMode::Trial, options.dry_run, out).await?;
    let refused = trial.refused();
    let is_refused = refused > 0 && !options.skip_refused;
    if options.dry_run {
        trial.end(options.json, true, out)?;
    } else if is_refused {
        // Once more, to print what the first pass could not know to be the whole result.
        pass(context, options, ImportMode::Trial, true, out).await?.end(options.json, true, out)?;
    }
    anyhow::ensure!(
        !is_refused,
        "refused users: {refused}; nothing was written: correct them in the file, or import the others with --skip-refused"
    );
    if options.dry_run {
        return Ok(());
    }
    let done = pass(context, options, ImportMode::Create, true, out).await?;
    let refused = done.refused();
    done.end(options.json, false, out)?;
    anyhow::ensure!(
        refused == 0 || options.skip_refused,
        "refused users: {refused}; others have changed the vault since the check: import again"
    );
    Ok(())
}

/// Reads the file once.
async fn pass(
    context: &AdminContext,
    options: &Options,
    mode: ImportMode,
    is_told: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Report> {
    let (source, size) = Source::open(&options.file)?;
    let done = Arc::new(AtomicU64::new(0));
    let mut batches = start_reading(context, options, source, &done)?;
    let clock = context.surroundings.clock.as_ref();
    let mut progress = Progress::new(size, mode == ImportMode::Trial && !options.dry_run, clock);
    let mut report = Report::new(is_told, options.json);
    while let Some(message) = batches.recv().await {
        match message {
            Message::Batch(batch) => apply(context, options, mode, batch, &mut report, out).await?,
            Message::Failed(error) => {
                progress.clear();
                return Err(error.context(format!("cannot import `{}`", options.file.display())));
            }
        }
        progress.show(done.load(Ordering::Relaxed), report.read());
    }
    progress.clear();
    Ok(report)
}

/// Starts the thread that reads and checks. It ends with the file, or when its batches are no longer taken.
fn start_reading(
    context: &AdminContext,
    options: &Options,
    source: Source,
    done: &Arc<AtomicU64>,
) -> anyhow::Result<mpsc::Receiver<Message>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (format, done) = (options.from, Arc::clone(done));
    let roles = RoleMap {
        always: options.roles.clone(),
        mappings: options.mappings.clone(),
        is_by_name: options.groups_as_roles,
    };
    let peppers = Peppers::new(&context.config.login.peppers);
    let random = Arc::clone(&context.surroundings.random);
    let mut checker = Checker::new(roles, options.trust_verified, peppers, random);
    std::thread::Builder::new()
        .name("import".to_owned())
        .spawn(move || {
            let position = source.position();
            let mut batch = Vec::with_capacity(BATCH);
            let mut emit = |item: Item| {
                position.next_record();
                batch.push(checker.check(item));
                if batch.len() < BATCH {
                    return true;
                }
                done.store(position.read(), Ordering::Relaxed);
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                sender.blocking_send(Message::Batch(full)).is_ok()
            };
            let read = match format {
                Format::Csv => csv_file::read(source, &mut emit),
                Format::Htpasswd => htpasswd::read(source, &mut emit),
                Format::Authelia => authelia::read(source, &mut emit),
                Format::Keycloak => keycloak::read(source, &mut emit),
            };
            // The receiver is gone if the import has failed; it has said why.
            let _ = sender.blocking_send(Message::Batch(batch));
            if let Err(error) = read {
                let _ = sender.blocking_send(Message::Failed(error));
            }
        })
        .context("cannot start a thread")?;
    Ok(receiver)
}

async fn apply(
    context: &AdminContext,
    options: &Options,
    mode: ImportMode,
    batch: Vec<Checked>,
    report: &mut Report,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let users: Vec<_> = batch.iter().filter_map(Checked::user).map(|user| user.new.clone()).collect();
    let mut results = import_batch(context, &users, mode).await?.into_iter();
    for checked in batch {
        let candidate = match checked {
            Checked::Refused { place, login, why } => {
                report.refuse(place, &login, &why, out)?;
                continue;
            }
            Checked::Skipped { place, login, why } => {
                report.skip(place, &login, why, out)?;
                continue;
            }
            Checked::User(candidate) => candidate,
        };
        let mut result = results.next().context("the vault returned too few results")?;
        let mut is_updated = false;
        if result == Imported::LoginTaken && options.update {
            match update::update(context, &candidate, mode).await? {
                update::Updated::Unchanged => {}
                update::Updated::Changed => is_updated = true,
                update::Updated::EmailTaken => result = Imported::EmailTaken,
            }
        }
        report.count(&candidate, result, is_updated, out)?;
    }
    Ok(())
}

/// Imports a batch. A busy vault may answer late, and a batch can be repeated: what an unanswered try has created counts as
/// unchanged then.
async fn import_batch(
    context: &AdminContext,
    users: &[NewUser],
    mode: ImportMode,
) -> anyhow::Result<Vec<Imported>> {
    for _ in 1..TRIES {
        match context.vault.users.import(users, mode).await {
            Err(VaultError::Unavailable(_)) => {}
            answered => return Ok(answered?),
        }
    }
    let last = context.vault.users.import(users, mode).await;
    last.context("the import stopped; run it again, it leaves alone what exists")
}

impl Checked {
    fn user(&self) -> Option<&Candidate> {
        match self {
            Self::User(candidate) => Some(candidate),
            Self::Refused { .. } | Self::Skipped { .. } => None,
        }
    }
}
