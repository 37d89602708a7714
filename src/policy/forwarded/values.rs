//! Parsers for the values of the `X-Forwarded-*` fields.

use std::net::{IpAddr, Ipv6Addr};

/// Parses an address: plain, with a port (`192.0.2.1:4711`), or IPv6 in brackets with or without a port (RFC 3986
/// section 3.2.2). `unknown` and names (RFC 7239 section 6) are not addresses.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let is_port = after.is_empty() || after.strip_prefix(':').is_some_and(|text| port(text).is_some());
        return address
            .parse::<Ipv6Addr>()
            .ok()
            .filter(|_| is_port)
            .map(|address| IpAddr::V6(address).to_canonical());
    }
    let host = match text.split_once(':') {
        // In IPv6 without brackets every colon belongs to the address.
        Some((host, after)) if !after.contains(':') => {
            port(after)?;
            host
        }
        _ => text,
    };
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Returns whether a scheme is https, without regard to case (RFC 3986 section 3.1). A WebSocket scheme has the
/// security of the HTTP one (RFC 6455 section 3).
pub(super) fn scheme(text: &[u8]) -> Option<bool> {
    let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is("https") || is("wss") => Some(true),
        () if is("http") || is("ws") => Some(false),
        () => None,
    }
}

/// Parses a switch such as `Front-End-Https`.
pub(super) fn switch(text: &[u8]) -> Option<bool> {
    let is = |names: [&str; 4]| names.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()));
    match () {
        () if is(["on", "1", "true", "yes"]) => Some(true),
        () if is(["off", "0", "false", "no"]) => Some(false),
        () => None,
    }
}

/// Parses a port number of digits only.
pub(super) fn port(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

/// Returns the port of a valid host.
pub(super) fn port_of(host: &str) -> Option<u16> {
    port(&host[memchr::memrchr(b':', host.as_bytes())? + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_parsed_with_and_without_port() {
        for (text, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:5678", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8::1:443", "2001:db8::1:443"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:198.51.100.7]:1", "198.51.100.7"),
        ] {
            assert_eq!(address(text.as_bytes()), Some(expected.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "localhost",
            "198.51.100",
            "198.51.100.7:",
            "198.51.100.7:x",
            "198.51.100.7:0",
            "198.51.100.7:65536",
            "198.51.100.7:+80",
            "[198.51.100.7]",
            "[::1",
            "[::1]x",
            "[::1]:",
            "::1]",
            "fe80::1%eth0",
            "\"198.51.100.7\"",
            "010.0.0.1",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(address(b"198.51.100.7\xff"), None);
    }

    #[test]
    fn scheme_ignores_case_and_accepts_websocket() {
        for (text, is_https) in [
            ("https", Some(true)),
            ("HTTPS", Some(true)),
            ("Wss", Some(true)),
            ("http", Some(false)),
            ("ws", Some(false)),
            ("WS", Some(false)),
            ("", None),
            ("https:", None),
            ("httpss", None),
            ("javascript", None),
            ("on", None),
        ] {
            assert_eq!(scheme(text.as_bytes()), is_https, "{text}");
        }
        assert_eq!((switch(b"ON"), switch(b"off"), switch(b"https")), (Some(true), Some(false), None));
    }
}
