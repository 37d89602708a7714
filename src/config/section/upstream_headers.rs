//! Headers towards an app and from it: `identity`, `[upstreams.<name>.request_headers]` and `response_headers`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::config::IdentityHeaders;
use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;

pub(crate) mod names;
mod template;

pub use template::{Part, Template, Variable};

use names::merged;
use template::Written;

/// Maximum number of names in a table. An app that needs more of them reads an assertion.
const MAX_NAMES: usize = 64;

/// Headers that an upstream's requests get and lose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    /// Headers about the user, in requests of signed-in users: those of `identity`, then those of `set`. Clients cannot send
    /// these names to any app.
    pub identity: Vec<(HeaderName, Template)>,
    /// Headers of `set` with fixed text, in every request.
    pub fixed: Vec<(HeaderName, HeaderValue)>,
    /// Headers of clients that this app does not get.
    pub remove: Vec<HeaderName>,
    /// Form of values about the user.
    pub encoding: Encoding,
    /// `aud` of the assertion about the user; `None` = the app gets none.
    pub assertion: Option<Arc<str>>,
    /// True if the file says which names are sent, rather than the default.
    pub is_chosen: bool,
}

/// Changes of an app's responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeaders {
    /// Headers to set, in place of the app's own.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Headers to remove.
    pub remove: Vec<HeaderName>,
}

/// Form of values about the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 as it is.
    #[default]
    Utf8,
    /// Percent-encoding (RFC 3986 section 2.1) of `%` and of every byte that is not printable ASCII.
    Percent,
}

/// The value of `identity`: names under which an app reads the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preset {
    /// Those of `[identity_headers]`.
    Default,
    /// Those of oauth2-proxy.
    XForwarded,
    /// Those of Authelia.
    RemoteUser,
    /// Those of Grafana's `[auth.proxy]`.
    Grafana,
    /// None.
    None,
}

impl Preset {
    const ALL: [(&str, Self); 5] = [
        ("default", Self::Default),
        ("x-forwarded", Self::XForwarded),
        ("remote-user", Self::RemoteUser),
        ("grafana", Self::Grafana),
        ("none", Self::None),
    ];

    fn names(self, default: &IdentityHeaders) -> Vec<(HeaderName, Variable)> {
        let all: &[(&'static str, Variable)] = match self {
            Self::Default => {
                return vec![
                    (default.user.clone(), Variable::Login),
                    (default.user_id.clone(), Variable::UserId),
                    (default.roles.clone(), Variable::Roles),
                    (default.session.clone(), Variable::SessionId),
                ];
            }
            Self::XForwarded => &[
                ("x-forwarded-user", Variable::Login),
                ("x-forwarded-email", Variable::Email),
                ("x-forwarded-preferred-username", Variable::Login),
                ("x-forwarded-groups", Variable::Roles),
            ],
            Self::RemoteUser => &[
                ("remote-user", Variable::Login),
                ("remote-email", Variable::Email),
                ("remote-name", Variable::Name),
                ("remote-groups", Variable::Roles),
            ],
            Self::Grafana => &[
                ("x-webauth-user", Variable::Login),
                ("x-webauth-email", Variable::Email),
                ("x-webauth-name", Variable::Name),
                ("x-webauth-groups", Variable::Roles),
            ],
            Self::None => &[],
        };
        all.iter().map(|(name, variable)| (HeaderName::from_static(name), *variable)).collect()
    }
}

/// Settings of other tables that upstreams follow.
pub(crate) struct Defaults<'c> {
    /// `[identity_headers]`
    pub(crate) names: &'c IdentityHeaders,
    /// `tokens.audience`
    pub(crate) audience: &'c str,
}

/// Reads `identity`, `assertion` and `request_headers` of the upstream `name`.
pub(crate) fn request_headers(name: &str, upstream: &Table<'_>, defaults: &Defaults<'_>) -> RequestHeaders {
    let preset = upstream.value("identity").and_then(|value| value.choice(&Preset::ALL));
    let preset = preset.unwrap_or(Preset::Default);
    let table = upstream.table("request_headers");
    let mut headers = RequestHeaders {
        identity: preset
            .names(defaults.names)
            .into_iter()
            .map(|(name, variable)| (name, Template::Variable(variable)))
            .collect(),
        is_chosen: upstream.has("identity"),
        assertion: assertion(name, upstream, defaults.audience),
        ..RequestHeaders::default()
    };
    let mut known: Vec<(String, String)> = headers
        .identity
        .iter()
        .map(|(name, _)| (merged(name), format!("\"{name}\" of `identity`")))
        .collect();
    for (text, value) in entries(&table) {
        let read = value.text().and_then(|written| {
            let refused = |message| value.location().problem(message);
            let written = template::parse(written).map_err(refused).ok()?;
            let is_identity = matches!(written, Written::Identity(_));
            let name = names::to_set(text, is_identity).and_then(|name| only_once(&name, &mut known));
            Some((name.map_err(refused).ok()?, written))
        });
        match read {
            Some((name, Written::Identity(template))) => {
                headers.is_chosen = true;
                headers.identity.push((name, template));
            }
            Some((name, Written::Fixed(value))) => headers.fixed.push((name, value)),
            None => {}
        }
    }
    headers.remove = remove(&table, |text| {
        let name = names::to_remove(text)?;
        if known.iter().any(|(known, _)| *known == merged(&name)) {
            return Err(format!("{} is set for this app too: remove it from one of the two", quoted(text)));
        }
        Ok(name)
    });
    let choices = [("utf-8", Encoding::Utf8), ("percent", Encoding::Percent)];
    headers.encoding =
        table.value("encoding").and_then(|value| value.choice(&choices)).unwrap_or(Encoding::Utf8);
    table.finish();
    headers
}

