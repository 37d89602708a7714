//! Request targets, read in every way that a server behind the gateway might read them.
//!
//! The bytes are forwarded unchanged (RFC 9110 section 7.7). The routing decision must hold for every plausible reading
//! of them, or the request is refused. Readings apply these steps in any order: percent-decoding once and twice, with
//! or without slashes; removing `;params`; backslash as slash; ending at a decoded `?` or `#`; dropping a host after
//! two slashes; merging slashes; removing dot segments; mapping non-ASCII characters to the ASCII they resemble; a plus
//! at an end of a segment as a space; removing NTFS streams and cookie segments of ASP.NET. The route table handles letter case.

mod lookalike;
mod steps;

use std::collections::HashSet;

use steps::{has_escape, readings_of};

/// Maximum length of a path. RFC 9112 section 3 recommends at least 8,000 bytes.
pub const MAX_PATH: usize = 8192;

/// Maximum number of readings of a path. A path with escapes, parameters, marks, empty and dot segments has 40; one
/// with twice as many is built on purpose, and each reading costs work.
const MAX_READINGS: usize = 100;

/// Maximum total length of all readings, which bounds the work for an unauthenticated request. The longest path with
/// escapes needs 22 KiB. Target and `Destination` of one request share both limits.
const MAX_READING_BYTES: usize = 3 * MAX_PATH;

/// A request path with at least one valid reading and no forbidden one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path as sent.
    raw: &'a str,
    /// Other readings, if any.
    others: Vec<String>,
    /// Whether it contains an encoded slash (`%2F`, `%252F`).
    encoded_slash: bool,
    /// Number of bytes read and written to find the other readings.
    work: usize,
}

/// Reason why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has conflicting or forbidden readings.
    #[error("the request target can be read in more than one way")]
    Ambiguous,
    /// It is longer than [`MAX_PATH`].
    #[error("the request target is too long")]
    TooLong,
}
use Unreadable::{Ambiguous, TooLong};

impl<'a> Target<'a> {
    /// Parses the path of an origin-form target, without its query.
    ///
    /// # Errors
    /// `TooLong` beyond [`MAX_PATH`] bytes. `Ambiguous` for input that no reading makes safe: no leading slash, control
    /// characters, spaces, raw backslashes, `%00`, `%0A`, `%0D`, malformed or non-UTF-8 escapes, non-ASCII bytes.
    pub fn read(raw: &'a [u8]) -> Result<Self, Unreadable> {
        Self::read_within(raw, (MAX_READINGS, MAX_READING_BYTES))
    }

    /// Parses a second path of the request for `first`. The limits hold for the readings of both together; a plain path does
    /// not count.
    ///
    /// # Errors
    /// As [`Target::read`].
    pub fn read_beside(raw: &'a [u8], first: &Target<'_>) -> Result<Self, Unreadable> {
        if first.is_plain() {
            return Self::read(raw);
        }
        let bytes = first.readings().map(str::len).sum();
        let readings = MAX_READINGS.saturating_sub(first.readings().count());
        Self::read_within(raw, (readings, MAX_READING_BYTES.saturating_sub(bytes)))
    }

    /// Parses a path with a maximum number of readings, and of their bytes.
    fn read_within(raw: &'a [u8], limits: (usize, usize)) -> Result<Self, Unreadable> {
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
            return Ok(Self { raw, others: Vec::new(), encoded_slash: false, work: raw.len() });
        }
        Self::read_slowly(raw, limits)
    }

    /// Applies every step to every reading until no new reading appears, since servers may apply steps in any order.
    fn read_slowly(raw: &'a str, (max_readings, max_bytes): (usize, usize)) -> Result<Self, Unreadable> {
        // Encoded twice, it is `%252F`.
        let encoded_slash =
            has_escape(raw, *b"2f") || raw.split("%25").skip(1).any(|rest| has_prefix(rest, b"2f"));
        let mut found = vec![(raw.to_owned(), 0)];
        let mut seen = HashSet::from([raw.to_owned()]);
        let (mut at, mut bytes, mut work) = (0, raw.len(), raw.len());
        while let Some((reading, decoded)) = found.get(at).cloned() {
            work += reading.len();
            for next in readings_of(&reading, decoded)? {
                work += next.0.len();
                if !seen.contains(&next.0) {
                    bytes += next.0.len();
                    seen.insert(next.0.clone());
                    found.push(next);
                }
                if found.len() > max_readings || bytes > max_bytes {
                    return Err(Ambiguous);
                }
            }
            at += 1;
        }
        Ok(Self {
            raw,
            others: found.into_iter().skip(1).map(|(reading, _)| reading).collect(),
            encoded_slash,
            work,
        })
    }

    /// Returns the number of bytes read and written to find the readings. It is bounded, and linear in the length of
    /// the path.
    pub const fn work(&self) -> usize {
        self.work
    }

    /// Returns the path as sent.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Returns every reading, the raw one first.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.raw).chain(self.others.iter().map(String::as_str))
    }

    /// Returns whether it has only one reading.
    pub const fn is_plain(&self) -> bool {
        self.others.is_empty()
    }

    /// Returns whether it contains an encoded slash, which passes only if the route allows it.
    pub const fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }
}

