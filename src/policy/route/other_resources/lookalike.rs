//! Other names that servers accept for the same resource and that no reading of the path shows.

/// Extensions of scripts that take the rest of the path as an argument (`PATH_INFO`, RFC 3875 section 4.1.5).
const SCRIPTS: &[&str] = &[
    "php", "php3", "php4", "php5", "php7", "php8", "phtml", "cgi", "fcgi", "fpl", "pl", "py", "rb", "asp",
    "aspx", "ashx", "jsp", "cfm", "exe", "dll",
];

/// Returns the paths seen by a script, or by a server that hides the script: `/a/index.php/b` is `/b`, and `/a/b`. Both
/// the first and the last script count, as servers differ in which one they use.
pub(super) fn without_script(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    if !path.contains('.') {
        return names;
    }
    let mut scripts = Vec::new();
    let mut start = 1;
    while let Some(length) = path.get(start..).and_then(|rest| rest.find('/')) {
        let end = start + length;
        if is_script(&path[start..end]) {
            scripts.push((start, end));
        }
        start = end + 1;
    }
    let first = scripts.first();
    let last = scripts.last().filter(|last| Some(*last) != first);
    for &(start, end) in first.into_iter().chain(last) {
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
/// something that is no part of a name (`/users.json`, `/Users('ada')`, `/users:batch`, `/users~`), or it lies below an
/// exact path.
pub(super) fn resembles(reading: &str, path: &str, exact: bool) -> bool {
    if path == "/" {
        return false;
    }
    let (reading, path) = (reading.as_bytes(), path.as_bytes());
    let has_prefix = reading.get(..path.len()).is_some_and(|head| head.eq_ignore_ascii_case(path));
    has_prefix
        && match reading.get(path.len()) {
            None => false,
            Some(b'/') => exact,
            Some(byte) => !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || !byte.is_ascii()),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_name_is_removed_from_the_path() {
        for (path, names) in [
            ("/index.php/app/admin", &["/app/admin"][..]),
            ("/a/INDEX.PHP/b", &["/b", "/a/b"]),
            ("/cgi-bin/x.cgi/a/y.pl/b", &["/a/y.pl/b", "/cgi-bin/a/y.pl/b", "/b", "/cgi-bin/x.cgi/a/b"]),
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
