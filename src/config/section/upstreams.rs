//! `[upstreams.<name>]`: the apps behind the gateway.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certificate::{Authorities, CertificateError, Identity};
use crate::config::defaults::{CONNECT_TIMEOUT, UPSTREAM_IDLE_TIMEOUT};
use crate::config::parse::hint::quoted;
use crate::config::parse::origin;
use crate::config::parse::origin::Origin;
use crate::config::parse::reader::Table;
use crate::config::section::tls;
use crate::config::section::upstream_headers;
use crate::config::section::upstream_headers::Defaults;
use crate::config::{RequestHeaders, ResponseHeaders};
use health::Health;

pub(crate) mod health;

/// `[upstreams.<name>]`
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Name of the upstream.
    pub name: String,
    /// Servers, used round robin.
    pub servers: Vec<UpstreamServer>,
    /// Timeout of one connect, after which the next server is tried.
    pub connect_timeout: Duration,
    /// Idle timeout of a connection, unless the app announces a shorter one.
    pub idle_timeout: Duration,
    /// `[upstreams.<name>.health]`
    pub health: Health,
    /// TLS settings for its https servers.
    pub tls: UpstreamTls,
    /// `identity`, `assertion` and `[upstreams.<name>.request_headers]`
    pub request_headers: RequestHeaders,
    /// `[upstreams.<name>.response_headers]`
    pub response_headers: ResponseHeaders,
}

/// TLS settings for https servers: trusted CAs, client certificate and server name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// CAs of server certificates; `None` = the system trust store.
    pub authorities: Option<Authorities>,
    /// Client certificate for servers that request one.
    pub identity: Option<Identity>,
    /// Name that the server certificates must cover; `None` = the host of each server.
    pub server_name: Option<String>,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// Protocol of the server.
    pub scheme: Scheme,
    /// A name or address, without brackets; `localhost` for a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Unix socket to connect to instead of host and port.
    pub socket: Option<PathBuf>,
}

/// Protocol used to an upstream server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS; the certificate is verified.
    Https,
    /// HTTP/2 with prior knowledge, without TLS.
    H2c,
}

