//! The gateway's cookies: their names, parsing of the `Cookie` header, and removal before forwarding.
//!
//! Names are compared byte for byte, as browsers neither fold case nor trim Unicode space (RFC 6265bis section 5.6); a
//! look-alike is another cookie. Fields are bytes: clients return an app's cookie unchanged, ASCII or not. A cookie
//! that is not ASCII must not hide the gateway's.

use std::time::Duration;

use crate::text::has_prefix_ignoring_case;

/// Names of the gateway's cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Cookie with the access token.
    pub access: &'static str,
    /// Cookie with the refresh token.
    pub refresh: &'static str,
    /// Cookie that ties the sign-in form to the browser it was shown in.
    pub visit: &'static str,
    /// Device cookie, which identifies a browser that has signed in before. It is sent to the gateway's own endpoints
    /// only, which `__Host-` does not allow. A planted one has no valid signature and does no harm beside the real one.
    pub device: &'static str,
    /// Beginning of the names of cookies with a sign-in in progress at a provider, one for each.
    pub flow: &'static str,
    /// Cookie of a sign-in that waits for its second factor.
    pub pending: &'static str,
    /// Cookie of a browser that has just signed out, or failed to sign in: it is not sent to a provider without asking.
    pub hold: &'static str,
    /// Cookie of a browser whose user was offered a passkey and put it off.
    pub put_off: &'static str,
}

/// Cookies of one host; no other host can set them.
pub const HOST: Names = Names {
    access: "__Host-doorward-access",
    refresh: "__Host-doorward-refresh",
    visit: "__Host-doorward-visit",
    device: "__Secure-doorward-device",
    flow: "__Host-doorward-flow-",
    pending: "__Host-doorward-pending",
    hold: "__Host-doorward-hold",
    put_off: "__Host-doorward-put-off",
};
/// Cookies that the hosts of one domain share.
pub const SHARED: Names = Names {
    access: "__Secure-doorward-access",
    refresh: "__Secure-doorward-refresh",
    visit: "__Secure-doorward-visit",
    device: "__Secure-doorward-device",
    flow: "__Secure-doorward-flow-",
    pending: "__Secure-doorward-pending",
    hold: "__Secure-doorward-hold",
    put_off: "__Secure-doorward-put-off",
};
/// Name prefixes of the gateway's cookies, whether in use or not.
const OWN_PREFIXES: [&str; 2] = ["__Host-doorward-", "__Secure-doorward-"];

/// Returns a `Set-Cookie` value. Without `life` the cookie ends with the browser; a zero `life` deletes it.
pub fn set(name: &str, value: &str, domain: Option<&str>, life: Option<Duration>) -> String {
    set_below("/", name, value, domain, life)
}

/// Returns a `Set-Cookie` value for a cookie that is sent only below `path`.
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

/// Result of looking up one cookie name in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// No such cookie, or an empty one.
    None,
    /// One such cookie.
    One(&'a str),
    /// More than one such cookie: one was planted and cannot be told from the other, so neither counts.
    Several,
}

/// Finds the cookie `name` in the values of all `Cookie` fields.
pub fn find<'a>(fields: impl Iterator<Item = &'a [u8]>, name: &str) -> Found<'a> {
    let mut found = Found::None;
    for (_, value) in fields.flat_map(pairs).filter(|(known, _)| *known == name.as_bytes()) {
        // The gateway's cookies are ASCII: a value that is not text is no token.
        let value = std::str::from_utf8(value).unwrap_or_default();
        match found {
            Found::None if value.is_empty() => {}
            Found::None => found = Found::One(value),
            Found::One(_) | Found::Several => return Found::Several,
        }
    }
    found
}

/// Returns the values of all cookies named `name`, at most `max`. For values that are signed, so that a planted one
/// does no harm.
pub fn all<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    name: &str,
    max: usize,
) -> impl Iterator<Item = &'a str> {
    let named = fields.flat_map(pairs).filter(move |(known, _)| *known == name.as_bytes());
    named.filter_map(|(_, value)| std::str::from_utf8(value).ok()).take(max)
}

/// Returns the names of all cookies that begin with `prefix`, in their order.
pub fn names_with<'a>(fields: impl Iterator<Item = &'a [u8]>, prefix: &str) -> impl Iterator<Item = &'a str> {
    let names = fields.flat_map(pairs).filter_map(|(name, _)| std::str::from_utf8(name).ok());
    // Only characters that a name made here has: it goes back into a header.
    let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    names.filter(move |name| name.starts_with(prefix) && is_plain(name))
}

/// Joins the fields into one, without the gateway's cookies. `None` when nothing is left.
pub fn without_own_cookies<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for piece in fields.flat_map(pieces) {
        let name = halves(piece).map_or(piece, |(name, _)| name.trim_ascii());
        // Look-alikes in another case are removed too: an app that folds case must not see a planted one.
        if piece.is_empty() || is_own(name) {
            continue;
        }
        if !out.is_empty() {
            // RFC 9113 section 8.2.3: cookie crumbs are joined with "; ".
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

fn is_own(name: &[u8]) -> bool {
    OWN_PREFIXES.iter().any(|prefix| has_prefix_ignoring_case(name, prefix.as_bytes()))
}

/// Returns whether a `Set-Cookie` value of an app would set a cookie of the gateway.
pub fn sets_own_cookie(set_cookie: &[u8]) -> bool {
    // Old browsers return a nameless value as if it were a whole cookie.
    let nameless = |byte: &u8| *byte == b'=' || byte.is_ascii_whitespace();
    let begin = set_cookie.iter().position(|byte| !nameless(byte)).unwrap_or(set_cookie.len());
    let name = set_cookie[begin..].split(|&b| b == b'=' || b == b';').next().unwrap_or_default().trim_ascii();
    is_own(name)
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
    fn duplicate_cookies_of_a_name_are_ignored() {
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
    fn own_cookies_are_removed_and_the_rest_keeps_its_order() {
        let left = |fields: &[&[u8]]| without_own_cookies(fields.iter().copied());
        let fields: [&[u8]; 3] =
            [b"a=1; __Host-doorward-access=tok;b=\xff", b"__host-doorward-refresh=r", b"c"];
        assert_eq!(left(&fields).as_deref(), Some(&b"a=1; b=\xff; c"[..]));
        assert_eq!(left(&[b"__Host-doorward-access=tok"]), None);
    }

    #[test]
    fn app_cannot_set_own_cookies() {
        assert!(sets_own_cookie(b"__Host-doorward-access=evil; Path=/"));
        assert!(sets_own_cookie(b" __HOST-doorward-refresh =x"));
        assert!(sets_own_cookie(b"__secure-Doorward-visit=x"));
        assert!(sets_own_cookie(b"=__Host-doorward-access=evil"));
        assert!(!sets_own_cookie(b"session=__Host-doorward-access"));
    }
}
