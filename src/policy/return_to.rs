//! Return URLs after sign-in: only a path of the same origin is allowed.

use crate::id::{base64url, from_base64url};
use crate::text::push_percent_encoded;

/// Maximum length of a return URL, in bytes: the maximum of a path (8 KiB, the usual limit of servers for a request
/// line). A longer one would not fit a `Location` and a form.
pub const MAX_LENGTH: usize = 8192;
/// Maximum length of an unpacked return URL. Percent-encoding may triple the length, base64url adds a third.
const PLAIN_LENGTH: usize = 2048;

/// Returns whether a browser redirected to `target` stays on its origin (WHATWG URL). The target must be a path that
/// does not start like an authority, of plain characters only. Browsers drop tabs and line feeds before parsing, read a
/// backslash as a slash, and never send what follows a `#`.
pub fn is_local(target: &str) -> bool {
    let mut bytes = target.bytes();
    let starts_local = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    starts_local && target.len() <= MAX_LENGTH && target.bytes().all(is_plain)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>')
}

/// Normalizes a request target to a return URL. Bytes that a browser might misread are percent-encoded, as browsers
/// send them (WHATWG URL, query percent-encode set). `None` when it is not a path of this origin, or is
/// too long.
pub fn normalized(target: &[u8]) -> Option<String> {
    if target.len() > MAX_LENGTH || target.first() != Some(&b'/') {
        return None;
    }
    let mut out = String::with_capacity(target.len() + 2);
    // Alone, `//x` is a host. Browsers leave the dot out and ask for `//x` again (WHATWG URL section 4.5).
    if target.get(1) == Some(&b'/') {
        out.push_str("/.");
    }
    push_percent_encoded(&mut out, target, is_plain);
    is_local(&out).then_some(out)
}

/// Packs a form token and the return URL it covers into one text.
pub fn packed(token: &str, target: &str) -> String {
    if target.len() > PLAIN_LENGTH {
        // No return URL starts with `~`.
        format!("{token}.~{}", base64url(target))
    } else {
        format!("{token}.{target}")
    }
}

/// Reverses [`packed`].
pub fn unpacked(packed: &str) -> Option<(&str, String)> {
    let (token, target) = packed.split_once('.')?;
    let target = match target.strip_prefix('~') {
        Some(encoded) => String::from_utf8(from_base64url(encoded)?).ok()?,
        None => target.to_owned(),
    };
    Some((token, target))
}

/// Escapes `text` as the value of one query parameter (RFC 3986 section 2.3: everything except unreserved characters).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    push_percent_encoded(&mut out, text.as_bytes(), is_unreserved);
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
        let good = |target: &[u8], expected: &str| {
            assert_eq!(normalized(target).as_deref(), Some(expected));
            assert!(is_local(expected));
        };
        good(b"/a?b=c%20d", "/a?b=c%20d");
        good("/search?q=caf\u{e9}".as_bytes(), "/search?q=caf%C3%A9");
        good(b"/x?path=C:\\dir", "/x?path=C:%5Cdir");
        good(b"/x?q=\"<a>\"", "/x?q=%22%3Ca%3E%22");
        good(b"/\\evil.example", "/%5Cevil.example");
        good(b"/\t/evil.example", "/%09/evil.example");
        good(b"/\xff", "/%FF");
        good(b"//evil.example", "/.//evil.example");
        good(b"///a//b?c=//d", "/.///a//b?c=//d");
        good(b"//\\evil.example", "/.//%5Cevil.example");
        for bad in [&b""[..], b"*", b"app", b"http://evil.example/"] {
            assert_eq!(normalized(bad), None);
        }
        let longest = format!("/{}", "a".repeat(MAX_LENGTH - 1));
        good(longest.as_bytes(), &longest);
        assert_eq!(normalized(format!("{longest}a").as_bytes()), None);
        assert_eq!(normalized(&b"/\xff".repeat(MAX_LENGTH / 2)), None);
    }

    #[test]
    fn packed_return_url_round_trips() {
        for length in [1, PLAIN_LENGTH - 1, PLAIN_LENGTH, MAX_LENGTH - 1] {
            let target = format!("/{}", "%".repeat(length));
            let packed = packed("token", &target);
            assert_eq!(unpacked(&packed), Some(("token", target)), "{length}");
            // It fits a form of 16 KiB.
            assert!(escape(&packed).len() < 12 << 10, "{length}");
        }
        assert_eq!(unpacked("token"), None);
        assert_eq!(unpacked("token.~*"), None);
    }

    #[test]
    fn query_value_is_escaped() {
        assert_eq!(escape("/a?b=c&d=%2F+~"), "%2Fa%3Fb%3Dc%26d%3D%252F%2B~");
    }
}
