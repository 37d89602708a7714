//! Rewriting of references and cookie paths in responses of an app that gets its path without the route's prefix
//! (`strip_prefix`).
//!
//! ```text
//! client: /shop/cart      app: /cart
//! Location: /login        -> /shop/login
//! Set-Cookie: a=b; Path=/ -> a=b; Path=/shop
//! ```

use crate::text::port_colon;

/// Public prefix and hosts for the response to one request.
#[derive(Debug, Clone, Copy)]
pub struct PublicPath<'a> {
    /// Path of the route, without a trailing slash; empty if no prefix is stripped.
    pub prefix: &'a str,
    /// Path of the request as the app sees it.
    pub base: &'a [u8],
    /// Hosts under which the client reaches the app, each perhaps with a port: references to them stay absolute.
    pub hosts: &'a [&'a str],
    /// The `Host` sent to the app, if it differs from the client's: references to it lose scheme and host.
    pub internal: Option<&'a str>,
}

/// Parts of a URI reference (RFC 3986 appendix B); query and fragment stay together.
struct Reference<'a> {
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: &'a [u8],
    rest: &'a [u8],
}

impl PublicPath<'_> {
    /// Rewrites a reference for the client. `None` if it stays unchanged: another host, another scheme, or nothing to
    /// rewrite.
    pub fn reference(&self, text: &[u8]) -> Option<Vec<u8>> {
        let reference = Reference::split(text);
        let mut mapped = Vec::with_capacity(text.len() + self.prefix.len() + 1);
        let mut is_internal = false;
        match (reference.scheme, reference.authority) {
            (scheme, Some(authority)) => {
                let default = default_port(scheme)?;
                let is_same = |host: &&str| is_same_host(authority, host.as_bytes(), default);
                if self.hosts.iter().any(is_same) {
                    mapped
                        .extend_from_slice(&text[..text.len() - reference.path.len() - reference.rest.len()]);
                } else if self.internal.as_ref().is_some_and(is_same) {
                    is_internal = true;
                } else {
                    return None;
                }
            }
            // `mailto:`, and `https:/x`, which browsers correct.
            (Some(_), None) => return None,
            // RFC 3986 section 4.4: the same document.
            (None, None) if reference.path.is_empty() => return None,
            (None, None) => {}
        }
        if self.prefix.is_empty() && !is_internal {
            return None;
        }
        mapped.extend_from_slice(self.prefix.as_bytes());
        mapped.extend_from_slice(&self.absolute(&reference));
        mapped.extend_from_slice(reference.rest);
        Some(mapped)
    }

    /// Rewrites the path of a `Set-Cookie` for the client; `None` if it stays unchanged.
    ///
    /// `outside` is the path of the request as the client sent it. Browsers refuse a `__Host-` cookie with a path other
    /// than `/` (RFC 6265bis section 4.1.3.2).
    pub fn set_cookie(&self, text: &[u8], outside: &[u8]) -> Option<Vec<u8>> {
        let is_of_host =
            text.trim_ascii_start().get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"__host-"));
        if self.prefix.is_empty() || is_of_host {
            return None;
        }
        let mut mapped = Vec::with_capacity(text.len() + self.prefix.len());
        let mut path = None;
        for (at, attribute) in text.split(|&byte| byte == b';').enumerate() {
            if at > 0 {
                mapped.push(b';');
            }
            let (name, value) = split_at_byte(attribute, b'=');
            let value = value.map(<[u8]>::trim_ascii);
            if at == 0 || !name.trim_ascii().eq_ignore_ascii_case(b"path") {
                mapped.extend_from_slice(attribute);
                continue;
            }
            // RFC 6265 section 5.2.4: another value counts as no path; the last of several counts.
            path = value.filter(|value| value.starts_with(b"/"));
            match path {
                Some(value) => {
                    mapped.extend_from_slice(name);
                    mapped.push(b'=');
                    mapped.extend_from_slice(self.prefix.as_bytes());
                    mapped.extend_from_slice(if value == b"/" { b"" } else { value });
                }
                None => mapped.extend_from_slice(attribute),
            }
        }
        // The default path (section 5.1.4) of `/shop` is its parent's, but the app means its own root.
        if path.is_none() && outside == self.prefix.as_bytes() {
            mapped.extend_from_slice(b"; Path=");
            mapped.extend_from_slice(self.prefix.as_bytes());
        }
        (mapped != text).then_some(mapped)
    }

    /// Returns the path of a reference from the app's root, without dot segments. Those above the root would lead out
    /// of the prefix.
    fn absolute(&self, reference: &Reference<'_>) -> Vec<u8> {
        let path = reference.path;
        if reference.authority.is_some() && path.is_empty() {
            return b"/".to_vec();
        }
        if path.starts_with(b"/") {
            return without_dot_segments(path);
        }
        // RFC 3986 section 5.2.3.
        let folder =
            self.base.iter().rposition(|&byte| byte == b'/').map_or(&b"/"[..], |at| &self.base[..=at]);
        without_dot_segments(&[folder, path].concat())
    }
}