/// Reads `assertion`: true, or a table with the audience, which is otherwise the name of the upstream.
fn assertion(name: &str, upstream: &Table<'_>, of_tokens: &str) -> Option<Arc<str>> {
    let value = upstream.value("assertion")?;
    let (audience, at) = if let Some(table) = value.as_table() {
        let example =
            "write the name that the app expects in aud, such as { audience = \"https://wiki.example.com\" }";
        let audience = table.required("audience", example).and_then(|value| value.parsed(audience));
        let at = table.location_of("audience");
        table.finish();
        (audience?, at)
    } else {
        (value.flag()?.then_some(name)?, value.location().clone())
    };
    if audience == of_tokens {
        at.problem(format!(
            "{} is tokens.audience, so an access token could pass for an assertion: write {{ audience = \"...\" }} with another name",
            quoted(audience)
        ));
        return None;
    }
    Some(audience.into())
}

/// Parses the audience of an assertion (RFC 7519 section 4.1.3).
fn audience(text: &str) -> Result<&str, String> {
    if text.is_empty() || text.len() > 256 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{} is not an audience: write 1 to 256 printable characters", quoted(text)));
    }
    Ok(text)
}

/// Reads `response_headers` of an upstream.
pub(crate) fn response_headers(upstream: &Table<'_>) -> ResponseHeaders {
    let table = upstream.table("response_headers");
    let mut set: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (text, value) in entries(&table) {
        let read = value.text().and_then(|written| {
            let refused = |message| value.location().problem(message);
            let name =
                names::of_response(text).and_then(|name| match set.iter().any(|(known, _)| *known == name) {
                    true => Err(format!("\"{name}\" is set twice: remove one")),
                    false => Ok(name),
                });
            Some((name.map_err(refused).ok()?, template::fixed(written).map_err(refused).ok()?))
        });
        set.extend(read);
    }
    let remove = remove(&table, |text| {
        let name = names::of_response(text)?;
        if set.iter().any(|(known, _)| *known == name) {
            return Err(format!("{} is set for this app too: remove it from one of the two", quoted(text)));
        }
        Ok(name)
    });
    table.finish();
    ResponseHeaders { set, remove }
}

/// Returns the entries of `set`, at most [`MAX_NAMES`].
fn entries<'a>(table: &Table<'a>) -> Vec<(&'a str, crate::config::parse::reader::Value<'a>)> {
    let mut entries = table.table("set").entries();
    if entries.len() > MAX_NAMES {
        let count = entries.len();
        table.location_of("set").problem(format!("{count} headers: write at most {MAX_NAMES}"));
        entries.clear();
    }
    entries
}

/// Reads `remove`.
fn remove(table: &Table<'_>, parse: impl Fn(&str) -> Result<HeaderName, String>) -> Vec<HeaderName> {
    let names = table.value("remove").and_then(|value| value.distinct(r#"["X-Debug"]"#, parse));
    let names = names.unwrap_or_default();
    if names.len() > MAX_NAMES {
        let count = names.len();
        table.location_of("remove").problem(format!("{count} headers: write at most {MAX_NAMES}"));
        return Vec::new();
    }
    names
}

/// Checks that a name differs from those before it, even for an app that treats all separators as equal.
fn only_once(name: &HeaderName, known: &mut Vec<(String, String)>) -> Result<HeaderName, String> {
    let merged = merged(name);
    if let Some((_, twin)) = known.iter().find(|(known, _)| *known == merged) {
        return Err(format!(
            "many servers read \"{name}\" and {twin} as the same: set it once (identity = \"none\" sends no names but these)"
        ));
    }
    known.push((merged, format!("\"{name}\"")));
    Ok(name.clone())
}

/// Maximum number of bytes of all names together: the name table has a node for each.
const MAX_BYTES: usize = 32 * 1024;

/// Checks the number of names over all upstreams.
pub(crate) fn check_total<'r>(table: &Table<'_>, all: impl Iterator<Item = &'r RequestHeaders>) {
    let mut names: Vec<String> = all.flat_map(RequestHeaders::names).map(merged).collect();
    names.sort_unstable();
    names.dedup();
    let bytes: usize = names.iter().map(String::len).sum();
    if bytes > MAX_BYTES {
        table.location().problem(format!(
            "the names of all request headers have {bytes} bytes together: write at most {MAX_BYTES}"
        ));
    }
}

impl RequestHeaders {
    /// Returns every name that is set or removed.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let identity = self.identity.iter().map(|(name, _)| name);
        identity.chain(self.own_names())
    }

    /// Returns the names that clients cannot send to this app, but perhaps to others.
    pub fn own_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.fixed.iter().map(|(name, _)| name).chain(&self.remove)
    }
}
