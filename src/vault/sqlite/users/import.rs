//! Import of many users, and the count of their password hashes.

use std::collections::HashMap;

use rusqlite::params;
use zeroize::Zeroizing;

use crate::vault::sqlite::fault::Fault;
use crate::vault::sqlite::reader::View;
use crate::vault::{Imported, NewUser, PasswordCount};

/// Maximum number of groups.
const MAX_GROUPS: usize = 1000;

/// Returns what a creation would do.
pub(super) fn preview(view: &View<'_>, new: &[NewUser]) -> Result<Vec<Imported>, Fault> {
    new.iter().map(|user| preview_one(view, user)).collect()
}

/// Returns what the creation of one user would do.
pub(super) fn preview_one(view: &View<'_>, user: &NewUser) -> Result<Imported, Fault> {
    let has_login: bool =
        view.value("SELECT EXISTS (SELECT 1 FROM users WHERE login = ?1)", params![user.login])?;
    if has_login {
        return Ok(Imported::LoginTaken);
    }
    let email = user.attributes.email();
    let has_email: bool =
        view.value("SELECT EXISTS (SELECT 1 FROM users WHERE email = ?1)", params![email])?;
    Ok(if has_email { Imported::EmailTaken } else { Imported::Created })
}

/// Counts users by the parameters of their hashes. SQLite has no function that finds the last `$`.
pub(super) fn count_passwords(view: &View<'_>) -> Result<Vec<PasswordCount>, Fault> {
    let mut statement = view.prepare_cached("SELECT password FROM users")?;
    let mut rows = statement.query(params![])?;
    let mut counts: HashMap<String, u64> = HashMap::new();
    while let Some(row) = rows.next()? {
        let text = Zeroizing::new(row.get::<_, String>("password")?);
        let ends = text.rmatch_indices('$').nth(1).map_or(0, |(at, _)| at + 1);
        match counts.get_mut(&text[..ends]) {
            Some(users) => *users += 1,
            None => drop(counts.insert(text[..ends].to_owned(), 1)),
        }
    }
    let each = |(parameters, users)| PasswordCount { parameters, users };
    let mut counts: Vec<PasswordCount> = counts.into_iter().map(each).collect();
    counts.sort_by(|a, b| b.users.cmp(&a.users).then_with(|| a.parameters.cmp(&b.parameters)));
    counts.truncate(MAX_GROUPS);
    Ok(counts)
}
