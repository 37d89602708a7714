//! Reading a request target in every way a server behind us might.
//!
//! The bytes are forwarded as they came (RFC 9110 section 7.7); what is decided must hold for every plausible
//! reading of them, or the request is refused. Readings, in any order: percent-decoded once and twice, slashes too or all
//! but them; `;params` stripped; backslash as slash; ended by a decoded `?` or `#`; what follows a host after two slashes; slashes merged; dot
//! segments removed; characters beyond ASCII as those they resemble. Letter case is the route table's business.

mod lookalike;

/// A longer path is refused; RFC 9112 section 3 recommends at least 8,000 bytes.
pub const MAX_PATH: usize = 8192;

/// A path with more readings is refused: one that has escapes, parameters, marks, empty and dot segments has 40; what has
/// twice as many is made to have them, and each costs work.
const MOST: usize = 100;

/// So is one whose readings are longer than this together: a long path with every disguise took 6 ms to read, before anybody
/// was asked who it is from. The longest path with escapes needs 22 KiB.
const MOST_BYTES: usize = 4 * MAX_PATH;

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

    /// Whatever one server does to a path another may do to what is left, in any order: so all of it is done to every
    /// reading, until nothing new comes of it.
    fn read_slowly(raw: &'a str) -> Result<Self, Unreadable> {
        let lower = raw.to_ascii_lowercase();
        let encoded_slash = lower.contains("%2f") || lower.contains("%252f");
        let mut found = vec![(raw.to_owned(), 0)];
        let (mut at, mut bytes) = (0, raw.len());
        while let Some((reading, decoded)) = found.get(at).cloned() {
            for next in readings_of(&reading, decoded)? {
                if !found.iter().any(|(known, _)| *known == next.0) {
                    bytes += next.0.len();
                    found.push(next);
                }
                if found.len() > MOST || bytes > MOST_BYTES {
                    return Err(Ambiguous);
                }
            }
            at += 1;
        }
        Ok(Self {
            raw,
            others: found.into_iter().skip(1).map(|(reading, _)| reading).collect(),
            encoded_slash,
        })
    }

    /// As sent.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Every reading, the raw one first.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.raw).chain(self.others.iter().map(String::as_str))
    }

    /// Whether it has one reading only.
    pub const fn is_plain(&self) -> bool {
        self.others.is_empty()
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

/// What servers make of `path` in one step, each with how often it was decoded.
fn readings_of(path: &str, decoded: u8) -> Result<Vec<(String, u8)>, Unreadable> {
    let mut next = Vec::with_capacity(8);
    if path.contains('%') {
        next.push((decode(path, decoded, Slashes::Decoded)?, decoded + 1));
        // Some decode all but these, and so count fewer segments where `..` leads back (`new URL` of Node; Tomcat where told to).
        if path.as_bytes().windows(3).any(|escape| escape.eq_ignore_ascii_case(b"%2f")) {
            next.push((decode(path, decoded, Slashes::Kept)?, decoded + 1));
        }
    }
    let mut add = |reading: String| next.push((reading, decoded));
    if path.contains(';') {
        add(without_params(path));
    }
    if path.contains('\\') {
        add(path.replace('\\', "/"));
    }
    // Decoded, it ends the path for who parses again.
    if let Some(end) = path.find(['?', '#']) {
        add(path[..end].to_owned());
    }
    if !path.is_ascii() {
        add(lookalike::ascii(path));
    }
    if let Some(rest) = after_authority(path) {
        add(rest.to_owned());
    }
    if path.contains("//") {
        add(merge_slashes(path));
    }
    if path.contains("/.") {
        add(remove_dots(path));
    }
    if path.contains([' ', '.']) {
        add(trim_segments(path));
    }
    Ok(next)
}

/// What becomes of an encoded slash where the rest is decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slashes {
    Decoded,
    Kept,
}

/// Percent-decodes what was decoded `before` times. Refuses what must never be decoded: malformed escapes of the client,
/// control characters, non-UTF-8. A second decoder only sees escapes that the first one left; where that is not an escape, it
/// stays. And what is escaped three times nobody means, but for a slash, which others may have left alone.
fn decode(path: &str, before: u8, slashes: Slashes) -> Result<String, Unreadable> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digit = |at: usize| after.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (byte, digit(0).zip(digit(1))) {
            (b'%', Some((high, low))) => {
                let decoded = u8::try_from(high * 16 + low).map_err(|_| Ambiguous)?;
                if (before > 1 && decoded != b'/') || decoded < b' ' || decoded == 0x7f {
                    return Err(Ambiguous);
                }
                if decoded == b'/' && slashes == Slashes::Kept {
                    out.push(byte);
                    continue;
                }
                out.push(decoded);
                rest = &after[2..];
            }
            (b'%', None) if before == 0 => return Err(Ambiguous),
            _ => out.push(byte),
        }
    }
    let decoded = String::from_utf8(out).map_err(|_| Ambiguous)?;
    // ASCII's were refused above; those of C1, such as U+0085, are what some servers trim.
    if decoded.chars().any(char::is_control) { Err(Ambiguous) } else { Ok(decoded) }
}

