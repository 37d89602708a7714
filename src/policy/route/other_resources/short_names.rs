//! Short file names of NTFS: `ADMINI~1` is `administration` to a server on Windows.

/// Position of a path with short names, in relation to the path of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Below the path of the route.
    Below,
    /// The path of the route itself.
    Same,
    /// Above it: the route is for a member.
    Above,
}

/// Returns whether a path may have short names.
pub(super) fn are_in(path: &str) -> bool {
    path.as_bytes().windows(2).any(|pair| pair[0] == b'~' && pair[1].is_ascii_digit())
}

/// Returns the position of `reading` if at least one of its segments is a short name for a segment of `path` and all others
/// match. It reads no more segments than `path` has.
pub(super) fn position(reading: &str, path: &str) -> Option<Position> {
    let mut here = reading.trim_start_matches('/').split('/').peekable();
    let mut there = path.split('/').filter(|segment| !segment.is_empty());
    let mut has_short_name = false;
    let position = loop {
        let segment = here.next().filter(|segment| !segment.is_empty() || here.peek().is_some());
        match (segment, there.next()) {
            (None, None) => break Position::Same,
            (Some(_), None) => break Position::Below,
            (None, Some(_)) => break Position::Above,
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => {}
            (Some(one), Some(other)) if may_stand_for(one, other) => has_short_name = true,
            (Some(_), Some(_)) => return None,
        }
    };
    has_short_name.then_some(position)
}

/// Returns whether `segment` may be the short name of a file `long`: `ADMINI~1`, or `AD3F2A~1` with four digits of a hash, each
/// with an extension of at most three characters.
fn may_stand_for(segment: &str, long: &str) -> bool {
    let (name, extension) = segment.split_once('.').unwrap_or((segment, ""));
    let Some((base, number)) = name.rsplit_once('~') else { return false };
    let is_short = extension.len() <= 3
        && !extension.contains('.')
        && matches!(base.len(), 1..=6)
        && !number.is_empty()
        && base.len() + number.len() <= 7
        && number.bytes().all(|byte| byte.is_ascii_digit());
    let base = base.as_bytes();
    is_short
        && (begins(long, base)
            || (base.len() == 6 && base[2..].iter().all(u8::is_ascii_hexdigit) && begins(long, &base[..2])))
}

/// Returns whether NTFS makes a short name of `long` that begins with `base`. It drops spaces and dots, and replaces characters
/// that short names cannot have by `_`.
fn begins(long: &str, base: &[u8]) -> bool {
    let kept = long.bytes().filter(|byte| !matches!(byte, b' ' | b'.'));
    let mut written =
        kept.map(|byte| if b"+,;=[]".contains(&byte) { b'_' } else { byte.to_ascii_lowercase() });
    base.iter().all(|byte| written.next() == Some(byte.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_name_stands_for_names_that_begin_like_it() {
        for (segment, long, expected) in [
            ("ADMINI~1", "administration", true),
            ("admini~9", "Administration", true),
            ("ADMI~100", "administration", true),
            ("ADMINI~1.HTM", "administration.html", true),
            ("HTACCE~1", ".htaccess", true),
            ("ANNUAL~1", "annual report", true),
            ("A_B~1", "a+b", true),
            ("AD12EF~1", "administration", true),
            ("AD12EG~1", "administration", false),
            ("ADMINS~1", "administration", false),
            ("ADMINIS~1", "administration", false),
            ("ADMINI~12", "administration", false),
            ("ADMINI~1.HTML", "administration.html", false),
            ("~1", "administration", false),
            ("administration", "administration", false),
        ] {
            assert_eq!(may_stand_for(segment, long), expected, "{segment} {long}");
        }
    }

    #[test]
    fn position_compares_whole_segments() {
        for (reading, position_there) in [
            ("/app/REPORT~1", Some(Position::Same)),
            ("/APP/REPORT~1/", Some(Position::Same)),
            ("/app/REPORT~1/x", Some(Position::Below)),
            ("/APP~1", Some(Position::Above)),
            ("/APP~1/", Some(Position::Above)),
            ("/app/reports", None),
            ("/app", None),
            ("/REPORT~1", None),
            ("/", None),
        ] {
            assert_eq!(position(reading, "/app/reports"), position_there, "{reading}");
        }
        assert_eq!(position("/REPORT~1", "/"), None);
    }
}
