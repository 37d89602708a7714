//! `[[routes]]`: mapping of requests to apps, and the access rule of each.

use std::net::Ipv4Addr;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::config::Server;
use crate::config::defaults::{BODY_LIMIT, ROUTE_TIMEOUT, hosts};
use crate::config::parse::hint::{any_of, nearest, quoted};
use crate::config::parse::location::Location;
use crate::config::parse::origin;
use crate::config::parse::paths::segments;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;
use crate::config::section::header_families;
use crate::config::section::server::cors_origins;
use crate::config::section::upstream_headers::names;
use crate::config::section::upstreams::check_name;
use crate::identity::{RequiredProof, Role, Roles};

/// `[[routes]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Name of the route in logs and metrics.
    pub name: String,
    /// Hosts that the route matches.
    pub hosts: Vec<HostPattern>,
    /// Path that the route matches: `/`, or segments without a trailing slash.
    pub path: String,
    /// True if only that path matches, not the paths below it.
    pub exact: bool,
    /// Methods that the route matches; empty = all.
    pub methods: Vec<Method>,
    /// Access rule.
    pub access: Access,
    /// Proof that signed-in users need. Nothing for routes that nobody must be signed in for.
    pub proof: RequiredProof,
    /// Name of the upstream.
    pub upstream: String,
    /// True if every request queries the session store.
    pub always_revalidate: bool,
    /// Maximum time the upstream may be silent.
    pub timeout: Duration,
    /// Maximum size of a request body, in bytes.
    pub body_limit: u64,
    /// True if the route's path is removed before forwarding.
    pub strip_prefix: bool,
    /// True if the app receives the client's `Host`, false if it receives that of its server.
    pub preserve_host: bool,
    /// True if the app receives the gateway's bearer token.
    pub forward_bearer: bool,
    /// True if the app receives the client certificate.
    pub forward_client_cert: bool,
    /// True if `Location`, `Content-Location` and `Refresh` of the app are mapped to the client's view.
    pub rewrite_location: bool,
    /// True if the path of the app's cookies is mapped to the client's view.
    pub rewrite_cookie_path: bool,
    /// Headers of other gateways' families that are forwarded to the app nevertheless.
    pub pass_headers: Vec<HeaderName>,
    /// True if encoded slashes (`%2F`) are allowed.
    pub encoded_slashes: bool,
    /// Handling of cross-origin requests with cookies that could change something.
    pub cross_origin: CrossOrigin,
    /// True if shared caches may store responses to signed-in requests.
    pub shared_cache: bool,
    /// True if requests that resemble the path of a stricter route must also satisfy that route. Both the forwarded
    /// path and paths that resemble the route's own are checked.
    pub strict_siblings: bool,
    /// Handling of CORS requests from `cors_origins`.
    pub cors: Cors,
    /// Origins whose scripts may call this route; defaults to those of the server.
    pub cors_origins: Vec<String>,
}

impl Route {
    /// Returns the part of `path` that is forwarded if the route strips its prefix; `None` = the whole path.
    pub fn stripped<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        // Stripping the root would remove nothing.
        (self.strip_prefix && self.path != "/").then(|| path.get(self.path.len()..).unwrap_or_default())
    }
}

/// Hosts that a route matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`
    Any,
    /// `*.example.com`: any name below the domain, not the domain itself. Stored without the `*.`, in lower case.
    Below(String),
    /// `app.example.com`, lower case, without port.
    Exact(String),
}

/// Handling of a cross-origin request with cookies and an unsafe method (RFC 9110 section 9.2.1), or of such a
/// WebSocket handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossOrigin {
    /// The request is refused.
    Refuse,
    /// The request is refused, but a form can be confirmed and sent again from the gateway's origin.
    Confirm,
    /// The request is forwarded.
    Allow,
}

/// Handling of CORS (Fetch standard) on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// The app handles CORS; preflights are requests like any other.
    Off,
    /// The gateway handles CORS: it answers preflights, and adds CORS headers to responses that have none.
    Answer,
    /// The app handles CORS; preflights reach it without a credential.
    Pass,
}

