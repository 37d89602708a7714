//! Our cookies: their names, and how a `Cookie` header is read and rid of them.
//!
//! Names are compared byte for byte: browsers do not fold case or trim Unicode space, so neither do we
//! (RFC 6265bis section 5.6; planted look-alikes are other cookies). Fields are bytes: clients send an app's cookie
//! as they were given it, ASCII or not, and one that is not must not hide ours.

use std::time::Duration;

/// The names of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Carries the access token.
    pub access: &'static str,
    /// Carries the refresh token.
    pub refresh: &'static str,
    /// Ties the sign-in form to the browser it was shown in.
    pub visit: &'static str,
    /// By which a browser that has signed in before is known. Sent to our own endpoints alone, which `__Host-` does not
    /// allow; one that is planted is not signed, and does no harm beside the real one.
    pub device: &'static str,
}

/// Cookies of one host: no other can set them.
pub const HOST: Names = Names {
    access: "__Host-doorward-access",
    refresh: "__Host-doorward-refresh",
    visit: "__Host-doorward-visit",
    device: "__Secure-doorward-device",
};
/// Cookies that the hosts of one domain share.
pub const SHARED: Names = Names {
    access: "__Secure-doorward-access",
    refresh: "__Secure-doorward-refresh",
    visit: "__Secure-doorward-visit",
    device: "__Secure-doorward-device",
};
/// What begins like this is ours, in use or not.
const OURS: [&str; 2] = ["__Host-doorward-", "__Secure-doorward-"];

/// A cookie of ours as browsers are told of it: without `life` it ends with the browser, of zero length it is deleted.
pub fn set(name: &str, value: &str, domain: Option<&str>, life: Option<Duration>) -> String {
    set_below("/", name, value, domain, life)
}

/// The same, sent only to what is below `path`.
pub fn set_below(
    path: &str,
    name: &str,
    value: &str,
    domain: Option<&str>,
    life: Option<Duration>,
) -> String {
    let mut cookie = format!("{name}={value}; Path={path}; Secure; HttpOnly; SameSite=Lax");
    if let Some(domain) = domain {
        cookie.push_str("; Domain=");
        cookie.push_str(domain);
    }
    if let Some(life) = life {
        cookie.push_str(&format!("; Max-Age={}", life.as_secs()));
    }
    cookie
}

/// What a request's cookies say about one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// Not there, or empty.
    None,
    /// Once.
    One(&'a str),
    /// More than once: one of them was planted, and which is not known, so neither counts (T50).
    Several,
}

/// Finds the cookie `name` in the values of all `Cookie` fields.
pub fn find<'a>(fields: impl Iterator<Item = &'a [u8]>, name: &str) -> Found<'a> {
    let mut found = Found::None;
    for (_, value) in fields.flat_map(pairs).filter(|(known, _)| *known == name.as_bytes()) {
        // Ours are ASCII: what is not even text is no token.
        let value = std::str::from_utf8(value).unwrap_or_default();
        match found {
            Found::None if value.is_empty() => {}
            Found::None => found = Found::One(value),
            Found::One(_) | Found::Several => return Found::Several,
        }
    }
    found
}

/// The values of every cookie `name`: for what proves itself, so that a planted one beside it does no harm. At most `most`.
pub fn all<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    name: &str,
    most: usize,
) -> impl Iterator<Item = &'a str> {
    let named = fields.flat_map(pairs).filter(move |(known, _)| *known == name.as_bytes());
    named.filter_map(|(_, value)| std::str::from_utf8(value).ok()).take(most)
}

/// The fields joined into one, without our cookies. `None` when nothing is left.
pub fn without_ours<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for piece in fields.flat_map(pieces) {
        let name = halves(piece).map_or(piece, |(name, _)| name.trim_ascii());
        // Look-alikes in another case are dropped too: an app that folds case must not see a planted one.
        if piece.is_empty() || is_ours(name) {
            continue;
        }
        if !out.is_empty() {
            // RFC 9113 section 8.2.3: crumbs are joined with "; ".
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(piece);
    }
    (!out.is_empty()).then_some(out)
}

fn pieces(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|&b| b == b';').map(<[u8]>::trim_ascii)
}

fn pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(field).filter_map(halves)
}

fn halves(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = piece.iter().position(|&b| b == b'=')?;
    Some((&piece[..at], &piece[at + 1..]))
}

fn is_ours(name: &[u8]) -> bool {
    let begins = |prefix: &&str| {
        name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    OURS.iter().any(begins)
}

/// Whether a `Set-Cookie` value of an app would set a cookie of ours (T07).
pub fn sets_ours(set_cookie: &[u8]) -> bool {
    // Without a name, the value is what old browsers send back as if it were a whole cookie.
    let nameless = |byte: &u8| *byte == b'=' || byte.is_ascii_whitespace();
    let begin = set_cookie.iter().position(|byte| !nameless(byte)).unwrap_or(set_cookie.len());
    let name = set_cookie[begin..].split(|&b| b == b'=' || b == b';').next().unwrap_or_default().trim_ascii();
    is_ours(name)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    fn find_access<'a, const N: usize>(fields: [&'a str; N]) -> Found<'a> {
        find(fields.into_iter().map(str::as_bytes), HOST.access)
    }

    #[test]
    fn one_cookie_is_found_and_two_of_a_name_count_as_neither() {
        assert_eq!(find_access(["a=1; __Host-doorward-access=tok", "b=2"]), Found::One("tok"));
        assert_eq!(find_access(["a=\u{e9}; __Host-doorward-access=tok; b=\u{e9}"]), Found::One("tok"));
        assert_eq!(find_access(["__Host-doorward-access=x; __Host-doorward-access=y"]), Found::Several);
        assert_eq!(find_access(["__Host-doorward-access=x", "__Host-doorward-access=x"]), Found::Several);
        for field in [
            "",
            "__HOST-doorward-access=x",
            "\u{2000}__Host-doorward-access=x",
            "__Host-doorward-access",
            "__Host-doorward-access=",
        ] {
            assert_eq!(find_access([field]), Found::None, "{field:?}");
        }
        assert_eq!(find([&b"__Host-doorward-access=\xff"[..]].into_iter(), HOST.access), Found::None);
    }

    #[test]
    fn ours_are_dropped_and_the_rest_is_joined_in_order() {
        let left = |fields: &[&[u8]]| without_ours(fields.iter().copied());
        let fields: [&[u8]; 3] =
            [b"a=1; __Host-doorward-access=tok;b=\xff", b"__host-doorward-refresh=r", b"c"];
        assert_eq!(left(&fields).as_deref(), Some(&b"a=1; b=\xff; c"[..]));
        assert_eq!(left(&[b"__Host-doorward-access=tok"]), None);
    }

    #[test]
    fn an_app_cannot_set_ours() {
        assert!(sets_ours(b"__Host-doorward-access=evil; Path=/"));
        assert!(sets_ours(b" __HOST-doorward-refresh =x"));
        assert!(sets_ours(b"__secure-Doorward-visit=x"));
        assert!(sets_ours(b"=__Host-doorward-access=evil"));
        assert!(!sets_ours(b"session=__Host-doorward-access"));
    }
}
