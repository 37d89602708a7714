//! Apache's htpasswd: a line with `name:hash` for each user, and comments with `#`.

use std::io::{BufRead as _, BufReader};

use super::entry::{Emit, Entry, Item, Place};
use super::source::Source;
use crate::password::read_hash;

/// Reads all users.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(source: Source, emit: Emit<'_>) -> anyhow::Result<()> {
    let mut reader = BufReader::new(source);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Some(item) = item(Place::Line(number), &line) else { continue };
        if !emit(item) {
            return Ok(());
        }
    }
}

fn item(place: Place, line: &[u8]) -> Option<Item> {
    let refused = |why: &str| Some(Item::Refused { place, login: String::new(), why: why.to_owned() });
    let Ok(line) = std::str::from_utf8(line) else { return refused("the line is not text in UTF-8") };
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let Some((login, rest)) = line.split_once(':') else { return refused("the line is not name:hash") };
    // htdigest and some programs append fields.
    let hash = rest.split(':').next().unwrap_or_default();
    Some(Item::User(Box::new(Entry { hash: read_hash(hash), ..Entry::new(place, login.to_owned()) })))
}
