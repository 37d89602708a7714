//! Text of URLs and header fields: percent-encoding, authorities, prefixes.

/// Appends `bytes`, percent-encoded (RFC 3986 section 2.1) except those that `is_plain` accepts, which are ASCII.
pub(crate) fn push_percent_encoded(out: &mut String, bytes: &[u8], is_plain: impl Fn(u8) -> bool) {
    for &byte in bytes {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Returns the byte of an escape. `after` is the text behind the `%`; `None` if it does not start with two hexadecimal
/// digits.
pub(crate) fn escaped_byte(after: &[u8]) -> Option<u8> {
    let digit = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Returns the position of the colon before the port of an authority. A colon inside the brackets of an IPv6 address is
/// not one.
pub(crate) fn port_colon(authority: &[u8]) -> Option<usize> {
    let colon = authority.iter().rposition(|&byte| byte == b':')?;
    (!authority[colon..].contains(&b']')).then_some(colon)
}

/// Splits an authority into its host and the text of its port. Neither is checked.
pub(crate) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match port_colon(authority.as_bytes()) {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    }
}

/// Returns whether `text` starts with `prefix`, without regard to the case of ASCII letters.
pub(crate) fn has_prefix_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Returns the rest of a field name that begins with `HTTP_`, which CGI, WSGI, PHP and Django add, with any separator.
pub(crate) fn without_cgi_prefix(name: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = name.split_first_chunk::<5>()?;
    (!prefix[4].is_ascii_alphanumeric() && has_prefix_ignoring_case(prefix, b"http")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_encoded_unless_plain() {
        let mut out = "a=".to_owned();
        push_percent_encoded(&mut out, "b é%".as_bytes(), |byte| byte.is_ascii_alphanumeric());
        assert_eq!(out, "a=b%20%C3%A9%25");
    }

    #[test]
    fn escape_needs_two_hexadecimal_digits() {
        assert_eq!(escaped_byte(b"2fx"), Some(b'/'));
        assert_eq!(escaped_byte(b"C3"), Some(0xc3));
        for malformed in ["", "2", "2g", "+2", "é0"] {
            assert_eq!(escaped_byte(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn port_follows_the_last_colon_outside_brackets() {
        for (authority, parts) in [
            ("example.com", ("example.com", None)),
            ("example.com:80", ("example.com", Some("80"))),
            ("example.com:", ("example.com", Some(""))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:443", ("[::1]", Some("443"))),
        ] {
            assert_eq!(host_and_port(authority), parts);
        }
    }

    #[test]
    fn prefix_is_compared_without_letter_case() {
        assert!(has_prefix_ignoring_case(b"__Host-a", b"__hOST-"));
        assert!(!has_prefix_ignoring_case(b"__Hos", b"__host-"));
    }
}
