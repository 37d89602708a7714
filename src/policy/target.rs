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

use crate::text::has_prefix_ignoring_case;
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
        let encoded_slash = has_escape(raw, *b"2f")
            || raw.split("%25").skip(1).any(|rest| has_prefix_ignoring_case(rest.as_bytes(), b"2f"));
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
mod tests;