/// Access rule of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody has access; no identity is forwarded.
    Public,
    /// Everybody has access; the identity is forwarded if a valid credential is present.
    Optional,
    /// Signed-in users have access.
    SignedIn,
    /// Users with any of these roles have access.
    Roles(Roles),
}

const ACCESS: &str =
    r#""public", "optional", "signed-in" or { roles = ["admin"], factor = "mfa", max_age = "15m" }"#;
/// The one path of the gateway outside the auth prefix (RFC 8615).
const JWKS: &str = "/.well-known/jwks.json";

/// Reads all routes. Paths below `server.auth_prefix` are reserved for the gateway; `upstreams` are the known names.
/// Without client certificates at the listener, none can be forwarded.
pub(crate) fn routes(
    tables: Vec<Table<'_>>,
    server: &Server,
    upstreams: &[&str],
    requests_client_certificates: bool,
) -> Vec<Route> {
    let mut names: Vec<(String, usize)> = Vec::new();
    let mut read: Vec<(Route, Location<'_>)> = Vec::new();
    for table in tables {
        let (location, client_cert) = (table.location().clone(), table.location_of("forward_client_cert"));
        let Some(route) = route(table, server, upstreams, &mut names) else { continue };
        if route.forward_client_cert && !requests_client_certificates {
            client_cert.problem(
                "client certificates are not requested: set server.tls.client_ca_file, or remove this",
            );
        }
        let twin = read.iter().find(|(other, _)| is_same_target(&route, other));
        if let Some((other, there)) = twin {
            location.problem(format!(
                "route {:?} and route {:?} (line {}) match the same host, path and method {}: change one of them",
                route.name,
                other.name,
                there.line(),
                quoted(&route.path)
            ));
        }
        read.push((route, location));
    }
    read.into_iter().map(|(route, _)| route).collect()
}

/// Returns whether some request would match both routes equally well.
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
        .required("path", "write the path it matches, such as path = \"/\"")
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
        value.duration(range, "an app needs 100ms, and one silent for a day has failed")
    });
    let body_limit = table.value("body_limit").and_then(|value| {
        value.size(0..=1 << 40, "0B allows no body, and more than 1024GiB is too much for one request")
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
        table.location_of("rewrite_location").problem(
            "the app sees the client's own path and host, so there is nothing to map: remove this, or set \
             strip_prefix = true",
        );
    }
    if rewrite_cookie_path && !strips {
        table.location_of("rewrite_cookie_path").problem(
            "the app sees the client's own path, so there is nothing to map: remove this, or set strip_prefix = true",
        );
    }
    let pass_headers = table.value("pass_headers").map_or(Some(Vec::new()), |value| pass_headers(&value));
    let strict_siblings = flag("strict_siblings", server.strict_siblings);
    let (cors, cors_origins) = cors(&table, server);
    table.finish();
    let (access, proof) = access?;
    Some(Route {
        name: name?,
        hosts: hosts?,
        path: path?,
        exact,
        methods: methods?,
        access,
        proof,
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
    value.distinct(r#"["X-Envoy-Attempt-Count"]"#, |text| {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
            format!("{} is not a header name: write one such as \"X-Envoy-Attempt-Count\"", quoted(text))
        })?;
        names::check_prefix(text)?;
        names::check_pattern(text)?;
        header_families::check_passed(&name).map_err(|why| format!("{} {why}", quoted(text)))?;
        Ok(name)
    })
}

/// Reads `cors` and `cors_origins` of a route.
fn cors(table: &Table<'_>, server: &Server) -> (Cors, Vec<String>) {
    let origins = table.value("cors_origins").and_then(|value| cors_origins(&value));
    let origins = origins.unwrap_or_else(|| server.cors_origins.clone());
    let choices = [("off", Cors::Off), ("answer", Cors::Answer), ("pass", Cors::Pass)];
    let cors = table.value("cors").and_then(|value| value.choice(&choices)).unwrap_or(Cors::Off);
    if cors == Cors::Answer && origins.is_empty() && !table.location_of("cors_origins").has_problem() {
        table.location_of("cors").problem(
            "no origin may call this route: name some in cors_origins, here or in [server], such as \
             [\"https://app.example.com\"]",
        );
    }
    (cors, origins)
}

