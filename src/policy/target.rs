//! Reading a request target in every way a server behind us might.
//!
//! The bytes are forwarded as they came (RFC 9110 section 7.7); what is decided must hold for every plausible
//! reading of them, or the request is refused. Readings: as sent; percent-decoded once and twice; `;params`
//! stripped; backslash as slash; slashes merged; dot segments removed. Letter case is the route table's business.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

/// A longer path is refused; RFC 9112 section 3 recommends at least 8,000 bytes.
pub const MAX_PATH: usize = 8192;

/// A path that has at least one reading and none that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// As sent.
    raw: &'a str,
    /// Other readings, where there are any.
    others: Vec<String>,
    /// Whether a slash stands encoded (`%2F`, `%252F`).
    encoded_slash: bool,
}

/// The target is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It cannot be read in one way only.
    #[error("the request target can be read in more than one way")]
    Ambiguous,
    /// It is longer than [`MAX_PATH`].
    #[error("the request target is too long")]
    TooLong,
}
use Unreadable::{Ambiguous, TooLong};

impl<'a> Target<'a> {
    /// Reads the path of an origin-form target, without its query.
    ///
    /// # Errors
    /// `TooLong` beyond [`MAX_PATH`] bytes; `Ambiguous` for what no reading makes safe: no leading slash, control
    /// characters, spaces, raw backslashes, `%00`, `%0A`, `%0D`, malformed or non-UTF-8 escapes, bytes beyond ASCII.
    pub fn read(raw: &'a [u8]) -> Result<Self, Unreadable> {
        if raw.len() > MAX_PATH {
            return Err(TooLong);
        }
        if raw.first() != Some(&b'/') {
            return Err(Ambiguous);
        }
        let raw = std::str::from_utf8(raw).map_err(|_| Ambiguous)?;
        if raw.bytes().any(|b| b <= b' ' || b >= 0x7f || matches!(b, b'\\' | b'#' | b'?')) {
            return Err(Ambiguous);
        }
        if is_plain(raw) {
            return Ok(Self { raw, others: Vec::new(), encoded_slash: false });
        }
        Self::read_slowly(raw)
    }

    fn read_slowly(raw: &'a str) -> Result<Self, Unreadable> {
        let once = decode(raw)?;
        // A second decoder only sees escapes that the first one left; where that is not an escape, it stays.
        let twice = decode(&once).unwrap_or_else(|_| once.clone());
        // What is still escaped now was wrapped three times: nobody means that.
        if twice.bytes().any(|b| b == b'%') && decode(&twice).is_ok() {
            return Err(Ambiguous);
        }
        let lower = raw.to_ascii_lowercase();
        let encoded_slash = lower.contains("%2f") || lower.contains("%252f");
        let mut others: Vec<String> = Vec::new();
        for base in bases(raw, &once, &twice) {
            for params in [Cow::Borrowed(base.as_ref()), without_params(&base)] {
                let slashed = params.replace('\\', "/");
                let after = after_authority(&slashed).map(str::to_owned);
                let mut add = |reading: String| {
                    if reading != raw && !others.contains(&reading) {
                        others.push(reading);
                    }
                };
                for slashed in [Some(slashed), after].into_iter().flatten() {
                    let merged = merge_slashes(&slashed);
                    let resolved = remove_dots(&merged);
                    // Dropping dots and spaces can leave empty segments anew.
                    add(remove_dots(&merge_slashes(&resolved)));
                    add(remove_dots(&slashed));
                    for reading in [resolved, merged, slashed] {
                        add(reading);
                    }
                }
                add(params.into_owned());
            }
        }
        Ok(Self { raw, others, encoded_slash })
    }

    /// As sent.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Every reading, the raw one first.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.raw).chain(self.others.iter().map(String::as_str))
    }

    /// Whether a slash stands encoded: passes only where the route says so.
    pub const fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }
}

/// Whether there is nothing to read differently: no escapes, params or dot segments, no empty segments.
fn is_plain(path: &str) -> bool {
    let mut previous = b' ';
    let bytes = path.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'%' | b';' => return false,
            b'/' if previous == b'/' => return false,
            // A segment that begins with a dot might be a dot segment; `.well-known` is told apart here.
            b'.' if previous == b'/' && matches!(bytes.get(at + 1), None | Some(b'/' | b'.')) => {
                return false;
            }
            // Some servers drop a trailing dot of a segment.
            b'.' if matches!(bytes.get(at + 1), None | Some(b'/')) => return false,
            _ => {}
        }
        previous = byte;
    }
    true
}