impl UpstreamServer {
    /// Host and port as in a `Host` header: without the default port of the scheme.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.port() { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for UpstreamServer {
    /// Formats the server as in the configuration; the path of a socket is absolute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(socket) = &self.socket {
            return write!(f, "{UNIX}{}", socket.display());
        }
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl Scheme {
    /// Default port. HTTP/2 with prior knowledge uses that of http.
    const fn port(self) -> u16 {
        match self {
            Self::Http | Self::H2c => 80,
            Self::Https => 443,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

/// Reads all upstreams. The names include those with problems, so that a route to one of these is no second problem.
pub(crate) fn upstreams<'a>(
    table: Table<'a>,
    dir: &Path,
    defaults: &Defaults<'_>,
) -> (Vec<Upstream>, Vec<&'a str>) {
    let mut upstreams: Vec<Upstream> = Vec::new();
    let mut names = Vec::new();
    for (name, table) in table.named() {
        names.push(name);
        upstreams.extend(upstream(name, table, dir, defaults));
    }
    upstream_headers::check_total(&table, upstreams.iter().map(|upstream| &upstream.request_headers));
    (upstreams, names)
}

fn upstream(name: &str, table: Table<'_>, dir: &Path, defaults: &Defaults<'_>) -> Option<Upstream> {
    if let Err(message) = check_name(name) {
        table.location().problem(message);
    }
    let example = r#"["http://127.0.0.1:9000"]"#;
    let servers = table
        .required("servers", &format!("write the address of the app, such as servers = {example}"))
        .and_then(|value| {
            let servers = value.list(example, |item| item.parsed(|text| server(text, dir)))?;
            if servers.is_empty() && !value.location().has_problem() {
                value.location().problem(format!("empty: write the address of the app, such as {example}"));
            }
            Some(servers)
        });
    let connect_timeout = table.value("connect_timeout").and_then(|value| {
        let range = Duration::from_millis(10)..=Duration::from_mins(1);
        value.duration(range, "a local network needs 10ms, and nobody waits a minute")
    });
    let idle_timeout = table.value("idle_timeout").and_then(|value| {
        let range = Duration::from_secs(1)..=Duration::from_hours(1);
        value.duration(range, "shorter opens a connection per request; firewalls drop longer ones")
    });
    let health = health::health(table.table("health"));
    let request_headers = upstream_headers::request_headers(name, &table, defaults);
    let response_headers = upstream_headers::response_headers(&table);
    let tls = upstream_tls(&table, servers.as_deref().unwrap_or_default(), dir);
    table.finish();
    let connect_timeout = connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let idle_timeout = idle_timeout.unwrap_or(UPSTREAM_IDLE_TIMEOUT);
    Some(Upstream {
        name: name.to_owned(),
        servers: servers?,
        connect_timeout,
        idle_timeout,
        health,
        tls,
        request_headers,
        response_headers,
    })
}

fn upstream_tls(table: &Table<'_>, servers: &[UpstreamServer], dir: &Path) -> UpstreamTls {
    const NAMES: [&str; 3] = ["ca_file", "cert_file", "key_file"];
    let [authorities, chain, key] =
        NAMES.map(|name| table.value(name).and_then(|value| tls::pem(table, &value, name, dir)));
    let server_name = table.value("server_name").and_then(|value| value.parsed(server_name));
    let given = NAMES.into_iter().chain(["server_name"]).find(|name| table.has(name));
    if let Some(name) = given
        && !servers.is_empty()
        && servers.iter().all(|server| server.scheme != Scheme::Https)
    {
        table.location_of(name).problem("none of the servers is https: write https://, or remove this");
    }
    match (table.has("cert_file"), table.has("key_file")) {
        (true, false) => table.location_of("cert_file").problem("without key_file: name its private key too"),
        (false, true) => table.location_of("key_file").problem("without cert_file: name its certificate too"),
        _ => {}
    }
    let authorities = authorities.and_then(|(file, pem)| {
        let read = Authorities::read(&pem);
        read.map_err(|error| tls::report(table, "ca_file", &file, &error)).ok()
    });
    let identity = chain.zip(key).and_then(|((chain_file, chain), (key_file, key))| {
        let read = Identity::read(&chain, &key);
        let at = |error: &CertificateError| {
            if error.is_about_the_key() { ("key_file", &key_file) } else { ("cert_file", &chain_file) }
        };
        read.map_err(|error| {
            let (name, file) = at(&error);
            tls::report(table, name, file, &error);
        })
        .ok()
    });
    UpstreamTls { authorities, identity, server_name }
}

/// Checks a name of an upstream or route, which appears in logs and metrics.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(format!("{} is not a name: write characters from a-z 0-9 _ -", quoted(name)));
    }
    Ok(())
}

/// Prefix of the address of a Unix socket.
const UNIX: &str = "unix:";

/// Maximum length of a socket path (`sun_path` without its terminating zero).
const SOCKET_PATH: usize = 107;

fn server(text: &str, dir: &Path) -> Result<UpstreamServer, String> {
    if let Some((_, path)) = text.split_once(UNIX) {
        return socket(text, path, dir);
    }
    let schemes = [Scheme::Http, Scheme::Https, Scheme::H2c];
    let Origin { scheme, host, port, .. } =
        Origin::parse(text, &schemes.map(|scheme| (scheme.as_str(), scheme.port())))?;
    let scheme = schemes.into_iter().find(|known| known.as_str() == scheme).unwrap_or(Scheme::Http);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(UpstreamServer { scheme, host, port, socket: None })
}

/// Reads a server behind a Unix socket: HTTP/1.1, with the name `localhost`.
fn socket(text: &str, path: &str, dir: &Path) -> Result<UpstreamServer, String> {
    if !text.starts_with(UNIX) || path.starts_with("//") {
        let path = path.trim_start_matches('/');
        return Err(format!("{} is not a Unix socket: write \"unix:/{path}\"", quoted(text)));
    }
    if path.is_empty() || path.contains('\0') {
        return Err(format!(
            "{} does not name a socket: write one such as \"unix:/run/app.sock\"",
            quoted(text)
        ));
    }
    let socket = dir.join(path);
    if socket.as_os_str().len() > SOCKET_PATH {
        return Err(format!(
            "the path of a Unix socket has at most {SOCKET_PATH} bytes: choose a shorter one"
        ));
    }
    let (scheme, host) = (Scheme::Http, "localhost".to_owned());
    Ok(UpstreamServer { scheme, host, port: scheme.port(), socket: Some(socket) })
}

/// Reads a name that certificates can cover: a host as in `https://`, without port.
fn server_name(text: &str) -> Result<String, String> {
    let host = origin::host(text)?;
    Ok(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}
