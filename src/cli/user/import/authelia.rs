//! Authelia's `users_database.yml`: a mapping `users` from names to properties.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader};
use std::rc::Rc;

use anyhow::{Context as _, bail};
use saphyr_parser::{BufferedInput, Event, Parser};

use super::entry::{Emit, Entry, Item, Place};
use super::source::Source;
use crate::password::read_hash;

/// Maximum depth of nesting: Authelia's own is three.
const MAX_DEPTH: usize = 32;

/// Reads all users.
///
/// # Errors
/// The file is no YAML, or no database of users.
pub(super) fn read(source: Source, emit: Emit<'_>) -> anyhow::Result<()> {
    let failure = Rc::new(RefCell::new(None));
    let characters = Characters {
        reader: BufReader::new(source),
        failure: Rc::clone(&failure),
        line: String::new(),
        at: 0,
        number: 0,
    };
    let read = database(Tokens { parser: Parser::new_from_iter(characters) }, emit);
    // The parser takes a failed read for the end of the file.
    match failure.take() {
        Some(failure) => Err(failure),
        None => read,
    }
}

fn database(mut tokens: Tokens, emit: Emit<'_>) -> anyhow::Result<()> {
    const NO_USERS: &str = "the file has no mapping `users`: is it a users_database.yml of Authelia?";
    if !matches!(tokens.next()?.0, Token::StartOfMapping) {
        bail!(NO_USERS);
    }
    let mut has_users = false;
    loop {
        match tokens.next()? {
            (Token::EndOfMapping, _) => break,
            (Token::Text(key), line) if key == "users" => {
                anyhow::ensure!(!has_users, "line {line}: `users` is there twice");
                has_users = true;
                if !users(&mut tokens, emit)? {
                    return Ok(());
                }
            }
            (Token::Text(_), _) => {
                let value = tokens.next()?;
                tokens.skip(value)?;
            }
            (_, line) => bail!("line {line}: a key is no text"),
        }
    }
    anyhow::ensure!(has_users, NO_USERS);
    Ok(())
}

/// Reads the mapping of users. Returns false if no more are wanted.
fn users(tokens: &mut Tokens, emit: Emit<'_>) -> anyhow::Result<bool> {
    match tokens.next()? {
        (Token::StartOfMapping, _) => {}
        // `users:` with nothing below.
        (Token::Text(text), _) if matches!(text.as_str(), "" | "~" | "null") => return Ok(true),
        (_, line) => bail!("line {line}: `users` is no mapping from names to properties"),
    }
    loop {
        let (login, line) = match tokens.next()? {
            (Token::EndOfMapping, _) => return Ok(true),
            (Token::Text(login), line) => (login, line),
            (_, line) => bail!("line {line}: the name of a user is no text"),
        };
        let place = Place::Line(line);
        let item = match user(tokens, place, &login)? {
            Ok(entry) => Item::User(Box::new(entry)),
            Err(why) => Item::Refused { place, login, why },
        };
        if !emit(item) {
            return Ok(false);
        }
    }
}

/// Reads the properties of a user.
fn user(tokens: &mut Tokens, place: Place, login: &str) -> anyhow::Result<Result<Entry, String>> {
    let mut entry =
        Entry { disabled: Some(false), groups: Some(Vec::new()), ..Entry::new(place, login.to_owned()) };
    let start = tokens.next()?;
    if !matches!(start.0, Token::StartOfMapping) {
        tokens.skip(start)?;
        return Ok(Err(
            "the user has no properties: write password, displayname, email and groups".to_owned()
        ));
    }
    let mut fault = None;
    loop {
        let (key, line) = match tokens.next()? {
            (Token::EndOfMapping, _) => break,
            (Token::Text(key), line) => (key, line),
            (_, line) => bail!("line {line}: a key is no text"),
        };
        let value = tokens.next()?;
        if key == "groups" {
            match groups(tokens, value)? {
                Ok(groups) => entry.groups = Some(groups),
                Err(why) => fault = Some(why),
            }
            continue;
        }
        let is_known = matches!(key.as_str(), "password" | "displayname" | "email" | "disabled");
        let text = match value {
            (Token::Text(text), _) => text,
            other => {
                tokens.skip(other)?;
                if is_known {
                    fault = Some(format!("line {line}: {key} is no text"));
                }
                continue;
            }
        };
        let some = || Some(text.clone()).filter(|text| !matches!(text.as_str(), "" | "~" | "null"));
        match key.as_str() {
            "password" => entry.hash = read_hash(some().as_deref().unwrap_or_default()),
            "displayname" => entry.name = some(),
            "email" => entry.email = some(),
            "disabled" => match text.as_str() {
                "true" | "True" | "TRUE" => entry.disabled = Some(true),
                "false" | "False" | "FALSE" | "" => {}
                _ => fault = Some(format!("line {line}: disabled is neither true nor false")),
            },
            _ => {}
        }
    }
    Ok(fault.map_or(Ok(entry), Err))
}