fn name(value: &Value<'_>, names: &mut Vec<(String, usize)>) -> Option<String> {
    let line = value.location().line();
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
            "{} is where the gateway publishes its own keys, on every host: remove the route, or write another path",
            quoted(text)
        ));
    }
    if within(auth_prefix) {
        return Err(format!(
            "{} is within {auth_prefix:?}, which the gateway serves itself: write another path, or change \
             server.auth_prefix",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

fn access(value: &Value<'_>) -> Option<(Access, RequiredProof)> {
    if let Some(table) = value.as_table() {
        let proof = required_proof(&table);
        // Without roles every signed-in user has access who has proven enough.
        if !table.has("roles") && (table.has("factor") || table.has("max_age")) {
            table.finish();
            return Some((Access::SignedIn, proof));
        }
        let roles = table
            .required(
                "roles",
                "write at least one role, such as { roles = [\"admin\"] }, or factor = \"mfa\"",
            )
            .and_then(|value| {
                let read = |item: &Value<'_>| {
                    item.parsed(|text| {
                        text.parse::<Role>()
                            .map_err(|error| format!("{} is not a role: {error}", quoted(text)))
                    })
                };
                let roles = value.list(r#"["admin"]"#, read)?;
                if roles.is_empty() && !value.location().has_problem() {
                    value.location().problem(
                        "empty, so nobody could use the route: write at least one role, such as [\"admin\"]",
                    );
                }
                Some(Roles::new(roles))
            });
        table.finish();
        return roles.map(|roles| (Access::Roles(roles), proof));
    }
    match value.as_text() {
        Some("public") => Some((Access::Public, RequiredProof::default())),
        Some("optional") => Some((Access::Optional, RequiredProof::default())),
        Some("signed-in") => Some((Access::SignedIn, RequiredProof::default())),
        Some(other) => {
            value.location().problem(format!("unknown form {} (write {ACCESS})", quoted(other)));
            None
        }
        None => value.wrong_type(ACCESS),
    }
}

/// Reads `factor` and `max_age` of an access rule.
fn required_proof(table: &Table<'_>) -> RequiredProof {
    let factor = table.value("factor").and_then(|value| value.choice(&[("mfa", true)]));
    let max_age = table.value("max_age").and_then(|value| {
        let range = Duration::from_mins(1)..=Duration::from_hours(24 * 30);
        value.duration(range, "people need a minute to come back, and no session is older than a month")
    });
    RequiredProof { multi_factor: factor.unwrap_or(false), max_age }
}

fn upstream(value: &Value<'_>, upstreams: &[&str]) -> Option<String> {
    let name = value.text()?;
    // The upstream may be on a line that could not be parsed.
    if upstreams.contains(&name) || value.location().has_unreadable_lines() {
        return Some(name.to_owned());
    }
    let advice = match nearest(name, upstreams.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if upstreams.is_empty() => "add an [upstreams.<name>] table".to_owned(),
        None => format!("write {}, or add a table", any_of(upstreams.iter().copied())),
    };
    value.location().problem(format!("no upstream is named {} ({advice})", quoted(name)));
    None
}

fn host_patterns(value: &Value<'_>) -> Option<Vec<HostPattern>> {
    let patterns = value.distinct(r#"["app.example.com"]"#, host_pattern)?;
    if patterns.is_empty() {
        value.location().problem("empty, so the route would match no host: write [\"*\"] for every host");
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
        return Err(format!("{} has a port: write the host alone, which matches every port", quoted(text)));
    }
    if let Some(parent) = text.strip_prefix("*.") {
        if parent.starts_with('[') || parent.parse::<Ipv4Addr>().is_ok() {
            return Err(format!("{} is below an address: write a name such as *.example.com", quoted(text)));
        }
        return origin::host(parent).map(HostPattern::Below);
    }
    if text.contains('*') {
        return Err(format!(
            "{} has a star in the wrong place: write \"*\", \"*.example.com\" or \"app.example.com\"",
            quoted(text)
        ));
    }
    origin::host(text).map(HostPattern::Exact)
}

fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
    value.distinct(r#"["GET", "POST"]"#, method)
}

fn method(text: &str) -> Result<Method, String> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!(
            "{} has lower-case letters: write {}",
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
