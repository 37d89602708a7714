//! New passwords: read, checked, hashed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use crate::auth::password_rules;
use crate::cli::AdminContext;
use crate::error::PasswordFault;
use crate::outbound::Outbound;
use crate::password::{BreachedPasswords, Hasher, Password, Peppers, Person};
use crate::secret::Secret;

#[derive(Debug, Args)]
pub(in crate::cli) struct PasswordSource {
    /// Read the password from the first line of standard input instead of prompting.
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of this file, such as a mounted secret.
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
}

/// Reads a password, checks it by the rules of the gateway for `min_length` characters, and hashes it. A rejected `[brand]` or `[server]` leaves the names of the
/// site out.
pub(super) async fn hashed(
    context: &AdminContext,
    person: Person<'_>,
    min_length: usize,
    source: &PasswordSource,
) -> anyhow::Result<Secret<String>> {
    let rules = password_rules(&context.config);
    let password = Password::new(read_password(source, min_length)?.expose()).map_err(refused)?;
    rules.check(&password, person, min_length).map_err(refused)?;
    if is_breached(context, &password).await? {
        return Err(refused(PasswordFault::Breached));
    }
    let hasher = Hasher::start(1, 1, Arc::clone(&context.surroundings.random))?;
    let hasher = hasher.with_peppers(Peppers::new(&context.config.login.peppers));
    Ok(hasher.hash(password).await?)
}

/// Returns the error with its stable code, as the JSON endpoints have it.
fn refused(fault: PasswordFault) -> anyhow::Error {
    anyhow::anyhow!("{fault} ({})", fault.code())
}

/// Looks the password up where that is configured. Without an answer it counts as not leaked, with a warning.
async fn is_breached(context: &AdminContext, password: &Password) -> anyhow::Result<bool> {
    let Some(settings) = &context.config.login.breached_passwords else { return Ok(false) };
    let (clock, metrics) =
        (Arc::clone(&context.surroundings.clock), Arc::clone(&context.surroundings.metrics));
    let outbound = Outbound::new(&crate::cli::environment, clock, metrics);
    let collection = BreachedPasswords::new(settings, &outbound).context("login.breached_passwords")?;
    let found = collection.contains(password).await;
    if let Err(error) = &found {
        // Standard error may be closed; then the warning is lost.
        let _ = writeln!(
            std::io::stderr(),
            "warning: login.breached_passwords: {error}; the password was not looked up"
        );
    }
    Ok(found.unwrap_or(false))
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
    let first = prompt(&format!("Password (at least {min_length} characters): "))
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
