//! Transformations that servers apply to a path, one step each.

use super::Unreadable::{self, Ambiguous};
use super::lookalike;
use crate::text::escaped_byte;

/// Returns the results of one step on `path`, each with its number of decodings.
pub(super) fn readings_of(path: &str, decoded: u8) -> Result<Vec<(String, u8)>, Unreadable> {
    let mut next = Vec::with_capacity(12);
    if path.contains('%') {
        next.push((decode(path, decoded, Slashes::Decoded)?, decoded + 1));
        // Some servers decode everything except slashes, and so remove fewer segments at `..` (`new URL` of Node;
        // Tomcat if configured so).
        if has_escape(path, *b"2f") {
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
    // Once decoded, it ends the path for a server that parses again.
    if let Some(end) = path.find(['?', '#']) {
        add(path[..end].to_owned());
    }
    if !path.is_ascii() {
        add(lookalike::ascii(path));
        // Invisible to some servers, and a hyphen in code pages of Windows (CVE-2024-4577).
        if path.contains('\u{ad}') {
            add(path.replace('\u{ad}', "-"));
        }
    }
    if has_plus_at_an_end(path) {
        add(path.replace('+', " "));
    }
    if path.contains(":$") {
        add(without_streams(path));
    }
    if path.contains("/(") {
        remove_cookies(path, &mut add);
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

/// Handling of an encoded slash when the rest is decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slashes {
    Decoded,
    Kept,
}

/// Percent-decodes a path that was decoded `before` times. Refuses malformed escapes from the client, control
/// characters and non-UTF-8. A second decoder only sees escapes that the first one left; text that is not an escape
/// stays. A third decoding is refused except for a slash, which the earlier ones may have kept.
fn decode(path: &str, before: u8, slashes: Slashes) -> Result<String, Unreadable> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, escaped_byte(after)) {
            (b'%', Some(decoded)) => {
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
    // ASCII control characters were refused above; some servers trim those of C1, such as U+0085.
    if decoded.chars().any(char::is_control) { Err(Ambiguous) } else { Ok(decoded) }
}

/// Returns whether a path contains an escape with these two digits, given in lower case.
pub(super) fn has_escape(path: &str, digits: [u8; 2]) -> bool {
    let bytes = path.as_bytes();
    let mut escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    escapes.any(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|found| found.eq_ignore_ascii_case(&digits)))
}

/// Returns whether a segment starts or ends with a plus. Servers that decode paths like forms read it as a space, and
/// spaces around a segment are dropped. A plus between letters changes no name that a route may have.
fn has_plus_at_an_end(path: &str) -> bool {
    path.contains('+') && path.split('/').any(|segment| segment.starts_with('+') || segment.ends_with('+'))
}

/// Removes NTFS streams: `name:stream:$TYPE` and `name::$DATA` are `name`, and so is `name:$I30:$INDEX_ALLOCATION` of a
/// folder.
fn without_streams(path: &str) -> String {
    map_segments(path, |segment| match segment.split_once(':') {
        Some((name, stream)) if stream.starts_with('$') || stream.contains(":$") => name,
        _ => segment,
    })
}

/// Removes the first or the last cookie segment of ASP.NET (`/(S(id))/x`). One whose segment continues is removed with its
/// slash, and without (CVE-2023-36899).
fn remove_cookies(path: &str, add: &mut impl FnMut(String)) {
    let cookie = |(at, _): (usize, &str)| cookie_length(&path[at + 1..]).map(|length| (at, at + 1 + length));
    let first = path.match_indices("/(").find_map(cookie);
    let last = path.rmatch_indices("/(").find_map(cookie).filter(|last| Some(*last) != first);
    for (start, end) in first.into_iter().chain(last) {
        let (before, after) = (&path[..start], &path[end..]);
        let continues = !after.is_empty() && !after.starts_with('/');
        if continues || (before.is_empty() && after.is_empty()) {
            add(format!("{before}/{after}"));
        }
        if after.starts_with('/') || !before.is_empty() {
            add(format!("{before}{after}"));
        }
    }
}

/// Returns the length of the cookies at the start of a segment: in parentheses, one or more values in parentheses, each after
/// one letter.
fn cookie_length(segment: &str) -> Option<usize> {
    let bytes = segment.as_bytes();
    let mut at = 1;
    loop {
        let opens = bytes.get(at)?.is_ascii_alphabetic() && bytes.get(at + 1) == Some(&b'(');
        let end = bytes.get(at + 2..)?.iter().position(|byte| matches!(byte, b')' | b'/'))? + at + 2;
        if !opens || bytes[end] == b'/' {
            return None;
        }
        at = end + 1;
        if bytes.get(at) == Some(&b')') {
            return Some(at + 1);
        }
    }
}

/// Applies `change` to each segment of a path, in one pass.
fn map_segments<'p>(path: &'p str, change: impl Fn(&'p str) -> &'p str) -> String {
    let mut out = String::with_capacity(path.len());
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        out.push_str(change(segment));
    }
    out
}

/// Returns the path after an authority, for servers that resolve a path with two leading slashes as a reference: the
/// first name is then a host (RFC 3986 section 4.2; `new URL(request.url, base)` of Node, `urlsplit` of Python).
fn after_authority(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("//")?.trim_start_matches('/');
    Some(rest.find('/').map_or("/", |at| &rest[at..]))
}

/// Removes parameters: some servers treat what follows a `;` in a segment as such (RFC 3986 section 3.3).
fn without_params(path: &str) -> String {
    map_segments(path, |segment| segment.split_once(';').map_or(segment, |(name, _)| name))
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for segment in path.split_inclusive('/') {
        if segment != "/" || !out.ends_with('/') {
            out.push_str(segment);
        }
    }
    out
}

/// Removes dot segments (RFC 3986 section 5.2.4).
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

/// Drops spaces around a segment and dots at its end, as some file systems do. A dot segment with spaces becomes a dot
/// segment.
fn trim_segments(path: &str) -> String {
    map_segments(path, |segment| match str::trim_matches(segment, ' ') {
        dots @ ("." | "..") => dots,
        name => name.trim_end_matches(['.', ' ']),
    })
}
