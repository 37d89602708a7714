//! Secrets of the file: `x` is given as `x`, `x_file` or `x_env`. No message quotes one.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;
use crate::config::{Env, MasterKey};
use crate::secret::Secret;

/// Advice for a key of 32 bytes.
pub(crate) const EXAMPLE: &str = "write 32 random bytes in base64url without padding, 43 characters \
                   (`openssl rand -base64 32 | tr '+/' '-_' | tr -d =` makes one)";

/// Reads `master_key`, `master_key_file` or `master_key_env`; `None` if none of them is set, or the value is invalid.
pub(crate) fn master_key(table: &Table<'_>, dir: &Path, env: Env<'_>) -> Option<MasterKey> {
    match one_of(table, ["master_key", "master_key_file", "master_key_env"])? {
        Given::Value(value) => value.parsed(key).map(MasterKey::Value),
        Given::File(value) => value.parsed(|text| path(text, dir)).map(MasterKey::File),
        Given::Env(value) => from_env(&value, "master_key_file", env, key).map(MasterKey::Value),
    }
}

/// Reads `url`, `url_file` or `url_env` with `parse`; `None` if none of them is set, or the value is invalid.
pub(crate) fn url<T>(
    table: &Table<'_>,
    dir: &Path,
    env: Env<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    text(table, ["url", "url_file", "url_env"], "the address", dir, env, parse)
}

/// Minimum length of the token. Shorter ones can be guessed; 32 characters of base64 are 192 bits.
const MIN_TOKEN_LENGTH: usize = 32;

/// Reads `token`, `token_file` or `token_env` of `[admin]`.
pub(crate) fn admin_token(table: &Table<'_>, dir: &Path, env: Env<'_>) -> Option<Secret<String>> {
    text(table, ["token", "token_file", "token_env"], "the token", dir, env, |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if text.len() < MIN_TOKEN_LENGTH || !text.bytes().all(allowed) {
            return Err(format!(
                "this is not a token: write at least {MIN_TOKEN_LENGTH} random characters from A-Z a-z 0-9 - . _ ~ + / = \
                 (`openssl rand -base64 32` makes one)"
            ));
        }
        Ok(Secret::new(text.to_owned()))
    })
}

/// Reads `x`, `x_file` or `x_env`; `what` names the content in messages.
pub(crate) fn text<T>(
    table: &Table<'_>,
    forms: [&'static str; 3],
    what: &str,
    dir: &Path,
    env: Env<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let [_, in_file, _] = forms;
    match one_of(table, forms)? {
        Given::Value(value) => value.parsed(parse),
        Given::File(value) => value.parsed(|text| {
            let file = path(text, dir)?;
            let bytes = table.file(in_file, &file);
            let text = bytes.and_then(|bytes| {
                let text = std::str::from_utf8(&bytes).map_err(io::Error::other)?;
                Ok(Zeroizing::new(text.to_owned()))
            });
            let text = text.map_err(|error| {
                format!("`{}` cannot be read: {error}; write {what} into it", file.display())
            })?;
            let text = text.trim_end();
            if text.is_empty() {
                return Err(format!("`{}` is empty: write {what} into it", file.display()));
            }
            parse(text).map_err(|message| format!("in `{}`: {message}", file.display()))
        }),
        Given::Env(value) => from_env(&value, in_file, env, parse),
    }
}

/// The one of three forms that the file uses.
enum Given<'a> {
    Value(Value<'a>),
    File(Value<'a>),
    Env(Value<'a>),
}

fn one_of<'a>(table: &Table<'a>, forms: [&'static str; 3]) -> Option<Given<'a>> {
    let [value, file, variable] = forms.map(|name| table.value(name));
    let given: Vec<&str> = forms.into_iter().filter(|name| table.has(name)).collect();
    if let [first, second, ..] = given[..] {
        // Report the later one, which was probably added last.
        let location = [first, second]
            .map(|name| table.location_of(name))
            .into_iter()
            .max_by_key(|location| location.line())?;
        location.problem(format!("given as `{}`: keep exactly one", given.join("` and `")));
        return None;
    }
    value.map(Given::Value).or(file.map(Given::File)).or(variable.map(Given::Env))
}

/// Reads a path; a relative one is resolved against the directory of the configuration file.
///
/// # Errors
/// The text cannot be a path.
pub(crate) fn path(text: &str, dir: &Path) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("this is not a path: write the name of a file".to_owned());
    }
    Ok(dir.join(text))
}

fn from_env<T>(
    value: &Value<'_>,
    instead: &str,
    env: Env<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    value.parsed(|name| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        // The text is not quoted: it may be the secret itself.
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(
                "this is not the name of an environment variable: write one such as DOORWARD_MASTER_KEY"
                    .to_owned(),
            );
        }
        let text = env(name).map(Zeroizing::new);
        let text = text.ok_or_else(|| {
            format!("no environment variable of this name is set: set it, or use `{instead}`")
        })?;
        parse(&text).map_err(|message| format!("in the environment variable: {message}"))
    })
}

fn key(text: &str) -> Result<Secret<String>, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
    match bytes.map(|bytes| bytes.len()) {
        Ok(32) => Ok(Secret::new(text.to_owned())),
        _ => Err(format!("this is not a master key: {EXAMPLE}")),
    }
}
