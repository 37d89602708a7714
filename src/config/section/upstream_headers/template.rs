//! Values of request fields for an app: text, and variables about the user.

use http::HeaderValue;

use crate::config::parse::hint::{any_of, nearest, quoted};

/// Maximum length of a value as written. Longer ones are mistakes, and many apps limit a header section to 8 KiB.
const MAX_LENGTH: usize = 2048;

/// Maximum number of variables in a value: there are nine, and each twice is plenty.
const MAX_VARIABLES: usize = 12;

/// A fact about the signed-in user or the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `${user.login}`
    Login,
    /// `${user.id}`, which never changes.
    UserId,
    /// `${user.email}`: the verified address. Absent if there is none.
    Email,
    /// `${user.name}`: the display name. Absent if there is none.
    Name,
    /// `${user.roles}`: sorted and joined by commas. Absent if there is none.
    Roles,
    /// `${session.id}`
    SessionId,
    /// `${session.amr}`: the authentication methods (RFC 8176), joined by commas. Absent in sessions of an earlier release.
    Methods,
    /// `${session.acr}`: `urn:doorward:acr:mfa` or `urn:doorward:acr:single`. Absent likewise.
    ContextClass,
    /// `${session.auth_time}`: time of the last active proof, in seconds since 1970. Absent likewise.
    ProvenAt,
}

impl Variable {
    const ALL: [(&str, Self); 9] = [
        ("user.id", Self::UserId),
        ("user.login", Self::Login),
        ("user.email", Self::Email),
        ("user.name", Self::Name),
        ("user.roles", Self::Roles),
        ("session.id", Self::SessionId),
        ("session.amr", Self::Methods),
        ("session.acr", Self::ContextClass),
        ("session.auth_time", Self::ProvenAt),
    ];
}

/// A value about the user. Where one of its variables is absent, the whole header is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// One variable alone.
    Variable(Variable),
    /// Text and variables, in order.
    Parts(Box<[Part]>),
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text without control characters.
    Text(Box<str>),
    /// A variable.
    Variable(Variable),
}

/// A value as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The same in every request.
    Fixed(HeaderValue),
    /// About the user.
    Identity(Template),
}

/// Parses a value. `$` without `{` is text.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn parse(text: &str) -> Result<Written, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, next) = after
            .split_once('}')
            .ok_or_else(|| format!("{} has no }} after ${{: write ${{user.login}}", quoted(text)))?;
        if !before.is_empty() {
            parts.push(Part::Text(before.into()));
        }
        parts.push(Part::Variable(variable(name)?));
        rest = next;
    }
    if parts.is_empty() {
        return fixed(text).map(Written::Fixed);
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    check(text)?;
    let variables = parts.iter().filter(|part| matches!(part, Part::Variable(_))).count();
    if variables > MAX_VARIABLES {
        return Err(format!("{variables} variables in one value: write at most {MAX_VARIABLES}"));
    }
    Ok(Written::Identity(match parts[..] {
        [Part::Variable(variable)] => Template::Variable(variable),
        _ => Template::Parts(parts.into()),
    }))
}

/// Parses a value without variables.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn fixed(text: &str) -> Result<HeaderValue, String> {
    check(text)?;
    if text.contains("${") {
        return Err("a response has no variables: write fixed text".to_owned());
    }
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| format!("{} is not a header value: write printable characters", quoted(text)))
}

fn variable(name: &str) -> Result<Variable, String> {
    let known = || Variable::ALL.iter().map(|(name, _)| *name);
    let found = Variable::ALL.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable);
    found.ok_or_else(|| {
        let written = quoted(&format!("${{{name}}}"));
        match nearest(name, known()) {
            Some(near) => format!("{written} is not a variable: did you mean \"${{{near}}}\"?"),
            None => {
                let all: Vec<String> = known().map(|name| format!("${{{name}}}")).collect();
                format!("{written} is not a variable: write {}", any_of(all.iter().map(String::as_str)))
            }
        }
    })
}

/// Checks the text of a value. CR, LF and NUL would end the field or the header section (RFC 9110 section 5.5).
fn check(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("empty: write a value, or name the header in remove".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{} has a control character: write printable characters", quoted(text)));
    }
    if text.trim() != text {
        return Err(format!("{} begins or ends with a space, which servers remove: remove it", quoted(text)));
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("a header value of {} bytes: write at most {MAX_LENGTH}", text.len()));
    }
    Ok(())
}
