//! Methods and fields that name a second resource, or act on members of a collection.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method};

use crate::error::Refusal;
use crate::policy::route::canonical_host;
use crate::text::{has_prefix_ignoring_case, host_and_port};

/// Returns the method in capitals. RFC 9110 section 9.1 makes methods case-sensitive, but some frameworks ignore case.
pub(super) fn name(method: &Method) -> Cow<'_, str> {
    if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
        Cow::Owned(method.as_str().to_ascii_uppercase())
    } else {
        Cow::Borrowed(method.as_str())
    }
}

/// Returns whether this method uses `Destination`. The field is not forwarded with any other.
pub(super) fn has_destination(method: &Method) -> bool {
    matches!(&*name(method), "COPY" | "MOVE")
}

/// Returns whether the body of this method may name any resource: RFC 5842 (bindings), RFC 5323 (scope of a search),
/// RFC 3253 (source of a merge, version to control), and the batch methods of Exchange. REPORT is not included: the members of multiget
/// reports must lie below the path (RFC 4791 section 7.9).
pub(super) fn names_in_body(method: &Method) -> bool {
    matches!(
        &*name(method),
        "BIND"
            | "REBIND"
            | "UNBIND"
            | "SEARCH"
            | "MERGE"
            | "UPDATE"
            | "BASELINE-CONTROL"
            | "VERSION-CONTROL"
            | "BCOPY"
            | "BMOVE"
            | "BDELETE"
            | "BPROPFIND"
            | "BPROPPATCH"
    )
}

/// Depth to which a request acts below its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The resource alone.
    Itself,
    /// The resource and its direct members.
    Children,
    /// The resource and everything below it.
    All,
}

impl Reach {
    /// Returns whether `path` is a member of the collection `base`, without regard to letter case, which some servers
    /// ignore. `base` has no trailing slash: the caller trims it once, not once for each route.
    pub(super) fn covers(self, base: &str, path: &str) -> bool {
        let (base, path) = (base.as_bytes(), path.as_bytes());
        let is_below = has_prefix_ignoring_case(path, base) && path.get(base.len()) == Some(&b'/');
        let rest = path.get(base.len() + 1..).unwrap_or_default();
        is_below
            && match self {
                Self::Itself => false,
                Self::Children => !rest.is_empty() && !rest.contains(&b'/'),
                Self::All => !rest.is_empty(),
            }
    }
}

/// Returns the reach of a request, from its method and `Depth` (RFC 4918 section 10.2). A depth that is not one plain
/// value counts as infinity, since apps may interpret it differently. A PROPFIND of depth 1 is a listing, like a GET,
/// and is left to the app.
pub(super) fn reach(method: &Method, headers: &HeaderMap) -> Reach {
    let mut fields = headers.get_all("depth").iter();
    let depth = fields.next().map(HeaderValue::as_bytes);
    let depth = if fields.next().is_some() { Some(&b"several"[..]) } else { depth };
    match (&*name(method), depth) {
        ("DELETE" | "MOVE", _) => Reach::All,
        ("COPY" | "LOCK", Some(b"0")) => Reach::Itself,
        ("COPY" | "LOCK", _) => Reach::All,
        ("PROPFIND", Some(b"0" | b"1" | b"1,noroot")) => Reach::Itself,
        ("PROPFIND", _) => Reach::All,
        ("REPORT" | "LABEL" | "UPDATE", None | Some(b"0")) => Reach::Itself,
        ("REPORT" | "LABEL" | "UPDATE", Some(b"1")) => Reach::Children,
        ("REPORT" | "LABEL" | "UPDATE", _) => Reach::All,
        _ => Reach::Itself,
    }
}

/// Returns whether the destination is overwritten (RFC 4918 section 10.6: unless the client forbids it).
pub(super) fn overwrites(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all("overwrite").iter();
    let forbids = fields.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"F"));
    !forbids || fields.next().is_some()
}

/// Endings of field names that name a source or a target: the copy, move and rename sources of object stores (`x-amz-`,
/// `x-goog-`, `x-ms-`, `x-oss-`, `x-cos-`, `x-obs-` and more), and the links, manifests and other containers of Swift and OSS.
const SOURCES: &[&str] = &[
    "-copy-source",
    "-move-source",
    "-rename-source",
    "-fetch-source",
    "-copy-from",
    "-copy-from-account",
    "-symlink-target",
    "-symlink-target-account",
    "-object-manifest",
    "-versions-location",
    "-history-location",
    "-container-sync-to",
];

/// Other such fields: Swift's account of a `Destination`, the target of a MOVE before WebDAV, and the new name of an object in
/// EMC Atmos.
const OTHER_SOURCES: &[&str] = &["destination-account", "new-uri", "new-url", "x-emc-path"];

