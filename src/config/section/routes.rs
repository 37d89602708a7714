//! `[[routes]]`: which request goes to which app, and who may send it.

use std::net::Ipv4Addr;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::config::Server;
use crate::config::defaults::{BODY_LIMIT, ROUTE_TIMEOUT, hosts};
use crate::config::parse::hint::{any_of, nearest, quoted};
use crate::config::parse::origin;
use crate::config::parse::paths::segments;
use crate::config::parse::place::Place;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;
use crate::config::section::header_families;
use crate::config::section::server::cors_origins;
use crate::config::section::upstreams::check_name;
use crate::identity::{Role, Roles};

/// `[[routes]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name, in logs.
    pub name: String,
    /// Hosts it answers for.
    pub hosts: Vec<HostPattern>,
    /// A path, `/` or segments without a trailing slash.
    pub path: String,
    /// Only that path, not what is below it.
    pub exact: bool,
    /// Methods it answers to; empty = all.
    pub methods: Vec<Method>,
    /// Who may.
    pub access: Access,
    /// The name of an upstream.
    pub upstream: String,
    /// Ask the session store on every request.
    pub always_revalidate: bool,
    /// How long the upstream may be silent.
    pub timeout: Duration,
    /// Request body, in bytes.
    pub body_limit: u64,
    /// Whether the route's own path is taken off before forwarding.
    pub strip_prefix: bool,
    /// Whether the app sees the `Host` the client sent, or that of its server.
    pub preserve_host: bool,
    /// Whether the app is given our bearer token.
    pub forward_bearer: bool,
    /// Whether the app is told the certificate that the client has shown.
    pub forward_client_cert: bool,
    /// `Location`, `Content-Location` and `Refresh` of the app are mapped to what the client sees.
    pub rewrite_location: bool,
    /// The path of the app's cookies is mapped likewise.
    pub rewrite_cookie_path: bool,
    /// Headers of other gateways' families that the app is sent all the same.
    pub pass_headers: Vec<HeaderName>,
    /// Whether encoded slashes (`%2F`) pass.
    pub encoded_slashes: bool,
    /// What becomes of cross-origin requests that could change something and carry our cookies.
    pub cross_origin: CrossOrigin,
    /// Whether shared caches may keep responses to signed-in requests.
    pub shared_cache: bool,
    /// Whether what resembles the path of a stricter route is judged by it too: what this route would forward, and what
    /// resembles its own path.
    pub strict_siblings: bool,
    /// What happens to calls of scripts of `cors_origins`.
    pub cors: Cors,
    /// Origins whose scripts may call this route; those of the server unless the route has its own.
    pub cors_origins: Vec<String>,
}

impl Route {
    /// What the app is sent of a path on this route that loses the route's own; `None` = all of it.
    pub fn stripped<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        // Nothing is below the root that is not in it.
        (self.strip_prefix && self.path != "/").then(|| path.get(self.path.len()..).unwrap_or_default())
    }
}

/// Which hosts a route answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`
    Any,
    /// `*.example.com`: any name below, not the name itself. Held without the `*.`, lower case.
    Below(String),
    /// `app.example.com`, lower case, without port.
    Exact(String),
}

/// What becomes of a request with an unsafe method (RFC 9110 section 9.2.1), or of a WebSocket handshake, that a page of
/// another origin sends with our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossOrigin {
    /// It is refused.
    Refuse,
    /// It is refused; people who send a form so may send it once more from our own origin.
    Confirm,
    /// It is forwarded.
    Allow,
}

/// Who answers for CORS (Fetch standard) on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// The app; preflights are requests like any other.
    Off,
    /// The gateway: it answers preflights, and makes responses readable that say nothing of CORS.
    Answer,
    /// The app; preflights reach it without a credential.
    Pass,
}

/// Who may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; no identity is forwarded.
    Public,
    /// Everybody; identity where a good credential is present.
    Optional,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever has any of these roles.
    Roles(Roles),
}

