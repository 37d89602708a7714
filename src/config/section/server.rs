//! `[server]`, `[server.limits]` and `[admin]`.

use crate::config::Tls;
use crate::secret::Secret;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::parse::hint::quoted;
use crate::config::parse::location::Location;
use crate::config::parse::origin::{Origin, WEB};
use crate::config::parse::paths::segments;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;
use crate::config::parse::secrets;
use crate::config::section::listen::{addresses, unix_mode};
use crate::config::section::tls;
use crate::config::{Env, ListenAddress, UNIX_PEER, defaults, usize_from};

/// `[server]`: the public listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// Permission bits of the Unix sockets created.
    pub unix_mode: u32,
    /// Public origins, as browsers write them: `scheme://host[:port]`, no path.
    pub public_urls: Vec<String>,
    /// Path prefix of the gateway's own endpoints, such as `/auth`; no trailing slash.
    pub auth_prefix: String,
    /// Origins whose scripts may call the gateway's endpoints.
    pub cors_origins: Vec<String>,
    /// Peers whose `X-Forwarded-*` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Default of `strict_siblings` of every route: requests that resemble a stricter route must satisfy it too.
    pub strict_siblings: bool,
    /// Worker threads; 0 = one per core.
    pub threads: usize,
    /// Time between readiness turning off and the listeners closing.
    pub lameduck: Duration,
    /// Maximum time for requests in flight to finish after that.
    pub drain_timeout: Duration,
    /// Idle timeout of a connection.
    pub keepalive_timeout: Duration,
    /// `[server.limits]`
    pub limits: Limits,
    /// Plain HTTP addresses that redirect navigations to https.
    pub redirect_listen: Vec<ListenAddress>,
    /// Peers that must send a PROXY protocol header, which names the client.
    pub proxy_protocol_from: Vec<IpNet>,
    /// True if HTTP/2 with prior knowledge is accepted without TLS.
    pub h2c: bool,
    /// Path of the health check on the public listener; `None` = none.
    pub health_path: Option<String>,
    /// `[server.tls]`; if set, every address of `listen` uses TLS.
    pub tls: Option<Tls>,
}

/// `[server.limits]`
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections from one address.
    pub connections_per_ip: usize,
    /// Maximum size of request line and header fields together, in bytes.
    pub header_bytes: usize,
    /// Maximum number of header fields of a request.
    pub header_fields: usize,
    /// Maximum time from the first byte of a request until its header is complete.
    pub header_deadline: Duration,
    /// Minimum average rate of a request body in bytes per second; 0 = no limit.
    pub min_body_rate: u64,
    /// Maximum time without progress while a client reads a response.
    pub send_timeout: Duration,
    /// Maximum bytes of memory held for clients that make no progress.
    pub stalled_bytes: u64,
    /// Maximum number of requests per connection; then the client must open a new one.
    pub requests_per_connection: u32,
    /// Maximum number of concurrent streams of an HTTP/2 connection; 0 = no HTTP/2.
    pub http2_streams: u32,
}

/// `[admin]`: metrics and health; must not be reachable from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Addresses to listen on; empty = no admin listener.
    pub listen: Vec<ListenAddress>,
    /// Bearer token of `/admin/…`; without it these endpoints do not exist.
    pub token: Option<Secret<String>>,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Reads `[server]`.
