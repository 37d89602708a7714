//! URL of a request, taken apart once: what is checked is what is connected to.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use super::error::OutboundError;

/// Server and path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// True for https.
    pub(super) is_secure: bool,
    /// Name or address in lower case, without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// Value of `Host`.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
    /// The URL itself, to choose a proxy.
    pub(super) uri: Uri,
}

/// Maximum length of a URL, in bytes. Discovery documents of strangers name them.
const MAX_LENGTH: usize = 8192;

impl Target {
    /// Parses an absolute URL: https, or http to this machine.
    ///
    /// # Errors
    /// [`OutboundError::BadUrl`].
    pub(super) fn parse(url: &str) -> Result<Self, OutboundError> {
        let bad = OutboundError::BadUrl;
        if url.len() > MAX_LENGTH || url.contains('#') {
            return Err(bad("the URL is too long, or has a fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(bad("the URL does not start with https://")),
        };
        let authority = uri.authority().ok_or(bad("the URL has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("the URL has a user or password"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(bad("the URL has no host"));
        }
        if !is_secure && !names_this_machine(&host) {
            return Err(bad("the URL is http, which is only used on this machine: use https"));
        }
        // The parser takes a port that is empty or above 65535 for none.
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str() != authority.host() => {
                return Err(bad("the port of the URL is no number from 0 to 65535"));
            }
            None if is_secure => 443,
            None => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let authority = authority.as_str().to_ascii_lowercase();
        Ok(Self { is_secure, host, port, authority, path, uri })
    }

    /// Returns the address, if the URL has one instead of a name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Returns whether a URL is one that the client fetches: https, or http to this machine, without user and fragment.
pub fn is_fetched(url: &str) -> bool {
    Target::parse(url).is_ok()
}

/// Returns whether a host is this machine by its name (RFC 6761 section 6.3) or its address.
fn names_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_names_host_port_and_path() {
        for (url, parts) in [
            ("https://id.example", ("id.example", 443, "id.example", "/")),
            ("https://ID.example:8443/a?b=c", ("id.example", 8443, "id.example:8443", "/a?b=c")),
            ("https://id.example?b", ("id.example", 443, "id.example", "/?b")),
            ("http://127.0.0.1:80/", ("127.0.0.1", 80, "127.0.0.1:80", "/")),
            ("http://[::1]:8080/x", ("::1", 8080, "[::1]:8080", "/x")),
            ("http://localhost/x", ("localhost", 80, "localhost", "/x")),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.host.as_str(), target.port, target.authority.as_str(), target.path.as_str()),
                parts,
                "{url}"
            );
        }
        assert!(Target::parse("http://[::1]:8080/x").unwrap().address().is_some());
    }

    #[test]
    fn url_that_is_not_fetched_is_refused() {
        for url in [
            "",
            "/a",
            "id.example",
            "ftp://id.example/",
            "file:///etc/passwd",
            "http://id.example/",
            "http://10.0.0.1/",
            "http://localhost.example/",
            "https://",
            "https:///a",
            "https://a@id.example/",
            "https://a:b@id.example/",
            "https://id.example/#x",
            "https://id.example:/",
            "https://id.example:99999/",
            "https://id example/",
            "https://id.example/\r\nX: y",
            "https://id.example\\@evil.example/",
        ] {
            assert!(matches!(Target::parse(url), Err(OutboundError::BadUrl(_))), "{url}");
        }
    }
}