const ACCESS: &str = r#""public", "optional", "signed-in" or { roles = ["admin"] }"#;
/// The path of our own that does not lie within the auth prefix (RFC 8615).
const JWKS: &str = "/.well-known/jwks.json";

/// Reads every route; `server.auth_prefix` is ours and not for routes, `upstreams` are the names they may send to. Where no
/// client is asked for a certificate, none can be passed on.
pub(crate) fn routes(
    tables: Vec<Table<'_>>,
    server: &Server,
    upstreams: &[&str],
    clients_are_asked: bool,
) -> Vec<Route> {
    let mut names: Vec<(String, usize)> = Vec::new();
    let mut read: Vec<(Route, Place<'_>)> = Vec::new();
    for table in tables {
        let (place, client_cert) = (table.place().clone(), table.place_of("forward_client_cert"));
        let Some(route) = route(table, server, upstreams, &mut names) else { continue };
        if route.forward_client_cert && !clients_are_asked {
            client_cert.problem(
                "no client is asked for a certificate: set server.tls.client_ca_file, or remove this",
            );
        }
        let twin = read.iter().find(|(other, _)| is_same_target(&route, other));
        if let Some((other, there)) = twin {
            place.problem(format!(
                "route {:?} and route {:?} (line {}) answer the same host, path and method {}: change one of them",
                route.name,
                other.name,
                there.line(),
                quoted(&route.path)
            ));
        }
        read.push((route, place));
    }
    read.into_iter().map(|(route, _)| route).collect()
}

/// Whether some request would fit both equally well.
fn is_same_target(one: &Route, other: &Route) -> bool {
    let methods = one.methods.is_empty()
        || other.methods.is_empty()
        || one.methods.iter().any(|method| other.methods.contains(method));
    methods
        && one.path == other.path
        && one.exact == other.exact
        && one.hosts.iter().any(|host| other.hosts.contains(host))
}

fn route(
    table: Table<'_>,
    server: &Server,
    upstreams: &[&str],
    names: &mut Vec<(String, usize)>,
) -> Option<Route> {
    let name = table
        .required("name", "write a name for logs and metrics, such as name = \"app\"")
        .and_then(|value| name(&value, names));
    let path = table
        .required("path", "write the path it answers for, such as path = \"/\"")
        .and_then(|value| value.parsed(|text| path(text, &server.auth_prefix)));
    let access = table
        .required("access", &format!("say who may use this route: write access = {ACCESS}"))
        .and_then(|value| access(&value));
    let upstream = table
        .required("upstream", "write the name of an [upstreams.<name>] table")
        .and_then(|value| upstream(&value, upstreams));
    let hosts = table.value("hosts").map_or(Some(hosts()), |value| host_patterns(&value));
    let methods = table.value("methods").map_or(Some(Vec::new()), |value| methods(&value));
    let timeout = table.value("timeout").and_then(|value| {
        let range = Duration::from_millis(100)..=Duration::from_hours(24);
        value.duration(range, "an app needs 100ms, and one silent for a day is gone")
    });
    let body_limit = table.value("body_limit").and_then(|value| {
        value.size(0..=1 << 40, "0B is no body at all, 1024GiB more than one request should bring")
    });
    let flag = |name, default| table.value(name).and_then(|value| value.flag()).unwrap_or(default);
    let (exact, always_revalidate) = (flag("exact", false), flag("always_revalidate", false));
    let (strip_prefix, preserve_host) = (flag("strip_prefix", false), flag("preserve_host", true));
    let (forward_bearer, encoded_slashes) = (flag("forward_bearer", false), flag("encoded_slashes", false));
    let forward_client_cert = flag("forward_client_cert", false);
    let shared_cache = flag("shared_cache", false);
    let choices =
        [("refuse", CrossOrigin::Refuse), ("confirm", CrossOrigin::Confirm), ("allow", CrossOrigin::Allow)];
    let cross_origin = table.value("cross_origin").and_then(|value| value.choice(&choices));
    let (rewrite_location, rewrite_cookie_path) =
        (flag("rewrite_location", false), flag("rewrite_cookie_path", false));
    let strips = strip_prefix && path.as_deref() != Some("/");
    if rewrite_location && !strips && preserve_host {
        table.place_of("rewrite_location").problem(
            "the app sees the client's own path and host, so there is nothing to map: remove this, or set strip_prefix = true",
        );
    }
    if rewrite_cookie_path && !strips {
        table.place_of("rewrite_cookie_path").problem(
            "the app sees the client's own path, so there is nothing to map: remove this, or set strip_prefix = true",
        );
    }
    let pass_headers = table.value("pass_headers").map_or(Some(Vec::new()), |value| pass_headers(&value));
    let strict_siblings = flag("strict_siblings", server.strict_siblings);
    let (cors, cors_origins) = cors(&table, server);
    table.finish();
    Some(Route {
        name: name?,
        hosts: hosts?,
        path: path?,
        exact,
        methods: methods?,
        access: access?,
        upstream: upstream?,
        always_revalidate,
        timeout: timeout.unwrap_or(ROUTE_TIMEOUT),
        body_limit: body_limit.unwrap_or(BODY_LIMIT),
        strip_prefix,
        preserve_host,
        forward_bearer,
        forward_client_cert,
        rewrite_location,
        rewrite_cookie_path,
        pass_headers: pass_headers?,
        encoded_slashes,
        cross_origin: cross_origin.unwrap_or(CrossOrigin::Refuse),
        shared_cache,
        strict_siblings,
        cors,
        cors_origins,
    })
}

fn pass_headers(value: &Value<'_>) -> Option<Vec<HeaderName>> {
    let mut seen = Vec::new();
    let names = value.list(r#"["X-Envoy-Attempt-Count"]"#, |item| {
        item.parsed(|text| {
            let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
                format!("{} is not a header name: write one such as \"X-Envoy-Attempt-Count\"", quoted(text))
            })?;
            header_families::check_passed(&name).map_err(|why| format!("{} {why}", quoted(text)))?;
            if seen.contains(&name) {
                return Err(format!("{} is listed twice: remove one", quoted(text)));
            }
            seen.push(name.clone());
            Ok(name)
        })
    })?;
    (!value.place().is_flawed()).then_some(names)
}

