//! Where a browser may be sent after signing in: back to a path of the origin it is at, and nowhere else.

use crate::id::{base64url, from_base64url};

/// Longest place to return to, in bytes: what a path may have (8 KiB, the usual limit of servers for a request line). Longer
/// ones would not come back in a `Location` and a form.
pub const MAX_LENGTH: usize = 8192;
/// Longer ones are packed: percent-encoding may make them three times as long, base64url a third.
const PLAIN_LENGTH: usize = 2048;

/// Whether a browser that is sent to `target` stays on its origin, however it reads it (WHATWG URL): a path that does
/// not begin like an authority, plain characters only. A tab or a line feed would be left out before the URL is read,
/// a backslash is a slash to it, and what follows a `#` was never sent to us.
pub fn is_local(target: &str) -> bool {
    let mut bytes = target.bytes();
    let begins = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    begins && target.len() <= MAX_LENGTH && target.bytes().all(is_plain)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>')
}

/// A request target as a place to return to: bytes that a browser might read as something else are percent-encoded, which is
/// how browsers send them (WHATWG URL, query percent-encode set). `None` when it does not begin like a path of this origin, or
/// is too long.
pub fn normalized(target: &[u8]) -> Option<String> {
    if target.len() > MAX_LENGTH || target.first() != Some(&b'/') || target.get(1) == Some(&b'/') {
        return None;
    }
    let mut out = String::with_capacity(target.len());
    for &byte in target {
        if is_plain(byte) { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    is_local(&out).then_some(out)
}

/// A stamp and the place that it is about, as one text.
pub fn packed(stamp: &str, target: &str) -> String {
    if target.len() > PLAIN_LENGTH {
        // No place begins like this.
        format!("{stamp}.~{}", base64url(target))
    } else {
        format!("{stamp}.{target}")
    }
}

/// The reverse of [`packed`].
pub fn unpacked(packed: &str) -> Option<(&str, String)> {
    let (stamp, target) = packed.split_once('.')?;
    let target = match target.strip_prefix('~') {
        Some(encoded) => String::from_utf8(from_base64url(encoded)?).ok()?,
        None => target.to_owned(),
    };
    Some((stamp, target))
}

/// `text` as the value of one query parameter (RFC 3986 section 2.3: all but the unreserved is escaped).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_origin_are_local() {
        for good in [
            "/",
            "/app",
            "/app/?q=1&r=%2F%2Fevil.example",
            "/@scope%2fname",
            "/a//b",
            "/?next=https://evil.example",
            "/.//evil.example",
            "/a:b@c",
            "/%09/evil.example",
            "/%5cevil.example",
            "/%2f/evil.example",
        ] {
            assert!(is_local(good), "{good:?}");
        }
        let long = format!("/{}", "a".repeat(MAX_LENGTH));
        for bad in [
            "",
            "app",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\nSet-Cookie: a=b",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example",
            "/a b",
            "/a\\b",
            "https://evil.example",
            "https:evil.example",
            "https:/evil.example",
            "HTTPS://evil.example",
            "http:evil.example",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://evil.example/x",
            "mailto:a@evil.example",
            "@evil.example",
            "user@evil.example",
            ".evil.example",
            ":80",
            "?a=b",
            "#/evil",
            "/a#b",
            "/\u{2215}evil.example",
            "/\u{ff0f}evil.example",
            "/\u{200b}/evil.example",
            "\u{ff0f}\u{ff0f}evil.example",
            "/\u{e9}",
            "/\0/evil.example",
            "/\u{7f}",
            "\u{feff}/app",
            "%2f%2fevil.example",
            "/<script>",
            "/\"onload=",
            &long,
        ] {
            assert!(!is_local(bad), "{bad:?}");
        }
    }

    #[test]
    fn target_is_percent_encoded_where_browsers_might_misread_it() {
        let good = |target: &[u8], place: &str| {
            assert_eq!(normalized(target).as_deref(), Some(place));
            assert!(is_local(place));
        };
        good(b"/a?b=c%20d", "/a?b=c%20d");
        good("/search?q=caf\u{e9}".as_bytes(), "/search?q=caf%C3%A9");
        good(b"/x?path=C:\\dir", "/x?path=C:%5Cdir");
        good(b"/x?q=\"<a>\"", "/x?q=%22%3Ca%3E%22");
        good(b"/\\evil.example", "/%5Cevil.example");
        good(b"/\t/evil.example", "/%09/evil.example");
        good(b"/\xff", "/%FF");
        for bad in [&b""[..], b"//evil.example", b"*", b"app", b"http://evil.example/"] {
            assert_eq!(normalized(bad), None);
        }
        let longest = format!("/{}", "a".repeat(MAX_LENGTH - 1));
        good(longest.as_bytes(), &longest);
        assert_eq!(normalized(format!("{longest}a").as_bytes()), None);
        assert_eq!(normalized(&b"/\xff".repeat(MAX_LENGTH / 2)), None);
    }

    #[test]
    fn packed_place_is_the_same_again() {
        for length in [1, PLAIN_LENGTH - 1, PLAIN_LENGTH, MAX_LENGTH - 1] {
            let target = format!("/{}", "%".repeat(length));
            let packed = packed("stamp", &target);
            assert_eq!(unpacked(&packed), Some(("stamp", target)), "{length}");
            // A form of 16 KiB holds it.
            assert!(escape(&packed).len() < 12 << 10, "{length}");
        }
        assert_eq!(unpacked("stamp"), None);
        assert_eq!(unpacked("stamp.~*"), None);
    }

    #[test]
    fn a_query_value_holds_anything() {
        assert_eq!(escape("/a?b=c&d=%2F+~"), "%2Fa%3Fb%3Dc%26d%3D%252F%2B~");
    }
}
