//! Texts of `[[providers]]`, each with its form and what to write instead.

use super::ProviderId;
use crate::config::parse::hint::quoted;
use crate::config::parse::origin;
use crate::secret::Secret;

/// Path of the discovery document, after the issuer (OpenID Connect Discovery section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

pub(super) fn id(text: &str) -> Result<ProviderId, String> {
    text.parse().map_err(|error| format!("{} is not a name: {error}", quoted(text)))
}

pub(super) fn client_id(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 256 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "{} is not a client id: write the 1 to 256 visible ASCII characters that the provider shows",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn audience(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err(format!("{} is not an audience: write the text as in the token", quoted(text)));
    }
    Ok(text.to_owned())
}

pub(super) fn client_secret(text: &str) -> Result<Secret<String>, String> {
    if text.is_empty() || text.len() > 1024 || text.chars().any(char::is_control) {
        return Err(
            "this is not a client secret: write the text that the provider shows, on one line".to_owned()
        );
    }
    Ok(Secret::new(text.to_owned()))
}

pub(super) fn key_id(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 128 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{} is not a key id: write 1 to 128 visible ASCII characters", quoted(text)));
    }
    Ok(text.to_owned())
}

/// Reads a tenant id: a GUID.
pub(super) fn tenant(text: &str) -> Result<String, String> {
    let lowered = text.to_ascii_lowercase();
    let lengths: Vec<usize> = lowered.split('-').map(str::len).collect();
    let is_hex = lowered.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if lengths != [8, 4, 4, 4, 12] || !is_hex {
        return Err(format!(
            "{} is not a tenant id: write the GUID from the overview page of Entra ID",
            quoted(text)
        ));
    }
    Ok(lowered)
}

/// Reads the domain of addresses.
pub(super) fn domain(text: &str) -> Result<String, String> {
    if let Some(domain) = text.strip_prefix('@').or_else(|| text.strip_prefix("*.")) {
        return Err(format!("{} is not a domain: write {}", quoted(text), quoted(domain)));
    }
    // An address or a URL was written: the domain is a part of it.
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_ascii_lowercase();
    if host.len() < text.len() && origin::host(&host).is_ok() {
        return Err(format!("{} is not a domain: write {}", quoted(text), quoted(&host)));
    }
    origin::host(text)
}

/// Reads the name of a GitHub organization, in lower case: GitHub compares names so.
pub(super) fn org(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || text.len() > 100 || !text.bytes().all(allowed) {
        return Err(format!("{} is not an organization: write its name in URLs of GitHub", quoted(text)));
    }
    Ok(text.to_ascii_lowercase())
}

/// Reads `organization/team`, in lower case.
pub(super) fn team(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((left, right)) if org(left).is_ok() && org(right).is_ok() => Ok(text.to_ascii_lowercase()),
        _ => Err(format!(
            "{} is not a team: write the names of organization and team as in URLs of GitHub, such as \"example/platform\"",
            quoted(text)
        )),
    }
}

pub(super) fn label(text: &str) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > 40 || text.chars().any(char::is_control) {
        return Err(format!("{} is not the text of a button: write 1 to 40 characters", quoted(text)));
    }
    Ok(text.to_owned())
}

/// Reads the URL of an issuer: https, or http to this machine.
pub(super) fn issuer_url(text: &str) -> Result<String, String> {
    let issuer = origin::issuer(text)?;
    // Consoles of providers show it for copying.
    if let Some(issuer) = issuer.strip_suffix(DISCOVERY) {
        return Err(format!(
            "{} is the address of the discovery document: write the `issuer` that stands in it, most likely {}",
            quoted(text),
            quoted(issuer)
        ));
    }
    secure(&issuer)?;
    Ok(issuer)
}

/// Reads the base of an API.
pub(super) fn web_url(text: &str) -> Result<String, String> {
    let url = issuer_url(text)?;
    if url.ends_with('/') {
        return Err(format!("{} ends in /: write {}", quoted(text), quoted(url.trim_end_matches('/'))));
    }
    Ok(url)
}

fn secure(url: &str) -> Result<(), String> {
    let origin = origin::of_url(url)?;
    let is_here = origin.host == "localhost" || origin.host == "[::1]" || origin.host.starts_with("127.");
    if origin.scheme == "https" || is_here {
        return Ok(());
    }
    Err(format!(
        "{} is http, so everybody on the way could sign in as anybody: write https://, with ca_file for a CA of your own",
        quoted(url)
    ))
}