/// `cors` and `cors_origins` of a route.
fn cors(table: &Table<'_>, server: &Server) -> (Cors, Vec<String>) {
    let origins = table.value("cors_origins").and_then(|value| cors_origins(&value));
    let origins = origins.unwrap_or_else(|| server.cors_origins.clone());
    let choices = [("off", Cors::Off), ("answer", Cors::Answer), ("pass", Cors::Pass)];
    let cors = table.value("cors").and_then(|value| value.choice(&choices)).unwrap_or(Cors::Off);
    if cors == Cors::Answer && origins.is_empty() && !table.place_of("cors_origins").is_flawed() {
        table.place_of("cors").problem(
            "no origin may call this route: name some in cors_origins, here or in [server], such as \
             [\"https://app.example.com\"]",
        );
    }
    (cors, origins)
}

fn name(value: &Value<'_>, names: &mut Vec<(String, usize)>) -> Option<String> {
    let line = value.place().line();
    value.parsed(|text| {
        check_name(text)?;
        if let Some((_, line)) = names.iter().find(|(name, _)| name == text) {
            return Err(format!("{text:?} is the name of the route at line {line} too: write another"));
        }
        names.push((text.to_owned(), line));
        Ok(text.to_owned())
    })
}

fn path(text: &str, auth_prefix: &str) -> Result<String, String> {
    segments(text)?;
    let within =
        |own: &str| text.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if text == JWKS {
        return Err(format!(
            "{} is where the gateway publishes its own keys, on every host: leave the route out, or write another path",
            quoted(text)
        ));
    }
    if within(auth_prefix) {
        return Err(format!(
            "{} lies within {auth_prefix:?}, which the gateway answers itself: write another path, or change \
             server.auth_prefix",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

fn access(value: &Value<'_>) -> Option<Access> {
    if let Some(table) = value.as_table() {
        let roles = table
            .required("roles", "write at least one role, such as { roles = [\"admin\"] }")
            .and_then(|value| {
                let read = |item: &Value<'_>| {
                    item.parsed(|text| {
                        text.parse::<Role>()
                            .map_err(|error| format!("{} is not a role: {error}", quoted(text)))
                    })
                };
                let roles = value.list(r#"["admin"]"#, read)?;
                if roles.is_empty() && !value.place().is_flawed() {
                    value.place().problem(
                        "empty, so nobody could use the route: write at least one role, such as [\"admin\"]",
                    );
                }
                Some(Roles::new(roles))
            });
        table.finish();
        return roles.map(Access::Roles);
    }
    match value.as_text() {
        Some("public") => Some(Access::Public),
        Some("optional") => Some(Access::Optional),
        Some("signed-in") => Some(Access::SignedIn),
        Some(other) => {
            value.place().problem(format!("unknown form {} (write {ACCESS})", quoted(other)));
            None
        }
        None => value.wrong_type(ACCESS),
    }
}

fn upstream(value: &Value<'_>, upstreams: &[&str]) -> Option<String> {
    let name = value.text()?;
    // A line that could not be read may have named it.
    if upstreams.contains(&name) || value.place().is_torn() {
        return Some(name.to_owned());
    }
    let advice = match nearest(name, upstreams.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if upstreams.is_empty() => "add an [upstreams.<name>] table".to_owned(),
        None => format!("write {}, or add a table", any_of(upstreams.iter().copied())),
    };
    value.place().problem(format!("no upstream is named {} ({advice})", quoted(name)));
    None
}

fn host_patterns(value: &Value<'_>) -> Option<Vec<HostPattern>> {
    let mut seen = Vec::new();
    let patterns = value.list(r#"["app.example.com"]"#, |item| {
        item.parsed(|text| {
            let pattern = host_pattern(text)?;
            if seen.contains(&pattern) {
                return Err(format!("{} is listed twice: remove one", quoted(text)));
            }
            seen.push(pattern.clone());
            Ok(pattern)
        })
    })?;
    if value.place().is_flawed() {
        return None;
    }
    if patterns.is_empty() {
        value.place().problem("empty, so the route would answer for no host: write [\"*\"] for every host");
        return None;
    }
    Some(patterns)
}

fn host_pattern(text: &str) -> Result<HostPattern, String> {
    if text == "*" {
        return Ok(HostPattern::Any);
    }
    let is_ported = text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_name = !host.contains(':') || host.ends_with(']');
        is_name && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    if is_ported {
        return Err(format!("{} has a port: write the host alone, it holds for every port", quoted(text)));
    }
    if let Some(parent) = text.strip_prefix("*.") {
        if parent.starts_with('[') || parent.parse::<Ipv4Addr>().is_ok() {
            return Err(format!("{} is below an address: write a name such as *.example.com", quoted(text)));
        }
        return origin::host(parent).map(HostPattern::Below);
    }
    if text.contains('*') {
        return Err(format!(
            "{} has a star in an odd place: write \"*\", \"*.example.com\" or \"app.example.com\"",
            quoted(text)
        ));
    }
    origin::host(text).map(HostPattern::Exact)
}

fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
    let mut seen = Vec::new();
    let methods = value.list(r#"["GET", "POST"]"#, |item| {
        item.parsed(|text| {
            let method = method(text)?;
            if seen.contains(&method) {
                return Err(format!("{} is listed twice: remove one", quoted(text)));
            }
            seen.push(method.clone());
            Ok(method)
        })
    })?;
    (!value.place().is_flawed()).then_some(methods)
}

fn method(text: &str) -> Result<Method, String> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!(
            "{} has small letters: write {}",
            quoted(text),
            quoted(&text.to_ascii_uppercase())
        ));
    }
    match text {
        "CONNECT" => Err("CONNECT opens a tunnel past every check: remove it".to_owned()),
        "TRACE" => Err("TRACE sends credentials back to scripts: remove it".to_owned()),
        text => Method::from_bytes(text.as_bytes())
            .map_err(|_| format!("{} is not a method: write one such as \"GET\"", quoted(text))),
    }
}
