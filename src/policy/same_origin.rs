//! Same-origin check: compares the `Origin` of a request (RFC 6454) with the origin the request was sent to.
//!
//! A gateway knows its own origin only in part: a proxy in front may terminate TLS, replace `Host` or drop its port.
//! `server.public_urls` lists the origins that browsers use; for other hosts, `Host` is used.

/// Address that a request was sent to, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// `Host`, `:authority`, or `X-Forwarded-Host` of a trusted proxy: a host, perhaps with a port.
    pub host: &'a str,
    /// Whether the request is known to have arrived over https.
    pub is_https: bool,
    /// `server.public_urls`
    pub public_urls: &'a [String],
}

impl Destination<'_> {
    /// Returns whether `origin` is the origin of this address. `is_routed` tells whether a route names a host (without
    /// port).
    ///
    /// 1. If a public URL has this host and port, it is the only origin, including its scheme.
    /// 2. Otherwise `origin` matches with this host and port, and a scheme that the request may have had. An https
    ///    origin is accepted for a request without TLS, since an untrusted proxy may have terminated TLS.
    /// 3. Otherwise `origin` matches if it is a public URL of this host with another port, or if the host is unknown
    ///    here because a proxy in front changed `Host`.
    pub fn is_origin(&self, origin: &str, is_routed: impl Fn(&str) -> bool) -> bool {
        let Some((scheme, authority)) = split(origin) else { return false };
        let host = self.host.to_ascii_lowercase();
        let is_listed = self.public_urls.iter().any(|url| url == origin);
        if self.public_urls.iter().any(|url| split(url).is_some_and(|(s, a)| is_same(s, a, &host))) {
            return is_listed && is_same(scheme, authority, &host);
        }
        if is_same(scheme, authority, &host) && (scheme == "https" || !self.is_https) {
            return true;
        }
        let name = name_of(&host);
        let is_name_of = |url: &str| split(url).is_some_and(|(_, authority)| name_of(authority) == name);
        let is_known = || self.public_urls.iter().any(|url| is_name_of(url)) || is_routed(name);
        is_listed && (is_name_of(origin) || !is_known())
    }
}

/// Splits an origin, as browsers write it, into scheme and authority.
fn split(origin: &str) -> Option<(&str, &str)> {
    let (scheme, authority) = origin.split_once("://")?;
    matches!(scheme, "http" | "https").then_some((scheme, authority))
}

/// Returns whether two authorities are equal, where the default port of the scheme may be omitted.
fn is_same(scheme: &str, one: &str, other: &str) -> bool {
    let default = if scheme == "https" { ":443" } else { ":80" };
    let bare = |authority: &str| authority.strip_suffix(default).map_or(authority.len(), str::len);
    let (one, other) = (&one[..bare(one)], &other[..bare(other)]);
    !one.is_empty() && one == other
}

/// Returns the host of an authority, without its port.
fn name_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_origin(origin: &str, host: &str, is_https: bool) -> bool {
        let public_urls = ["https://app.example.com", "http://localhost:8080", "https://x.example.com:8443"];
        let public_urls = public_urls.map(str::to_owned);
        let destination = Destination { host, is_https, public_urls: &public_urls };
        destination.is_origin(origin, |name| name.ends_with(".routed.example"))
    }

    #[test]
    fn public_url_of_the_host_is_its_only_origin() {
        for (origin, host, expected) in [
            ("https://app.example.com", "app.example.com", true),
            ("https://app.example.com", "App.Example.com:443", true),
            ("http://app.example.com", "app.example.com", false),
            ("https://app.example.com:444", "app.example.com", false),
            ("https://evil.example", "app.example.com", false),
            // Another public host is another origin.
            ("http://localhost:8080", "app.example.com", false),
            ("https://app.example.com", "localhost:8080", false),
            ("http://localhost:8080", "localhost:8080", true),
            ("http://localhost", "localhost:8080", false),
            // A proxy that omits the port.
            ("https://x.example.com:8443", "x.example.com", true),
            ("https://x.example.com:8443", "x.example.com:8443", true),
        ] {
            assert_eq!(is_origin(origin, host, false), expected, "{origin} {host}");
        }
    }

    #[test]
    fn unlisted_host_is_its_own_origin() {
        for (origin, host, is_https, expected) in [
            ("http://a.routed.example", "a.routed.example", false, true),
            ("http://127.0.0.1:9090", "127.0.0.1:9090", false, true),
            ("http://[::1]:9090", "[::1]:9090", false, true),
            ("http://gateway", "gateway:80", false, true),
            // TLS was terminated in front.
            ("https://a.routed.example", "a.routed.example", false, true),
            ("https://a.routed.example", "a.routed.example:443", true, true),
            // A page without TLS is another origin than the same page over https.
            ("http://a.routed.example", "a.routed.example", true, false),
            ("http://b.routed.example", "a.routed.example", false, false),
            ("http://a.routed.example:81", "a.routed.example", false, false),
            // A listed origin is not the origin of another host that a route names.
            ("https://app.example.com", "a.routed.example", false, false),
            // A proxy that replaces Host with the address of the gateway.
            ("https://app.example.com", "10.0.0.7:8080", false, true),
            ("https://evil.example", "10.0.0.7:8080", false, false),
        ] {
            assert_eq!(is_origin(origin, host, is_https), expected, "{origin} {host} {is_https}");
        }
    }

    #[test]
    fn invalid_origins_never_match() {
        for origin in [
            "",
            "null",
            "*",
            "app.example.com",
            "HTTPS://app.example.com",
            "ftp://a.routed.example",
            "http://",
            "://",
        ] {
            for host in ["app.example.com", "a.routed.example", "", "10.0.0.7"] {
                assert!(!is_origin(origin, host, false), "{origin:?} {host:?}");
            }
        }
    }
}
