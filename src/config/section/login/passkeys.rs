//! Passkeys in `[login]`.

use std::net::IpAddr;

use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;
use crate::text::host_and_port;

/// `passkeys` and `passkey_rp_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Passkeys {
    /// True if people can set up passkeys and sign in with them.
    pub enabled: bool,
    /// Relying party id; `None`: the host that all hosts of `server.public_urls` equal or are below of.
    pub rp_id: Option<String>,
}

/// Reads `passkeys` and `passkey_rp_id`.
pub(super) fn read(table: &Table<'_>, default: Passkeys, public_urls: &[String]) -> Passkeys {
    let enabled = table.value("passkeys").and_then(|value| value.flag()).unwrap_or(default.enabled);
    let rp_id = table.value("passkey_rp_id").and_then(|value| {
        let id = value.parsed(rp_id)?;
        let fits = |url: &String| {
            let host = url.strip_prefix("https://").map(|authority| host_and_port(authority).0);
            host.is_some_and(|host| {
                host == id || host.strip_suffix(&id).is_some_and(|rest| rest.ends_with('.'))
            })
        };
        if !enabled {
            value
                .location()
                .problem("there are no passkeys, so this has no effect: remove it, or passkeys = false");
        } else if !public_urls.iter().any(fits) {
            value.location().problem(format!(
                "{} is neither the host of an https URL in server.public_urls nor a domain above one",
                quoted(&id)
            ));
        }
        Some(id)
    });
    Passkeys { enabled, rp_id: rp_id.or(default.rp_id) }
}

fn rp_id(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(is_plain)
    };
    let is_name = text.len() <= 253 && text.split('.').all(is_label) && text.parse::<IpAddr>().is_err();
    if is_name {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a host name: write one in lower case without scheme and port, such as \"example.com\"",
        quoted(text)
    ))
}
