//! Where a browser may be sent after signing in: back to a path of the origin it is at, and nowhere else.

/// Longer ones are not worth keeping: a browser's address bar and a proxy's line have to hold them twice.
const MAX_LENGTH: usize = 2048;

/// Whether a browser that is sent to `target` stays on its origin, however it reads it (WHATWG URL): a path that does
/// not begin like an authority, plain characters only. A tab or a line feed would be left out before the URL is read,
/// a backslash is a slash to it, and what follows a `#` was never sent to us.
pub fn is_local(target: &str) -> bool {
    let mut bytes = target.bytes();
    let begins = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>');
    begins && target.len() <= MAX_LENGTH && target.bytes().all(plain)
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
    fn a_query_value_holds_anything() {
        assert_eq!(escape("/a?b=c&d=%2F+~"), "%2Fa%3Fb%3Dc%26d%3D%252F%2B~");
    }
}
