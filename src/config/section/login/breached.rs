//! `[login.breached_passwords]`: look-ups of new passwords in a collection of leaked ones.

use std::path::Path;
use std::time::Duration;

use crate::certificate::Authorities;
use crate::config::parse::hint::quoted;
use crate::config::parse::origin;
use crate::config::parse::reader::Table;
use crate::config::section::tls;
use crate::text::host_and_port;

/// `[login.breached_passwords]`
#[derive(Clone, Debug, PartialEq)]
pub struct BreachedPasswords {
    /// Base URL of the range API, with `/` at its end.
    pub url: String,
    /// Maximum time of a look-up; beyond it the password is accepted.
    pub timeout: Duration,
    /// CAs of the server; `None` = the system trust store.
    pub authorities: Option<Authorities>,
}

impl BreachedPasswords {
    /// Returns the host of the URL, without port and brackets.
    pub fn host(&self) -> &str {
        let (_, rest) = self.url.split_once("://").unwrap_or_default();
        let (host, _) = host_and_port(rest.split('/').next().unwrap_or_default());
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Default time limit. People wait for it, and a far server answers in a fifth of it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Reads `[login.breached_passwords]`; `None` if the table is absent.
pub(super) fn breached_passwords(login: &Table<'_>, dir: &Path) -> Option<BreachedPasswords> {
    let is_there = login.has("breached_passwords");
    let table = login.table("breached_passwords");
    if !is_there {
        return None;
    }
    let url = table
        .required(
            "url",
            r#"write the address of a range API, such as url = "https://api.pwnedpasswords.com/range""#,
        )
        .and_then(|value| value.parsed(base));
    let timeout = table.value("timeout").and_then(|value| {
        let range = Duration::from_millis(100)..=Duration::from_secs(10);
        value.duration(range, "a far server needs 100ms, and nobody waits longer than 10s")
    });
    let authorities = table.value("ca_file").and_then(|value| {
        let (file, pem) = tls::pem(&table, &value, "ca_file", dir)?;
        Authorities::read(&pem).map_err(|error| tls::report(&table, "ca_file", &file, &error)).ok()
    });
    table.finish();
    Some(BreachedPasswords { url: url?, timeout: timeout.unwrap_or(TIMEOUT), authorities })
}

/// Reads the base of a range API.
fn base(text: &str) -> Result<String, String> {
    let origin = origin::of_url(text)?;
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~:[]".contains(&byte);
    if !rest.bytes().all(is_plain) {
        return Err(format!(
            "{} is more than scheme, host and path: write it without query and fragment",
            quoted(text)
        ));
    }
    let is_here = origin.host == "localhost" || origin.host == "[::1]" || origin.host.starts_with("127.");
    if origin.scheme != "https" && !is_here {
        return Err(format!(
            "{} is http, so everybody on the way could see and forge the answers: write https://, with ca_file for a CA of your own",
            quoted(text)
        ));
    }
    Ok(format!("{}/", text.trim_end_matches('/')))
}
