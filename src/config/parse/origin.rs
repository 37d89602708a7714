//! Hosts, origins and issuers. Browsers and token verifiers compare these byte by byte.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::parse::hint::quoted;
use crate::text::host_and_port;

/// An origin, `scheme://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// One of the schemes the caller allows.
    pub(crate) scheme: &'static str,
    /// As [`host`] returns it.
    pub(crate) host: String,
    /// The written port, or the default port of the scheme.
    pub(crate) port: u16,
    default_port: u16,
}

/// The schemes of web origins, and their default ports.
pub(crate) const WEB: &[(&str, u16)] = &[("http", 80), ("https", 443)];

impl Origin {
    /// Reads `scheme://host[:port]`.
    ///
    /// # Errors
    /// A message that says what to write instead.
    pub(crate) fn parse(text: &str, schemes: &[(&'static str, u16)]) -> Result<Self, String> {
        let (origin, rest) = Self::split(text, schemes)?;
        match rest {
            "" => Ok(origin),
            rest => {
                let part = if rest.starts_with('/') { "path" } else { "query or fragment" };
                Err(format!(
                    "{} is more than an origin: write {:?} without a {part}",
                    quoted(text),
                    origin.to_string()
                ))
            }
        }
    }

    /// Reads the origin at the start of `text`; the text after the authority is returned unchanged.
    fn split<'a>(text: &'a str, schemes: &[(&'static str, u16)]) -> Result<(Self, &'a str), String> {
        let names: Vec<String> = schemes.iter().map(|(name, _)| format!("{name}://")).collect();
        let unknown =
            || format!("{} does not start with {}: write the scheme too", quoted(text), names.join(" or "));
        let (written, rest) = text.split_once("://").ok_or_else(unknown)?;
        let lowered = written.to_ascii_lowercase();
        let &(scheme, default_port) =
            schemes.iter().find(|(name, _)| *name == lowered).ok_or_else(unknown)?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a user or password is not allowed here: write scheme://host:port alone".to_owned());
        }
        let (name, port) = host_and_port(authority);
        let port = port.map_or(Ok(default_port), parse_port)?;
        let origin = Self { scheme, host: host(&name.to_ascii_lowercase())?, port, default_port };
        if written != lowered || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("{} has capital letters: write {:?}", quoted(text), origin.to_string()));
        }
        Ok((origin, rest))
    }
}

impl fmt::Display for Origin {
    /// Serializes as browsers do: without the default port of the scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port == self.default_port { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Reads the origin of an http or https URL.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn of_url(text: &str) -> Result<Origin, String> {
    Origin::split(text, WEB).map(|(origin, _)| origin)
}

/// Reads an issuer: an http or https URL without query and fragment (RFC 8414 section 2). It is not normalized.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn issuer(text: &str) -> Result<String, String> {
    // Every token contains it; 200 bytes is far more than any real one needs.
    if text.len() > 200 {
        return Err("an issuer has at most 200 bytes, since every token carries it".to_owned());
    }
    let (_, path) = Origin::split(text, WEB)?;
    if path.contains(['?', '#']) {
        return Err(format!(
            "{} has a query or fragment: write the issuer without it (RFC 8414)",
            quoted(text)
        ));
    }
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte)) {
        return Err(format!(
            "{} has characters in its path that a URL cannot have: write letters, digits and /",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// Reads a lower-case host: a name, an IPv4 address, or an IPv6 address in brackets (which are kept).
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn host(text: &str) -> Result<String, String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(|address| format!("[{address}]")).ok_or_else(|| {
            format!("{} is not an IPv6 address in brackets: write it like [::1]", quoted(text))
        });
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address must be in brackets: write [{text}]"));
    }
    if !text.is_ascii() {
        return Err(format!("{} is not ASCII: write the name as browsers send it, with xn--", quoted(text)));
    }
    if let Some(upper) = text.bytes().any(|b| b.is_ascii_uppercase()).then(|| text.to_ascii_lowercase()) {
        return Err(format!("{} has capital letters: write {upper:?}", quoted(text)));
    }
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 253 || !text.split('.').all(is_label) {
        return Err(format!(
            "{} is not a host: write a name such as app.example.com or an address",
            quoted(text)
        ));
    }
    // Browsers parse a name that ends in a number as an IPv4 address, in forms that would not compare equal here.
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number && text.parse::<Ipv4Addr>().is_err() {
        return Err(format!(
            "{} is not an IPv4 address: write all four numbers, such as 127.0.0.1",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

fn parse_port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse::<u16>().ok().filter(|&port| digits && port > 0);
    port.ok_or_else(|| format!("{} is not a port: write 1 to 65535 after the colon", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_written_as_browsers_write_it() {
        for (written, origin) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://app.example.com", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("http://[0:0::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
            ("http://my_app", "http://my_app"),
        ] {
            assert_eq!(
                Origin::parse(written, WEB).map(|o| o.to_string()).as_deref(),
                Ok(origin),
                "{written}"
            );
        }
    }

    #[test]
    fn text_that_is_not_exactly_an_origin_is_rejected() {
        for bad in [
            "",
            "app",
            "app:80",
            "ftp://app",
            "http:/app",
            "http://",
            "http://:80",
            "http://app:",
            "http://app:0",
            "http://app:+80",
            "http://app:65536",
            "http://app/",
            "http://app/x",
            "http://app?x",
            "http://app#x",
            "http://ada@app",
            "http://a:b@app",
            "http://App",
            "HTTP://app",
            "http://app.",
            "http://.app",
            "http://a..b",
            "http://-a",
            "http://a b",
            "http://1.2.3",
            "http://256.1.1.1",
            "http://0x7f",
            "http://[::1",
            "http://::1",
            "http://[app]",
            "http://bücher.example",
            "http://app\\x",
            "http://app:80:80",
        ] {
            assert!(Origin::parse(bad, WEB).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn issuer_keeps_its_path_and_its_spelling() {
        for good in
            ["http://127.0.0.1:8080", "https://id.example.com/", "https://id.example.com:443/tenant/a"]
        {
            assert_eq!(issuer(good).as_deref(), Ok(good));
        }
        for bad in [
            "id.example.com",
            "https://id.example.com?x",
            "https://id.example.com/#x",
            "https://i/a b",
            "https://i/a\n",
        ] {
            assert!(issuer(bad).is_err(), "{bad:?}");
        }
    }
}
