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
use crate::config::section::health;
use crate::config::section::health::Health;
use crate::config::section::tls;

/// `[upstreams.<name>]`
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Tried in turn.
    pub servers: Vec<UpstreamServer>,
    /// How long one connect may take, before the next server is tried.
    pub connect_timeout: Duration,
    /// How long a connection without requests is kept, unless the app says less.
    pub idle_timeout: Duration,
    /// `[upstreams.<name>.health]`
    pub health: Health,
    /// To its https servers.
    pub tls: UpstreamTls,
}

/// Whom https servers must be, and who we are to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who must have signed their certificates; `None` = whom this system trusts.
    pub authorities: Option<Authorities>,
    /// What is shown to those that ask.
    pub identity: Option<Identity>,
    /// The name their certificates must be for; `None` = the host of each.
    pub server_name: Option<String>,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name or address, without brackets; `localhost` behind a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The Unix socket it listens on, instead.
    pub socket: Option<PathBuf>,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS, the certificate verified.
    Https,
    /// HTTP/2 with prior knowledge, in clear.
    H2c,
}

impl UpstreamServer {
    /// Host and port as they stand in a `Host`: without the port of the scheme.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.port() { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for UpstreamServer {
    /// As it stands in the configuration, the path of a socket made absolute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(socket) = &self.socket {
            return write!(f, "{UNIX}{}", socket.display());
        }
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl Scheme {
    /// HTTP/2 with prior knowledge has no port of its own; it is HTTP in clear.
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

/// Reads every upstream. The names include those with problems, so that a route to one is not a second problem.
pub(crate) fn upstreams<'a>(table: Table<'a>, dir: &Path) -> (Vec<Upstream>, Vec<&'a str>) {
    let mut upstreams = Vec::new();
    let mut names = Vec::new();
    for (name, table) in table.named() {
        names.push(name);
        upstreams.extend(upstream(name, table, dir));
    }
    (upstreams, names)
}

fn upstream(name: &str, table: Table<'_>, dir: &Path) -> Option<Upstream> {
    if let Err(message) = check_name(name) {
        table.place().problem(message);
    }
    let example = r#"["http://127.0.0.1:9000"]"#;
    let servers = table
        .required("servers", &format!("write where the app is, such as servers = {example}"))
        .and_then(|value| {
            let servers = value.list(example, |item| item.parsed(|text| server(text, dir)))?;
            if servers.is_empty() && !value.place().is_flawed() {
                value.place().problem(format!("empty: write where the app is, such as {example}"));
            }
            Some(servers)
        });
    let connect_timeout = table.value("connect_timeout").and_then(|value| {
        let range = Duration::from_millis(10)..=Duration::from_mins(1);
        value.duration(range, "a near network needs 10ms, and a person waits no minute")
    });
    let idle_timeout = table.value("idle_timeout").and_then(|value| {
        let range = Duration::from_secs(1)..=Duration::from_hours(1);
        value.duration(range, "shorter, and each request makes a connection; firewalls forget longer ones")
    });
    let health = health::health(table.table("health"));
    let tls = upstream_tls(&table, servers.as_deref().unwrap_or_default(), dir);
    table.finish();
    let connect_timeout = connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let idle_timeout = idle_timeout.unwrap_or(UPSTREAM_IDLE_TIMEOUT);
    Some(Upstream { name: name.to_owned(), servers: servers?, connect_timeout, idle_timeout, health, tls })
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
        table.place_of(name).problem("none of the servers is https: write https://, or remove this");
    }
    match (table.has("cert_file"), table.has("key_file")) {
        (true, false) => table.place_of("cert_file").problem("without key_file: name its private key too"),
        (false, true) => table.place_of("key_file").problem("without cert_file: name its certificate too"),
        _ => {}
    }
    let authorities = authorities.and_then(|(file, pem)| {
        let read = Authorities::read(&pem);
        read.map_err(|error| tls::refuse(table, "ca_file", &file, &error)).ok()
    });
    let identity = chain.zip(key).and_then(|((chain_file, chain), (key_file, key))| {
        let read = Identity::read(&chain, &key);
        let at = |error: &CertificateError| {
            if error.is_about_the_key() { ("key_file", &key_file) } else { ("cert_file", &chain_file) }
        };
        read.map_err(|error| {
            let (name, file) = at(&error);
            tls::refuse(table, name, file, &error);
        })
        .ok()
    });
    UpstreamTls { authorities, identity, server_name }
}

/// Names of upstreams and routes stand in logs and metrics.
///
/// # Errors
/// What to write instead.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(format!("{} is not a name: write characters from a-z 0-9 _ -", quoted(name)));
    }
    Ok(())
}

/// How the address of a Unix socket begins.
const UNIX: &str = "unix:";

/// What the kernel takes of a socket's path (`sun_path`, with the zero at its end).
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

/// A server behind a Unix socket: HTTP/1.1, and `localhost` for a name.
fn socket(text: &str, path: &str, dir: &Path) -> Result<UpstreamServer, String> {
    if !text.starts_with(UNIX) || path.starts_with("//") {
        let path = path.trim_start_matches('/');
        return Err(format!("{} is not a Unix socket: write \"unix:/{path}\"", quoted(text)));
    }
    if path.is_empty() || path.contains('\0') {
        return Err(format!("{} names no socket: write one such as \"unix:/run/app.sock\"", quoted(text)));
    }
    let socket = dir.join(path);
    if socket.as_os_str().len() > SOCKET_PATH {
        return Err(format!(
            "the path of a Unix socket has at most {SOCKET_PATH} bytes: put it somewhere shorter"
        ));
    }
    let (scheme, host) = (Scheme::Http, "localhost".to_owned());
    Ok(UpstreamServer { scheme, host, port: scheme.port(), socket: Some(socket) })
}

/// A name that certificates are for: what `https://` takes, and no port.
fn server_name(text: &str) -> Result<String, String> {
    let host = origin::host(text)?;
    Ok(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}