impl<'a> Reference<'a> {
    fn split(text: &'a [u8]) -> Self {
        let (scheme, after) = match text.iter().position(|byte| b":/?#".contains(byte)) {
            Some(at) if at > 0 && text[at] == b':' && is_scheme(&text[..at]) => {
                (Some(&text[..at]), &text[at + 1..])
            }
            _ => (None, text),
        };
        let (authority, after) = match after.strip_prefix(b"//") {
            Some(after) => {
                let end = after.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(after.len());
                (Some(&after[..end]), &after[end..])
            }
            None => (None, after),
        };
        let end = after.iter().position(|byte| b"?#".contains(byte)).unwrap_or(after.len());
        Self { scheme, authority, path: &after[..end], rest: &after[end..] }
    }
}

/// Checks a scheme (RFC 3986 section 3.1).
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// Returns the default ports of a scheme; `None` for a scheme other than http and https.
fn default_port(scheme: Option<&[u8]>) -> Option<&'static [&'static [u8]]> {
    match scheme {
        None => Some(&[b"80", b"443"]),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Some(&[b"80"]),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Some(&[b"443"]),
        Some(_) => None,
    }
}

/// Returns whether two hosts are the same, without regard to case, a trailing dot and a default port.
fn is_same_host(one: &[u8], other: &[u8], default: &[&[u8]]) -> bool {
    let parts = |authority| {
        let (host, port) = host_and_port(authority);
        (
            host.strip_suffix(b".").unwrap_or(host),
            port.filter(|port| !port.is_empty() && !default.contains(port)),
        )
    };
    let ((host, port), (other, other_port)) = (parts(one), parts(other));
    // A user before an @ counts as part of the host, so the hosts differ.
    !host.is_empty() && host.eq_ignore_ascii_case(other) && port == other_port
}

fn host_and_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match port_colon(authority) {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    }
}

/// Removes dot segments (RFC 3986 section 5.2.4); `%2e` counts as a dot (section 6.2.2.2).
fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let dots = dots(segment);
        if dots == Some(2) {
            kept.pop();
        } else if dots.is_none() {
            kept.push(segment);
        }
        // A dot segment at the end leaves the slash before it.
        if dots.is_some() && segments.peek().is_none() {
            kept.push(b"");
        }
    }
    let mut whole = Vec::with_capacity(path.len() + 1);
    for segment in kept {
        whole.push(b'/');
        whole.extend_from_slice(segment);
    }
    whole
}

/// Returns 1 for `.` and 2 for `..`, also when encoded.
fn dots(segment: &[u8]) -> Option<u8> {
    let mut rest = segment;
    let mut count = 0;
    while !rest.is_empty() {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return None,
        };
        count += 1;
        if count > 2 {
            return None;
        }
    }
    (count > 0).then_some(count)
}

fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&other| other == byte) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests;
