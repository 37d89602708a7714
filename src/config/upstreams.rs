//! `[upstreams.<name>]`: the apps behind the gateway.

use std::time::Duration;

use super::defaults::CONNECT_TIMEOUT;
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

/// HTTP/2 with prior knowledge has no port of its own; it is HTTP in clear.
const SCHEMES: [(&str, u16); 3] = [("http", 80), ("https", 443), ("h2c", 80)];

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
    table.finish();
    let connect_timeout = connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    Some(Upstream { name: name.to_owned(), servers: servers?, connect_timeout })
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
    let Origin { scheme, host, port, .. } = Origin::parse(text, &SCHEMES)?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "h2c" => Scheme::H2c,
        _ => Scheme::Http,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(UpstreamServer { scheme, host, port })
}
