//! `user export`: all users as CSV, which `user import --from csv` reads.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use csv::Writer;

use super::import::COLUMNS;
use crate::cli::AdminContext;
use crate::identity::Login;
use crate::password::StoredHash;
use crate::vault::User;

/// Users read at a time.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// File to create, readable by its owner alone; it must not exist. - is standard output.
    file: PathBuf,
    /// Leave out the password hashes.
    #[arg(long)]
    no_hashes: bool,
}

pub(super) async fn export(
    context: &AdminContext,
    options: &Options,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if options.file.as_os_str() == "-" {
        write_all(context, options, out).await?;
        return Ok(());
    }
    let path = options.file.display();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&options.file);
    let file = file.with_context(|| format!("cannot create `{path}`: name a file that does not exist"))?;
    let mut file = BufWriter::new(file);
    let users = write_all(context, options, &mut file).await;
    let written = users.and_then(|users| {
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(users)
    });
    let users = written.with_context(|| format!("cannot write `{path}`: remove it, and try again"))?;
    let warning = if options.no_hashes { "" } else { "; whoever reads it can try to guess their passwords" };
    writeln!(out, "users written to `{path}`: {users}{warning}")?;
    Ok(())
}

async fn write_all(context: &AdminContext, options: &Options, to: &mut dyn Write) -> anyhow::Result<u64> {
    let mut users = 0;
    let mut after: Option<Login> = None;
    let mut header = Some(COLUMNS);
    loop {
        let page = context.vault.users.list(after.as_ref(), PAGE).await?;
        // The writer borrows the output, which must not be held while the vault is read.
        let mut csv = Writer::from_writer(&mut *to);
        if let Some(columns) = header.take() {
            csv.write_record(columns)?;
        }
        for user in &page {
            csv.write_record(fields(user, options))?;
        }
        csv.flush()?;
        users += page.len() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.login.clone()),
            _ => return Ok(users),
        }
    }
}

fn fields(user: &User, options: &Options) -> [String; COLUMNS.len()] {
    let attributes = &user.attributes;
    let text = user.password.expose();
    let has_password = StoredHash::parse(text).is_ok_and(|hash| !hash.is_no_password());
    let roles: Vec<&str> = user.roles.iter().map(crate::identity::Role::as_str).collect();
    [
        user.login.to_string(),
        if has_password && !options.no_hashes { text.clone() } else { String::new() },
        attributes.email().map_or_else(String::new, |email| email.as_str().to_owned()),
        if attributes.email().is_some() {
            user.email_verified_at.is_some().to_string()
        } else {
            String::new()
        },
        attributes.name().map_or_else(String::new, |name| name.as_str().to_owned()),
        roles.join(" "),
        user.disabled.to_string(),
    ]
}
