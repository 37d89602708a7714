//! Other names that servers accept for the same resource and that no reading of the path shows.

use crate::text::has_prefix_ignoring_case;

/// Extensions of scripts that take the rest of the path as an argument (`PATH_INFO`, RFC 3875 section 4.1.5).
const SCRIPTS: &[&str] = &[
    "php", "php3", "php4", "php5", "php7", "php8", "phtml", "cgi", "fcgi", "fpl", "pl", "py", "rb", "asp",
    "aspx", "ashx", "jsp", "cfm", "exe", "dll", "phar", "pht", "wsgi", "cfc", "shtml", "lua", "sh", "tcl",
    "svc", "asmx", "axd", "do", "nsf",
];

/// Directories whose files are all scripts. A script may lie in a subdirectory, so each of the next two segments counts as one.
const SCRIPT_DIRECTORIES: &[&str] = &["cgi-bin", "fcgi-bin"];

/// Returns the paths seen by a script, or by a server that hides the script: `/a/index.php/b` is `/b`, and `/a/b`. The
/// first two scripts and the last count, as servers differ in which one they use.
pub(super) fn without_script(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    if !path.contains(['.', '-']) {
        return names;
    }
    let mut scripts = Vec::new();
    let mut in_directory = 0_u8;
    let mut start = 1;
    while let Some(length) = path.get(start..).and_then(|rest| rest.find('/')) {
        let end = start + length;
        let segment = &path[start..end];
        if in_directory > 0 || is_script(segment) {
            scripts.push((start, end));
        }
        let is_directory = SCRIPT_DIRECTORIES.iter().any(|known| known.eq_ignore_ascii_case(segment));
        in_directory = if is_directory { 2 } else { in_directory.saturating_sub(1) };
        start = end + 1;
    }
    let last = scripts.iter().skip(2).last();
    for &(start, end) in scripts.iter().take(2).chain(last) {
        names.push(path[end..].to_owned());
        if start > 1 {
            names.push(format!("{}{}", &path[..start - 1], &path[end..]));
        }
    }
    names
}

fn is_script(segment: &str) -> bool {
    segment
        .rsplit_once('.')
        .is_some_and(|(_, extension)| SCRIPTS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// Returns whether servers may take `reading` for the resource at `path`. Either its last segment continues with
/// something that is no part of a name (`/users.json`, `/Users('ada')`, `/users:batch`, `/users~`), or it is a backup or
/// lock file of an editor (`/.users.swp`, `/#users#`), or it lies below an exact path.
pub(super) fn resembles(reading: &str, path: &str, exact: bool) -> bool {
    if path == "/" {
        return false;
    }
    let (reading, path) = (reading.as_bytes(), path.as_bytes());
    if has_prefix_ignoring_case(reading, path) {
        return match reading.get(path.len()) {
            None => false,
            Some(b'/') => exact,
            Some(byte) => ends_name(*byte),
        };
    }
    is_editor_file(reading, path)
}

const fn ends_name(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || !byte.is_ascii())
}

/// Returns whether the name has one or two marks in front: `.users.swp`, `.#users` and `#users#` of editors, `._users` of macOS,
/// `~$users` of Office.
fn is_editor_file(reading: &[u8], path: &[u8]) -> bool {
    const fn is_mark(byte: u8) -> bool {
        matches!(byte, b'.' | b'#' | b'~' | b'$')
    }
    let (directory, name) = path.split_at(path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1));
    if !has_prefix_ignoring_case(reading, directory) {
        return false;
    }
    let file = &reading[directory.len()..];
    (1..=2).any(|length| {
        file.split_at_checked(length).is_some_and(|(marks, rest)| {
            is_mark(marks[0])
                && marks[1..].iter().all(|&byte| byte == b'_' || is_mark(byte))
                && has_prefix_ignoring_case(rest, name)
                && rest.get(name.len()).is_none_or(|&byte| byte == b'/' || ends_name(byte))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_name_is_removed_from_the_path() {
        for (path, names) in [
            ("/index.php/app/admin", &["/app/admin"][..]),
            ("/a/INDEX.PHP/b", &["/b", "/a/b"]),
            ("/bin/x.cgi/a/y.pl/b", &["/a/y.pl/b", "/bin/a/y.pl/b", "/b", "/bin/x.cgi/a/b"]),
            (
                "/x.pl/y.pl/z.pl/a.pl/b",
                &["/y.pl/z.pl/a.pl/b", "/z.pl/a.pl/b", "/x.pl/z.pl/a.pl/b", "/b", "/x.pl/y.pl/z.pl/b"],
            ),
            ("/x.Phar/b", &["/b"]),
            ("/cgi-bin/x/b", &["/b", "/cgi-bin/b"]),
            ("/a/cgi-bin/x/b", &["/b", "/a/cgi-bin/b"]),
            ("/cgi-bin/x/y/b", &["/y/b", "/cgi-bin/y/b", "/b", "/cgi-bin/x/b"]),
            ("/cgi-bin/x", &[]),
            ("/cgi-binary/x/b", &[]),
            ("/index.php", &[]),
            ("/a.b/c", &[]),
            ("/index.php/", &["/"]),
            ("/", &[]),
        ] {
            assert_eq!(without_script(path), names, "{path}");
        }
    }

    #[test]
    fn name_with_a_suffix_resembles_the_name() {
        for (reading, resembling) in [
            ("/api/users.json", true),
            ("/API/Users.JSON/x", true),
            ("/api/users('ada')", true),
            ("/api/users:batch", true),
            ("/api/users~", true),
            ("/api/users", false),
            ("/api/users/x", false),
            ("/api/users-list", false),
            ("/api/users2", false),
            ("/api/users_old.json", false),
            ("/api/user.json", false),
        ] {
            assert_eq!(resembles(reading, "/api/users", false), resembling, "{reading}");
        }
        assert!(resembles("/app/report/anything", "/app/report", true));
        assert!(!resembles("/.x", "/", false));
    }
}