/// Lower-cases a byte. Everything that is neither letter nor digit becomes `-`, as in the CGI environment (RFC 3875
/// section 4.1.18).
const fn merged(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// Returns whether a field names another resource that the app reads or writes, in any spelling that an app may merge.
pub(super) fn has_source(method: &Method, headers: &HeaderMap) -> bool {
    // `Source` is the resource that a COPY without `Destination` fetches (third-party copy of WebDAV).
    let is_copy = has_destination(method);
    headers.iter().any(|(name, value)| {
        let name = name.as_str().as_bytes();
        // The prefix that CGI itself adds.
        let is_prefix = |prefix: &[u8]| prefix.iter().copied().map(merged).eq(*b"http-");
        let name =
            name.split_at_checked(5).filter(|(prefix, _)| is_prefix(prefix)).map_or(name, |(_, rest)| rest);
        let has_ending = |known: &&str| {
            name.len() >= known.len()
                && name[name.len() - known.len()..].iter().zip(known.bytes()).all(|(&n, k)| merged(n) == k)
        };
        let is = |known: &&str| known.len() == name.len() && has_ending(known);
        // tus (Concatenation): `final` lists the uploads to join, `partial` names none.
        let is_joined =
            is(&"upload-concat") && !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"partial");
        is_joined
            || (is_copy && is(&"source"))
            || (name.first() == Some(&b'x') && SOURCES.iter().any(has_ending))
            || OTHER_SOURCES.iter().any(is)
    })
}

/// A `Destination` as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// Scheme and authority, such as `https://app.example.com`.
    origin: Option<&'a str>,
    /// The path, which must be authorized.
    pub(super) path: &'a str,
    /// The query with its `?`, or empty.
    query: &'a str,
}

/// Parses `Destination` (RFC 4918 section 10.3): an absolute http or https URI of this host, or an absolute path.
///
/// # Errors
/// [`Refusal::RequestInvalid`] for several fields or an invalid value; [`Refusal::OtherResource`] for another host.
pub(super) fn destination<'a>(
    headers: &'a HeaderMap,
    (host, authority): (&str, &str),
) -> Result<Option<Named<'a>>, Refusal> {
    let invalid = |what: &str| Refusal::RequestInvalid(format!("Destination: {what}"));
    let mut fields = headers.get_all("destination").iter();
    let Some(value) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(invalid("more than one"));
    }
    let value = value.to_str().map_err(|_| invalid("not a URI"))?;
    if !value.bytes().all(|byte| byte.is_ascii_graphic() && !b"#<>\"\\".contains(&byte)) {
        return Err(invalid("not a URI"));
    }
    // Two values joined by a proxy; servers use the first, the last, or the whole.
    if value.split(',').skip(1).any(|part| part.starts_with('/') || part.contains("://")) {
        return Err(invalid("more than one"));
    }
    let (origin, rest) = if value.starts_with('/') {
        (None, value)
    } else {
        let (scheme, rest) = value.split_once("://").ok_or_else(|| invalid("neither absolute nor a path"))?;
        let default = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => "80",
            _ if scheme.eq_ignore_ascii_case("https") => "443",
            _ => return Err(invalid("neither http nor https")),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let named = &rest[..end];
        let is_here = canonical_host(named).is_ok_and(|there| there == host)
            && port(named).unwrap_or(default) == port(authority).unwrap_or(default);
        if !is_here {
            return Err(Refusal::OtherResource("Destination: another host than that of the request"));
        }
        (Some(&value[..value.len() - rest.len() + end]), &rest[end..])
    };
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    // Without a scheme, two slashes start a host (RFC 3986 section 4.2).
    if origin.is_none() && path.starts_with("//") {
        return Err(invalid("neither absolute nor a path"));
    }
    Ok(Some(Named { origin, path: if path.is_empty() { "/" } else { path }, query }))
}

/// Returns the port of an authority, if it has one.
fn port(authority: &str) -> Option<&str> {
    host_and_port(authority).1.filter(|port| !port.is_empty())
}

/// The `Destination` for the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    origin: Option<String>,
    /// Path and query without the prefix that its route strips.
    stripped: Option<String>,
    /// Path and query as sent.
    target: String,
}

impl Destination {
    pub(super) fn new(named: &Named<'_>, stripped: Option<&str>) -> Self {
        let whole = |path: &str| format!("{path}{}", named.query);
        Self {
            origin: named.origin.map(str::to_owned),
            stripped: stripped.map(whole),
            target: whole(named.path),
        }
    }

    /// Returns the field's value for the app, with `origin` instead of the client's if the app gets another `Host`.
    /// `None` if it stays unchanged.
    pub fn rewritten(&self, origin: Option<&str>) -> Option<HeaderValue> {
        let origin = match (&self.origin, origin) {
            (Some(_), Some(other)) => other,
            (_, None) if self.stripped.is_none() => return None,
            (None, Some(_)) if self.stripped.is_none() => return None,
            (Some(own), None) => own.as_str(),
            (None, _) => "",
        };
        let target = self.stripped.as_ref().unwrap_or(&self.target);
        HeaderValue::try_from(format!("{origin}{target}")).ok()
    }
}