pub(crate) fn server(table: Table<'_>, default: Server, dir: &Path) -> Server {
    let origins = r#"["https://app.example.com"]"#;
    let public_urls = table.value("public_urls").and_then(|value| {
        let urls = value.list(origins, |item| item.parsed(public_url))?;
        if urls.is_empty() && !value.location().has_problem() {
            value.location().problem(
                "empty, but the Origin of every login is compared with it: write the URL people use",
            );
        }
        Some(urls.iter().map(Origin::to_string).collect())
    });
    let cors_origins = table.value("cors_origins").and_then(|value| cors_origins(&value));
    let redirect = addresses(&table, "redirect_listen", dir);
    let listen = addresses(&table, "listen", dir);
    if listen.as_ref().is_some_and(Vec::is_empty) && !table.location_of("listen").has_problem() {
        table
            .location_of("listen")
            .problem(r#"empty, so nobody could be served: write an address such as "127.0.0.1:8080""#);
    }
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let listen = listen.unwrap_or(default.listen);
    let server = Server {
        public_urls: public_urls.unwrap_or_else(|| defaults::public_urls(&listen)),
        listen,
        unix_mode: table.value("unix_mode").and_then(|value| unix_mode(&value)).unwrap_or(default.unix_mode),
        auth_prefix: table
            .value("auth_prefix")
            .and_then(|value| value.parsed(auth_prefix))
            .unwrap_or(default.auth_prefix),
        cors_origins: cors_origins.unwrap_or(default.cors_origins),
        trusted_proxies: table
            .value("trusted_proxies")
            .and_then(|value| value.list(r#"["10.0.0.0/8"]"#, |item| item.parsed(trusted_proxy)))
            .unwrap_or(default.trusted_proxies),
        strict_siblings: table
            .value("strict_siblings")
            .and_then(|value| value.flag())
            .unwrap_or(default.strict_siblings),
        threads: table
            .value("threads")
            .and_then(|value| value.count(0..=1024, "0 is one per core; no machine needs more than 1024"))
            .map_or(default.threads, usize_from),
        lameduck: duration(
            "lameduck",
            Duration::ZERO..=Duration::from_mins(10),
            "load balancers notice within minutes, and every shutdown takes this long",
        )
        .unwrap_or(default.lameduck),
        drain_timeout: duration("drain_timeout", Duration::ZERO..=HOUR, "a shutdown must end")
            .unwrap_or(default.drain_timeout),
        keepalive_timeout: duration(
            "keepalive_timeout",
            SECOND..=HOUR,
            "shorter closes connections between two clicks, longer keeps dead ones",
        )
        .unwrap_or(default.keepalive_timeout),
        limits: limits(table.table("limits"), default.limits),
        redirect_listen: redirect.unwrap_or(default.redirect_listen),
        proxy_protocol_from: table
            .value("proxy_protocol_from")
            .and_then(|value| value.list(r#"["10.0.0.0/8"]"#, |item| item.parsed(trusted_proxy)))
            .unwrap_or(default.proxy_protocol_from),
        h2c: table.value("h2c").and_then(|value| value.flag()).unwrap_or(default.h2c),
        health_path: table
            .value("health_path")
            .and_then(|value| value.parsed(health_path))
            .unwrap_or(default.health_path),
        tls: tls::tls(&table, dir),
    };
    check_https(&table, &server);
    check_h2c(&table, &server);
    table.finish();
    server
}

/// Checks that TLS addresses have https URLs, and that the redirect leads to TLS addresses.
fn check_https(table: &Table<'_>, server: &Server) {
    let (listen, redirect) = (table.location_of("listen"), table.location_of("redirect_listen"));
    let shared =
        server.redirect_listen.iter().find(|address| address.is_chosen() && server.listen.contains(address));
    if let Some(address) = shared
        && let Some(location) = redirect.with(&listen)
    {
        location.problem(format!(
            "\"{address}\" is both in listen and in redirect_listen: remove it from one of the two"
        ));
    }
    let tls = table.location_of("tls");
    if !table.has("tls") {
        if !server.redirect_listen.is_empty() && !redirect.has_problem() {
            redirect.problem(
                "there is no [server.tls] to redirect to: add it, or let the proxy that terminates TLS \
                              redirect",
            );
        }
        return;
    }
    let plain = server.public_urls.iter().find(|url| url.starts_with("http://"));
    if let (Some(url), Some(location)) = (plain, table.location_of("public_urls").with(&tls)) {
        let https = url.replacen("http://", "https://", 1);
        location.problem(format!(
            "{url:?} is http, but the addresses use TLS (server.tls): write the URL that browsers show, such as \
             {https:?}"
        ));
    }
}

fn check_h2c(table: &Table<'_>, server: &Server) {
    let location = table.location_of("h2c");
    if !server.h2c || location.has_problem() {
        return;
    }
    if table.has("tls") {
        location.problem("with [server.tls] clients choose HTTP/2 in the handshake: remove this line");
    } else if server.limits.http2_streams == 0 {
        location.problem("server.limits.http2_streams = 0 allows no HTTP/2: remove one of the two");
    }
}

fn limits(table: Table<'_>, default: Limits) -> Limits {
    table.replaced(
        "unread_responses",
        "is now stalled_bytes, a limit on memory: write stalled_bytes = \"64MiB\", or remove the line",
    );
    const CONNECTIONS: &str = "0 would refuse everybody; a million is more than one process can open";
    let connections =
        |name| table.value(name).and_then(|value| value.count(1..=1_000_000, CONNECTIONS)).map(usize_from);
    let limits = Limits {
        connections: connections("connections").unwrap_or(default.connections),
        connections_per_ip: connections("connections_per_ip").unwrap_or(default.connections_per_ip),
        header_bytes: table
            .value("header_bytes")
            .and_then(|value| {
                value.size(1 << 10..=1 << 20, "cookies need 1KiB, and each connection may use this much")
            })
            .map_or(default.header_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        header_fields: table
            .value("header_fields")
            .and_then(|value| value.count(10..=250, "browsers send about 20, and the HTTP parser takes 256"))
            .map_or(default.header_fields, usize_from),
        min_body_rate: table
            .value("min_body_rate")
            .and_then(|value| {
                value.size(0..=1 << 20, "per second; the slowest modems had 600B; 0B is no limit")
            })
            .unwrap_or(default.min_body_rate),
        send_timeout: table
            .value("send_timeout")
            .and_then(|value| {
                value.duration(
                    SECOND..=HOUR,
                    "mobile clients pass tunnels; each stalled response holds a connection to the app",
                )
            })
            .unwrap_or(default.send_timeout),
        stalled_bytes: table
            .value("stalled_bytes")
            .and_then(|value| {
                value.size(1 << 20..=1 << 40, "each stalled download may hold 1 MiB, and all share this")
            })
            .unwrap_or(default.stalled_bytes),
        requests_per_connection: table
            .value("requests_per_connection")
            .and_then(|value| value.count(1..=100_000_000, "each new connection is another handshake"))
            .unwrap_or(default.requests_per_connection),
        http2_streams: table
            .value("http2_streams")
            .and_then(|value| {
                value.count(0..=1000, "0 is HTTP/1.1 only; each stream may hold a request to the app")
            })
            .unwrap_or(default.http2_streams),
        header_deadline: table
            .value("header_deadline")
            .and_then(|value| {
                value.duration(
                    SECOND..=Duration::from_mins(5),
                    "slow phones need a second; slow attackers use all of it",
                )
            })
            .unwrap_or(default.header_deadline),
    };
    table.finish();
    limits
}

/// Reads `[admin]`; an address cannot be both public and admin.
pub(crate) fn admin(
    table: Table<'_>,
    default: Admin,
    (server, public): (&Server, &Location<'_>),
    (dir, env): (&Path, Env<'_>),
) -> Admin {
    let admin = Admin {
        listen: addresses(&table, "listen", dir).unwrap_or(default.listen),
        token: secrets::admin_token(&table, dir, env),
    };
    let is_public =
        |address: &ListenAddress| server.listen.contains(address) || server.redirect_listen.contains(address);
    let shared = admin.listen.iter().find(|address| address.is_chosen() && is_public(address));
    if let Some(address) = shared
        && let Some(location) = table.location_of("listen").with(public)
    {
        location.problem(format!(
            "\"{address}\" is public too (server.listen or redirect_listen): give metrics and health their own port"
        ));
    }
    table.finish();
    admin
}

fn auth_prefix(text: &str) -> Result<String, String> {
    segments(text)?;
    if text == "/" {
        return Err(r#""/" would take every path from the app: write a path such as "/auth""#.to_owned());
    }
    if text == "/.well-known" || text.starts_with("/.well-known/") {
        return Err(r#"/.well-known is shared with the app: write a path such as "/auth""#.to_owned());
    }
    Ok(text.to_owned())
}

fn health_path(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    segments(text)?;
    if text == "/" {
        return Err(
            r#""/" would take the app's first page from people: write a path such as "/healthz""#.to_owned()
        );
    }
    Ok(Some(text.to_owned()))
}

fn public_url(text: &str) -> Result<Origin, String> {
    if text.contains('*') {
        return Err(format!(
            "{} has a star: remove it; the hosts of routes need not be listed here",
            quoted(text)
        ));
    }
    Origin::parse(text, WEB)
}

/// Reads a list of CORS origins.
pub(crate) fn cors_origins(value: &Value<'_>) -> Option<Vec<String>> {
    let origins = value.list(r#"["https://app.example.com"]"#, |item| item.parsed(cors_origin))?;
    Some(origins.iter().map(Origin::to_string).collect())
}

fn cors_origin(text: &str) -> Result<Origin, String> {
    match text {
        "*" => Err("\"*\" would let the scripts of every site act as the signed-in user: list the origins"
            .to_owned()),
        "null" => Err("\"null\" is what any sandboxed page sends as its origin: list the origins".to_owned()),
        text => Origin::parse(text, WEB),
    }
}

fn trusted_proxy(text: &str) -> Result<IpNet, String> {
    if text == "unix:" {
        return Ok(IpNet::from(UNIX_PEER));
    }
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or(address).map_err(|_| {
        format!(
            "{} is not a network: write one such as \"10.0.0.0/8\", an address, or \"unix:\" for peers of Unix sockets",
            quoted(text)
        )
    })?;
    if network.prefix_len() == 0 {
        return Err(format!(
            "{} matches every client, which could then claim any address: list your proxies",
            quoted(text)
        ));
    }
    if network.addr() != network.network() {
        return Err(format!("{} has bits set after its prefix: write \"{}\"", quoted(text), network.trunc()));
    }
    Ok(network)
}