/// What different servers take for the path before they look at its segments.
fn bases<'p>(raw: &'p str, once: &'p str, twice: &'p str) -> Vec<Cow<'p, str>> {
    let mut bases = vec![Cow::Borrowed(raw), Cow::Borrowed(once), Cow::Borrowed(twice)];
    // A decoded `?` or `#` ends the path for who parses again what was decoded.
    bases.extend(
        [once, twice].into_iter().filter_map(|path| Some(Cow::Borrowed(&path[..path.find(['?', '#'])?]))),
    );
    if !twice.is_ascii() {
        // Compatibility forms (full-width letters, slashes and dots) and what has no width, as best-fit mappings drop it.
        let visible = |c: &char| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}');
        bases.push(Cow::Owned(twice.nfkc().filter(visible).collect()));
    }
    bases
}

/// Percent-decodes once. Refuses what must never be decoded: malformed escapes, control characters, non-UTF-8.
fn decode(path: &str) -> Result<String, Unreadable> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(Ambiguous) };
        let decoded = u8::try_from(high * 16 + low).map_err(|_| Ambiguous)?;
        if decoded < b' ' || decoded == 0x7f {
            return Err(Ambiguous);
        }
        out.push(decoded);
    }
    String::from_utf8(out).map_err(|_| Ambiguous)
}

/// What is left of a path that begins with two slashes for who takes it for a reference to be resolved: the first name is a
/// host then (RFC 3986 section 4.2; `new URL(request.url, base)` of Node, `urlsplit` of Python).
fn after_authority(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("//")?.trim_start_matches('/');
    Some(rest.find('/').map_or("/", |at| &rest[at..]))
}

/// RFC 3986 section 3.3: what follows a `;` in a segment is parameters to some servers.
fn without_params(path: &str) -> Cow<'_, str> {
    if !path.contains(';') {
        return Cow::Borrowed(path);
    }
    let segments: Vec<&str> =
        path.split('/').map(|s| s.split_once(';').map_or(s, |(name, _)| name)).collect();
    Cow::Owned(segments.join("/"))
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    out
}

/// RFC 3986 section 5.2.4; trailing dots and spaces of a segment are dropped as some file systems do.
fn remove_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment.trim_end_matches(' ') {
            "." | ".." => {
                if segment.starts_with("..") {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment.trim_matches(' ').trim_end_matches(['.', ' '])),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(path: &str) -> Vec<String> {
        Target::read(path.as_bytes()).map(|t| t.readings().map(str::to_owned).collect()).unwrap_or_default()
    }

    #[test]
    fn a_plain_path_has_one_reading() {
        for path in
            ["/", "/a/b", "/a/", "/.well-known/x", "/a.b/c-d_e~f", "/@scope/name", "/v1/x:y", "/..a/b"]
        {
            let plain = readings(path);
            assert!(plain.contains(&path.to_owned()), "{path}");
            if path != "/..a/b" {
                assert_eq!(plain.len(), 1, "{path}: {plain:?}");
            }
        }
    }

    #[test]
    fn every_disguise_of_admin_reads_as_admin() {
        // T08-T12, T14: what any of the usual decoders would make of it.
        for path in [
            "/public/../admin",
            "/public/%2e%2e/admin",
            "/public/%2E./admin",
            "/public/..%2fadmin",
            "/public/..;/admin",
            "/public/..;x=y/admin",
            "/public/%252e%252e/admin",
            "/public/..%5cadmin",
            "/public/..%255cadmin",
            "//admin",
            "/./admin",
            "/%2fadmin",
            "/%61dmin",
            "/%2561dmin",
            "/admin;x",
            "/admin.",
            "/admin%20",
            "/x/..//admin",
            "/admin%3fx",
            "/admin%23",
            "/admin%253fx",
            "/%20/admin",
            "/./%20/admin",
            "/public/..%20/admin",
            "/%ef%bd%81dmin",
            "/public/..%ef%bc%8fadmin",
            "/admin%e2%80%8b",
            // A3: the first name is a host to some.
            "//x/admin",
            "///x/admin/y",
            "//x/%2e%2e/%61dmin",
            "//x//admin",
        ] {
            let all = readings(path);
            assert!(all.iter().any(|r| r == "/admin" || r.starts_with("/admin/")), "{path}: {all:?}");
        }
    }

    #[test]
    fn what_no_reading_makes_safe_is_refused() {
        for path in [
            "",
            "a",
            "*",
            "/a b",
            "/a\\b",
            "/%00",
            "/%0d%0aX",
            "/%",
            "/%4",
            "/%zz",
            "/%c0%af",
            "/\u{e9}",
            "/a#b",
            "/\t",
            "/%u002f",
            "/x/%25252e%25252e/y",
        ] {
            assert_eq!(Target::read(path.as_bytes()), Err(Ambiguous), "{path:?}");
        }
        assert_eq!(Target::read(format!("/{}", "a".repeat(MAX_PATH)).as_bytes()), Err(TooLong));
    }

    #[test]
    fn an_encoded_slash_is_noticed_at_both_depths() {
        for (path, has) in [("/@scope%2fname", true), ("/a%252Fb", true), ("/a%2eb", false)] {
            assert_eq!(Target::read(path.as_bytes()).unwrap().has_encoded_slash(), has, "{path}");
        }
    }
}
