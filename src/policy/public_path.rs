//! References and cookie paths of an app that sees its path without the route's prefix (`strip_prefix`), mapped to what the
//! client sees.
//!
//! ```text
//! client: /shop/cart      app: /cart
//! Location: /login        -> /shop/login
//! Set-Cookie: a=b; Path=/ -> a=b; Path=/shop
//! ```

/// The public side of one request.
#[derive(Debug, Clone, Copy)]
pub struct PublicPath<'a> {
    /// Path of the route, without a slash at its end; empty where nothing is stripped.
    pub prefix: &'a str,
    /// Path of the request as the app sees it.
    pub base: &'a [u8],
    /// Hosts that are the app's own to the client, each perhaps with a port: references to them stay absolute.
    pub hosts: &'a [&'a str],
    /// The host that the app is sent where that is not the client's: references to it lose scheme and host.
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
    /// A reference as the client needs it; `None` if it stays as it is: other hosts, other schemes, nothing to map.
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
            // `mailto:`, and what browsers make of `https:/x`.
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

    /// A `Set-Cookie` with its path as the client needs it; `None` if it stays as it is.
    ///
    /// `outside` is the path of the request as the client sent it. A cookie of the `__Host-` kind has the path `/` or is refused
    /// by browsers (RFC 6265bis section 4.1.3.2).
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
            // RFC 6265 section 5.2.4: another value is as good as none; of several the last counts.
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
        // The default path (section 5.1.4) of `/shop` is that of its parent, where the app's own root is meant.
        if path.is_none() && outside == self.prefix.as_bytes() {
            mapped.extend_from_slice(b"; Path=");
            mapped.extend_from_slice(self.prefix.as_bytes());
        }
        (mapped != text).then_some(mapped)
    }

    /// The path of a reference from the app's root on, without dot segments: those beyond the root would lead out of the prefix.
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

/// RFC 3986 section 3.1.
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// Ports that need not be written with a scheme; `None` for a scheme that is not of HTTP.
fn default_port(scheme: Option<&[u8]>) -> Option<&'static [&'static [u8]]> {
    match scheme {
        None => Some(&[b"80", b"443"]),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Some(&[b"80"]),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Some(&[b"443"]),
        Some(_) => None,
    }
}

/// Whether two hosts are one, without regard to case, to a dot at the end and to a port that need not be written.
fn is_same_host(one: &[u8], other: &[u8], default: &[&[u8]]) -> bool {
    let parts = |authority| {
        let (host, port) = host_and_port(authority);
        (
            host.strip_suffix(b".").unwrap_or(host),
            port.filter(|port| !port.is_empty() && !default.contains(port)),
        )
    };
    let ((host, port), (other, other_port)) = (parts(one), parts(other));
    // A user before an @ is part of the host here, and then it is another.
    !host.is_empty() && host.eq_ignore_ascii_case(other) && port == other_port
}

fn host_and_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match authority.iter().rposition(|&byte| byte == b':') {
        Some(at) if !authority[at..].contains(&b']') => (&authority[..at], Some(&authority[at + 1..])),
        _ => (authority, None),
    }
}

/// RFC 3986 section 5.2.4, with `%2e` as the dot that it is (section 6.2.2.2).
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

/// 1 for `.`, 2 for `..`, also where they are encoded.
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
