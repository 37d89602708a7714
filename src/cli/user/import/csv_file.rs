//! Comma-separated values (RFC 4180) with a header line, as `user export` writes them.

use anyhow::Context as _;
use csv::{ReaderBuilder, StringRecord, Trim};

use super::entry::{Emit, Entry, Item, Place};
use super::source::Source;
use crate::password::read_hash;

/// Columns, in the order of an export.
pub(in crate::cli::user) const COLUMNS: [&str; 7] =
    ["login", "password_hash", "email", "email_verified", "name", "roles", "disabled"];

/// Reads all users.
///
/// # Errors
/// The header is unusable, or the file cannot be read.
pub(super) fn read(source: Source, emit: Emit<'_>) -> anyhow::Result<()> {
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::Headers).from_reader(source);
    let header = reader.headers().context("line 1")?.clone();
    let columns = columns(&header)?;
    let mut record = StringRecord::new();
    loop {
        let place = Place::Line(reader.position().line());
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) if error.is_io_error() => return Err(error.into()),
            Err(error) => {
                let why = format!("the line is not text in UTF-8: {error}");
                if !emit(Item::Refused { place, login: String::new(), why }) {
                    return Ok(());
                }
                continue;
            }
        }
        // The position before a record may be that of blank lines.
        let place = record.position().map_or(place, |position| Place::Line(position.line()));
        if !emit(item(place, &record, &header, &columns)) {
            return Ok(());
        }
    }
}

/// Returns the index of each column that the header has.
fn columns(header: &StringRecord) -> anyhow::Result<[Option<usize>; COLUMNS.len()]> {
    let mut columns = [None; COLUMNS.len()];
    for (at, name) in header.iter().enumerate() {
        // A spreadsheet may write a byte order mark.
        let name = name.trim_start_matches('\u{feff}').trim();
        let Some(column) = COLUMNS.iter().position(|known| *known == name) else {
            let hint = match name {
                "password" => "; passwords in clear are not imported: only hashes, in password_hash",
                _ => "",
            };
            anyhow::bail!("line 1: unknown column `{name}`: the columns are {}{hint}", COLUMNS.join(", "));
        };
        anyhow::ensure!(columns[column].replace(at).is_none(), "line 1: the column `{name}` is there twice");
    }
    anyhow::ensure!(columns[0].is_some(), "line 1: the column `login` is missing: write a header line");
    Ok(columns)
}

fn item(
    place: Place,
    record: &StringRecord,
    header: &StringRecord,
    columns: &[Option<usize>; COLUMNS.len()],
) -> Item {
    let [login, hash, email, verified, name, roles, disabled] =
        columns.map(|column| column.map(|at| record.get(at).unwrap_or_default()));
    let login = login.unwrap_or_default().to_owned();
    let refused = |why: String| Item::Refused { place, login: login.clone(), why };
    if record.len() != header.len() {
        let why = format!("the line has {} fields and the header {}", record.len(), header.len());
        return refused(why + ": put quotes around a field with a comma");
    }
    let flag = |text: Option<&str>, column| match text {
        None | Some("") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(format!("{column} is neither true nor false")),
    };
    let (email_verified, disabled) = match (flag(verified, "email_verified"), flag(disabled, "disabled")) {
        (Ok(verified), Ok(disabled)) => (verified.unwrap_or_default(), disabled),
        (Err(why), _) | (_, Err(why)) => return refused(why),
    };
    let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let roles = roles.map(|roles| roles.split_whitespace().map(str::to_owned).collect());
    Item::User(Box::new(Entry {
        hash: read_hash(hash.unwrap_or_default()),
        email: some(email),
        email_verified,
        name: some(name),
        roles,
        disabled,
        ..Entry::new(place, login)
    }))
}