/// What is left of a path that begins with two slashes for who takes it for a reference to be resolved: the first name is a
/// host then (RFC 3986 section 4.2; `new URL(request.url, base)` of Node, `urlsplit` of Python).
fn after_authority(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("//")?.trim_start_matches('/');
    Some(rest.find('/').map_or("/", |at| &rest[at..]))
}

/// RFC 3986 section 3.3: what follows a `;` in a segment is parameters to some servers.
fn without_params(path: &str) -> String {
    let segments: Vec<&str> =
        path.split('/').map(|s| s.split_once(';').map_or(s, |(name, _)| name)).collect();
    segments.join("/")
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

/// RFC 3986 section 5.2.4.
fn remove_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Spaces around a segment are dropped, and dots at its end, as some file systems do; what is a dot segment then stays one.
fn trim_segments(path: &str) -> String {
    let trimmed = |segment| match str::trim_matches(segment, ' ') {
        dots @ ("." | "..") => dots,
        name => name.trim_end_matches(['.', ' ']),
    };
    path.split('/').map(trimmed).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    fn readings(path: &str) -> Vec<String> {
        Target::read(path.as_bytes()).map(|t| t.readings().map(str::to_owned).collect()).unwrap_or_default()
    }

    #[test]
    fn a_long_path_may_have_escapes_and_not_every_disguise() {
        let long = |part: &str| "/".to_owned() + &part.repeat(MAX_PATH / part.len() - 1);
        for part in ["caf%C3%A9/", "%41bc", "a.b/%2D"] {
            let path = long(part);
            assert!(path.len() > 8000 && Target::read(path.as_bytes()).is_ok(), "{part}");
        }
        let disguised = long("a;b//%2e./..;c%5c");
        assert_eq!(Target::read(disguised.as_bytes()), Err(Ambiguous));
        assert!(Target::read(b"/a;b//%2e./..;c%5c").is_ok(), "it is the length that is refused");
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
            // White space of Unicode, which `trim` drops.
            "/admin%e1%9a%80",
            "/%e2%80%a8admin/x",
            "/%e2%80%a9/admin",
            "/admin%25e2%2580%25a8",
            "/admin%c2%a0",
            // A3: the first name is a host to some.
            "//x/admin",
            "///x/admin/y",
            "//x/%2e%2e/%61dmin",
            "//x//admin",
            // T13: nothing is seen of them, or they lose their mark, or are one letter with another in capitals.
            "/adm%e2%80%aein",
            "/ad%cc%81min",
            "/%c3%a1dmin",
            "/adm%c4%b1n",
            "/adm%c4%b0n",
            "/a%c4%91min",
            "/%e2%88%95admin",
            "/public/..%e2%81%84admin",
            "/public/..%e2%88%96admin",
            // An encoded slash that stays one makes one segment of two.
            "/npm/@a%2fb/%2e%2e/%2e%2e/admin",
            "/npm/@a%2Fb/..%5c..%5cadmin",
            "/npm/@a%2fb/%252e%252e/%252e%252e/admin",
            "/npm/@a%252fb/%2e%2e/%2e%2e/admin",
            // One after the other, in any order.
            "/public/a/..;%5c..;%5cadmin",
            "/a%25zz/%252e%252e/admin",
            "/;%2fb/%61dmin",
            "/x;%252f..%2f/%61dmin",
        ] {
            let all = readings(path);
            assert!(
                all.iter().map(|r| r.to_ascii_lowercase()).any(|r| r == "/admin" || r.starts_with("/admin/")),
                "{path}: {all:?}"
            );
        }
    }

    #[test]
    fn dots_that_end_a_name_may_stay_where_dot_segments_go() {
        let all = readings("/admin/../admin..");
        for reading in ["/admin/../admin..", "/admin..", "/admin"] {
            assert!(all.iter().any(|known| known == reading), "{reading}: {all:?}");
        }
        let all = readings("/x/%20..%20/a%20/..");
        for reading in ["/x/ .. /", "/x/../a/..", "/"] {
            assert!(all.iter().any(|known| known == reading), "{reading}: {all:?}");
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
            "/%25zz/%25252e%25252e/y",
            "/admin%2500",
            "/%25c0%25af",
            "/admin%c2%85",
            "/%c2%80admin",
            "/admin%25c2%259f",
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
