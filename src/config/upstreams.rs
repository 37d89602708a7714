//! `[upstreams.<name>]`: the apps behind the gateway.

use std::fmt;
use std::time::Duration;

use super::defaults::CONNECT_TIMEOUT;
use super::health::{self, Health};
use super::hint::quoted;
use super::origin::Origin;
use super::reader::Table;

/// `[upstreams.<name>]`
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Tried in turn.
    pub servers: Vec<UpstreamServer>,
    /// How long one connect may take, before the next server is tried.
    pub connect_timeout: Duration,
    /// `[upstreams.<name>.health]`
    pub health: Health,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
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
    /// As it stands in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
pub(super) fn upstreams<'a>(table: Table<'a>) -> (Vec<Upstream>, Vec<&'a str>) {
    let mut upstreams = Vec::new();
    let mut names = Vec::new();
    for (name, table) in table.named() {
        names.push(name);
        upstreams.extend(upstream(name, table));
    }
    (upstreams, names)
}

fn upstream(name: &str, table: Table<'_>) -> Option<Upstream> {
    if let Err(message) = check_name(name) {
        table.place().problem(message);
    }
    let example = r#"["http://127.0.0.1:9000"]"#;
    let servers = table
        .required("servers", &format!("write where the app is, such as servers = {example}"))
        .and_then(|value| {
            let servers = value.list(example, |item| item.parsed(server))?;
            if servers.is_empty() && !value.place().is_flawed() {
                value.place().problem(format!("empty: write where the app is, such as {example}"));
            }
            Some(servers)
        });
    let connect_timeout = table.value("connect_timeout").and_then(|value| {
        let range = Duration::from_millis(10)..=Duration::from_mins(1);
        value.duration(range, "a near network needs 10ms, and a person waits no minute")
    });
    let health = health::health(table.table("health"));
    table.finish();
    let connect_timeout = connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    Some(Upstream { name: name.to_owned(), servers: servers?, connect_timeout, health })
}

/// Names of upstreams and routes stand in logs and metrics.
///
/// # Errors
/// What to write instead.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(format!("{} is not a name: write characters from a-z 0-9 _ -", quoted(name)));
    }
    Ok(())
}

fn server(text: &str) -> Result<UpstreamServer, String> {
    let schemes = [Scheme::Http, Scheme::Https, Scheme::H2c];
    let Origin { scheme, host, port, .. } =
        Origin::parse(text, &schemes.map(|scheme| (scheme.as_str(), scheme.port())))?;
    let scheme = schemes.into_iter().find(|known| known.as_str() == scheme).unwrap_or(Scheme::Http);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(UpstreamServer { scheme, host, port })
}