fn groups(tokens: &mut Tokens, start: Found) -> anyhow::Result<Result<Vec<String>, String>> {
    match start {
        (Token::StartOfList, _) => {}
        (Token::Text(text), _) if matches!(text.as_str(), "" | "~" | "null") => return Ok(Ok(Vec::new())),
        other => {
            let line = other.1;
            tokens.skip(other)?;
            return Ok(Err(format!("line {line}: groups is no list")));
        }
    }
    let (mut groups, mut fault) = (Vec::new(), None);
    loop {
        match tokens.next()? {
            (Token::EndOfList, _) => break,
            (Token::Text(group), _) => groups.push(group),
            other => {
                fault = Some(format!("line {}: a group is no text", other.1));
                tokens.skip(other)?;
            }
        }
    }
    Ok(fault.map_or(Ok(groups), Err))
}

/// A token with its line.
type Found = (Token, u64);

/// Part of a document.
enum Token {
    Text(String),
    StartOfMapping,
    EndOfMapping,
    StartOfList,
    EndOfList,
}

/// The tokens of the first document.
struct Tokens {
    parser: Parser<'static, BufferedInput<Characters>>,
}

impl Tokens {
    fn next(&mut self) -> anyhow::Result<Found> {
        loop {
            let event = self.parser.next_event().context("the file ends too soon")?;
            let (event, span) = event.context("this is no YAML")?;
            let line = span.start.line() as u64;
            let token = match event {
                Event::Scalar(text, ..) => Token::Text(text.into_owned()),
                Event::MappingStart(..) => Token::StartOfMapping,
                Event::MappingEnd => Token::EndOfMapping,
                Event::SequenceStart(..) => Token::StartOfList,
                Event::SequenceEnd => Token::EndOfList,
                Event::Alias(_) => bail!("line {line}: aliases (*name) are not read: write the text there"),
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => continue,
                Event::StreamEnd | Event::DocumentEnd => bail!("line {line}: the file ends too soon"),
            };
            return Ok((token, line));
        }
    }

    /// Reads the rest of a value.
    fn skip(&mut self, (start, line): Found) -> anyhow::Result<()> {
        let mut depth = usize::from(matches!(start, Token::StartOfMapping | Token::StartOfList));
        while depth > 0 {
            match self.next()?.0 {
                Token::StartOfMapping | Token::StartOfList => depth += 1,
                Token::EndOfMapping | Token::EndOfList => depth -= 1,
                Token::Text(_) => {}
            }
            anyhow::ensure!(
                depth <= MAX_DEPTH,
                "line {line}: the value is nested more than {MAX_DEPTH} times"
            );
        }
        Ok(())
    }
}

/// The characters of a file, read line by line.
struct Characters {
    reader: BufReader<Source>,
    /// Why the characters end before the file.
    failure: Rc<RefCell<Option<anyhow::Error>>>,
    line: String,
    at: usize,
    number: u64,
}

impl Iterator for Characters {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if self.at == self.line.len() {
            (self.at, self.number) = (0, self.number + 1);
            self.line.clear();
            let read = self.reader.read_line(&mut self.line);
            if let Err(error) = read {
                let failure = anyhow::Error::new(error).context(format!("line {}", self.number));
                self.failure.replace(Some(failure));
                self.line.clear();
                return None;
            }
        }
        let character = self.line[self.at..].chars().next()?;
        self.at += character.len_utf8();
        Some(character)
    }
}