fn has_prefix(text: &str, prefix: &[u8]) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Returns whether a path has only one reading: no escapes, parameters, dot segments or empty segments.
fn is_plain(path: &str) -> bool {
    let mut previous = b' ';
    let bytes = path.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'%' | b';' => return false,
            b'(' if previous == b'/' => return false,
            b':' if bytes.get(at + 1) == Some(&b'$') => return false,
            b'+' if previous == b'/' || matches!(bytes.get(at + 1), None | Some(b'/')) => return false,
            b'/' if previous == b'/' => return false,
            // A segment that starts with a dot might be a dot segment; `.well-known` is not.
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

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(in crate::policy) use tests::hostile;
#[cfg(test)]
mod tests {
    use super::*;

    fn readings(path: &str) -> Vec<String> {
        Target::read(path.as_bytes()).map(|t| t.readings().map(str::to_owned).collect()).unwrap_or_default()
    }

    #[test]
    fn long_path_may_have_escapes_but_not_every_disguise() {
        let long = |part: &str| "/".to_owned() + &part.repeat(MAX_PATH / part.len() - 1);
        for part in ["caf%C3%A9/", "%41bc", "a.b/%2D"] {
            let path = long(part);
            assert!(path.len() > 8000 && Target::read(path.as_bytes()).is_ok(), "{part}");
        }
        let disguised = long("a;b//%2e./..;c%5c");
        assert_eq!(Target::read(disguised.as_bytes()), Err(Ambiguous));
        assert!(Target::read(b"/a;b//%2e./..;c%5c").is_ok(), "the short one is accepted");
    }

    #[test]
    fn plain_path_has_one_reading() {
        for path in [
            "/",
            "/a/b",
            "/a/",
            "/.well-known/x",
            "/a.b/c-d_e~f",
            "/@scope/name",
            "/v1/x:y",
            "/(x)/a",
            "/a(S(x))/b",
            "/..a/b",
        ] {
            let plain = readings(path);
            assert!(plain.contains(&path.to_owned()), "{path}");
            if path != "/..a/b" {
                assert_eq!(plain.len(), 1, "{path}: {plain:?}");
            }
        }
    }

    #[test]
    fn every_disguise_of_admin_reads_as_admin() {
        // T08-T12, T14: readings by all common decoders.
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
            "/admin+",
            "/admin+/x",
            "/+admin",
            "/admin%2b",
            "/admin+.",
            "/admin;x+",
            "/public/..+/admin",
            "/admin::$DATA",
            "/admin::$data/x",
            "/admin:x:$DATA",
            "/admin%3a%3a%24DATA",
            "/admin:$I30:$INDEX_ALLOCATION/x",
            "/admin::$INDEX_ALLOCATION",
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
            // Unicode white space, which `trim` drops.
            "/admin%e1%9a%80",
            "/%e2%80%a8admin/x",
            "/%e2%80%a9/admin",
            "/admin%25e2%2580%25a8",
            "/admin%c2%a0",
            // A3: some servers read the first name as a host.
            "//x/admin",
            "///x/admin/y",
            "//x/%2e%2e/%61dmin",
            "//x//admin",
            // T13: invisible characters, letters with marks, and letters that differ only in case folding.
            "/adm%e2%80%aein",
            "/ad%cc%81min",
            "/%c3%a1dmin",
            "/adm%c4%b1n",
            "/adm%c4%b0n",
            "/a%c4%91min",
            // Best-fit characters of Windows code pages.
            "/%ce%b1dmin",
            "/%ce%b1%ce%b4min",
            "/adm%c4%b1%e2%88%a9",
            "/admi%e2%81%bf",
            "/public/..%c2%a5admin",
            "/public/..%e2%82%a9admin",
            "/public%e2%81%84..%e2%81%84admin",
            "/%e2%88%95admin",
            "/public/..%e2%81%84admin",
            "/public/..%e2%88%96admin",
            // An encoded slash that is kept joins two segments into one.
            "/npm/@a%2fb/%2e%2e/%2e%2e/admin",
            "/npm/@a%2Fb/..%5c..%5cadmin",
            "/npm/@a%2fb/%252e%252e/%252e%252e/admin",
            "/npm/@a%252fb/%2e%2e/%2e%2e/admin",
            // ASP.NET: cookies in the path.
            "/(S(x))/admin",
            "/(A(x))/admin",
            "/(F(x))/admin",
            "/(A(x)S(y))/admin",
            "/(s(x))/admin/y",
            "/%28S%28x%29%29/admin",
            "/%2528S(x))/admin",
            "/public/(S(x))/../(F(y))/../admin",
            "/(S(x))/(S(y))/admin",
            "/ad/(S(x))min",
            "/(S(x))admin",
            "/admin/(S(x))",
            "/(S())/admin",
            // Several steps, in any order.
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
    fn cookie_segments_are_removed_one_by_one() {
        let all = readings("/p/q/(S(1))/(F(2))/../../admin");
        for reading in ["/p/q/admin", "/p/admin", "/admin"] {
            assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
        }
        for path in ["/(x)/a", "/(S)/a", "/(SS(x))/a", "/(S(x)/a", "/(S(x)y)/a", "/a(S(x))/a", "/()/a"] {
            assert_eq!(readings(path).len(), 1, "{path}");
        }
    }

    #[test]
    fn trailing_dots_may_stay_when_dot_segments_are_removed() {
        let all = readings("/admin/../admin..");
        for reading in ["/admin/../admin..", "/admin..", "/admin"] {
            assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
        }
        let all = readings("/x/%20..%20/a%20/..");
        for reading in ["/x/ .. /", "/x/../a/..", "/"] {
            assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
        }
    }

    #[test]
    fn unsafe_targets_are_refused() {
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
    fn soft_hyphen_is_read_both_ways() {
        let all = readings("/app%C2%ADadmin");
        for reading in ["/app-admin", "/appadmin"] {
            assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
        }
        assert!(readings("/app%E2%80%91admin").contains(&"/app-admin".to_owned()));
    }

    #[test]
    fn pluses_and_colons_of_ordinary_names_have_one_reading() {
        for path in ["/c+d", "/v1.0+build/x", "/v1/x:y", "/a:b@c", "/x:", "/$metadata", "/a$:b"] {
            assert_eq!(readings(path).len(), 1, "{path}");
        }
    }

    /// Paths built to be expensive, of a given length.
    pub(in crate::policy) fn hostile(length: usize) -> Vec<String> {
        let repeated = |begin: &str, part: &str, end: &str| {
            let count = length.saturating_sub(begin.len() + end.len()) / part.len();
            format!("{begin}{}{end}", part.repeat(count))
        };
        [
            ("/zz/", "A/", "%41;/"),
            ("/", "A/", "%41"),
            ("/", "%41", ""),
            ("/", "%2541", ""),
            ("/", "/", "%41;+"),
            ("/", "a;b/", "%2e"),
            ("/", "a./", "%2e"),
            ("/", "../", "%2e"),
            ("/", "%2e%2e/", ""),
            ("/", "+/", "%41"),
            ("/", "a:$/", "%41;"),
            ("/", "%c3%a9", ""),
            ("/", "%ef%b7%ba", ""),
            ("/", "%c2%ad", ""),
            ("/", "%5c", ""),
            ("/", "%2f", ""),
            ("/", "%252f", ""),
            ("/", "%3f", ""),
            ("//x/", "//", "%41"),
            ("/st/", ";/", ""),
            ("/", "(S(x))/", ""),
            ("/(S(x))/(S(x))", "/(S(x))a", ""),
            ("/", "(S(x", ""),
            ("/", "ADMINI~1/", "%41"),
            ("/cgi-bin", "/x.php", "/%41;"),
            ("/", "a;b//%2e./..;c%5c", ""),
        ]
        .map(|(begin, part, end)| repeated(begin, part, end))
        .to_vec()
    }

    #[test]
    fn work_on_a_path_is_linear_and_bounded() {
        for (short, long) in hostile(MAX_PATH / 8).iter().zip(hostile(MAX_PATH)) {
            let (Ok(short), Ok(read)) = (Target::read(short.as_bytes()), Target::read(long.as_bytes()))
            else {
                continue;
            };
            // Eight times the length costs at most nine times the work.
            assert!(read.work() <= 9 * short.work(), "{}: {} {}", &long[..20], short.work(), read.work());
            assert!(read.work() <= 24 * long.len(), "{}: {}", &long[..20], read.work());
        }
        // As many and as long readings as are allowed.
        for count in 1..24 {
            let path = format!("/{}", "%41;+.//%5cA::$%c3%a9/".repeat(count));
            let Ok(read) = Target::read(path.as_bytes()) else { continue };
            assert!(read.work() <= 12 * MAX_READING_BYTES, "{count}: {}", read.work());
        }
    }

    #[test]
    fn second_path_shares_the_limits_of_the_first() {
        for length in [512, 2048, MAX_PATH / 2, MAX_PATH - 100] {
            for first in hostile(length) {
                let Ok(first) = Target::read(first.as_bytes()) else { continue };
                for second in hostile(length) {
                    let Ok(second) = Target::read_beside(second.as_bytes(), &first) else { continue };
                    let work = first.work() + second.work();
                    assert!(work <= 12 * MAX_READING_BYTES, "{length}: {work}");
                    let readings = first.readings().count() + second.readings().count();
                    assert!(readings <= MAX_READINGS + 1, "{length}: {readings}");
                }
            }
        }
    }

    #[test]
    fn encoded_slash_is_detected_at_both_depths() {
        for (path, has) in [("/@scope%2fname", true), ("/a%252Fb", true), ("/a%2eb", false)] {
            assert_eq!(Target::read(path.as_bytes()).unwrap().has_encoded_slash(), has, "{path}");
        }
    }
}
