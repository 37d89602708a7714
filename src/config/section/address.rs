//! Store addresses: `scheme://[user[:password]@]host[:port][,host…][/path][?key=value…]`.
//!
//! They contain passwords, so messages quote only the scheme and the names of parameters.

use std::path::Path;

use zeroize::Zeroizing;

use crate::config::{ChannelBinding, PostgresUrl, RedisTopology, RedisUrl, StoreHost};
use crate::secret::Secret;
use crate::text::escaped_byte;

mod parameters;

/// The parts of an address, percent-decoded.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<String>,
    password: Option<Secret<String>>,
    hosts: Vec<StoreHost>,
    path: Vec<String>,
    query: parameters::Parameters,
}

/// Reads `postgres://user:password@host,host/database?sslmode=require`.
pub(crate) fn postgres(text: &str) -> Result<PostgresUrl, String> {
    let mut parts = Parts::of(text, 5432)?;
    let parameters = parameters::postgres(&parts.query)?;
    let user = parts.user.take().filter(|user| !user.is_empty());
    let user =
        user.ok_or("the address names no user: write postgres://<user>:<password>@<host>/<database>")?;
    let database = match &parts.path[..] {
        [] => user.clone(),
        [name] if name.is_empty() => user.clone(),
        [name] => name.clone(),
        _ => {
            return Err("the address names more than a database: write postgres://<user>@<host>/<database>"
                .to_owned());
        }
    };
    // A password must not cross a network in clear because a parameter was forgotten.
    let tls = parameters.tls.unwrap_or_else(|| !parts.hosts.iter().all(StoreHost::is_local));
    if !tls && parameters.channel_binding == ChannelBinding::Require {
        return Err("channel_binding=require needs TLS: write sslmode=require".to_owned());
    }
    let parameters::Postgres { tls: _, channel_binding, application_name } = parameters;
    let (hosts, password) = (parts.hosts, parts.password);
    Ok(PostgresUrl { hosts, user, password, database, tls, channel_binding, application_name })
}

/// Reads `redis://`, `rediss://` and their `+sentinel` and `+cluster` forms.
pub(crate) fn redis(text: &str) -> Result<RedisUrl, String> {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let (base, form) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = matches!(base, "rediss" | "valkeys");
    let mut parts = Parts::of(text, if form == "sentinel" { 26379 } else { 6379 })?;
    if parts.hosts.iter().any(StoreHost::is_socket) {
        return Err("only TCP is supported for Redis: write the name or address of a host".to_owned());
    }
    let parameters = parameters::redis(std::mem::take(&mut parts.query), form, tls)?;
    let database = |text: Option<&String>| match text.map(String::as_str) {
        None | Some("") => Ok(0),
        Some(text) => {
            text.parse().map_err(|_| "write the number of a database after the last /, such as 0".to_owned())
        }
    };
    let (topology, database) = match (form, &parts.path[..]) {
        ("", path @ ([] | [_])) => match <[StoreHost; 1]>::try_from(parts.hosts) {
            Ok([host]) => {
                let in_path = path.first().filter(|text| !text.is_empty());
                if in_path.is_some() && parameters.database.is_some() {
                    return Err("the database is given twice: remove the parameter `db`".to_owned());
                }
                (RedisTopology::Single(host), database(in_path.or(parameters.database.as_ref()))?)
            }
            Err(_) => {
                return Err(
                    "several hosts need their kind: write redis+sentinel:// or redis+cluster://".to_owned()
                );
            }
        },
        ("sentinel", [master, rest @ ..]) if !master.is_empty() && rest.len() < 2 => {
            let database = database(rest.first())?;
            let topology = RedisTopology::Sentinel {
                hosts: parts.hosts,
                master: master.clone(),
                user: parameters.sentinel_user,
                password: parameters.sentinel_password.map(|text| Secret::new(text.to_string())),
            };
            (topology, database)
        }
        ("sentinel", _) => {
            return Err(
                "write the name that the Sentinels know the master by: redis+sentinel://<host>,<host>/<name>"
                    .to_owned(),
            );
        }
        ("cluster", []) => (RedisTopology::Cluster(parts.hosts), 0),
        ("cluster", [path]) if path.is_empty() => (RedisTopology::Cluster(parts.hosts), 0),
        ("cluster", _) => {
            return Err(
                "a cluster has one database: write redis+cluster://<host>,<host> and nothing after it"
                    .to_owned(),
            );
        }
        _ => {
            return Err(
                "only the number of a database may follow the host: write redis://<host>/0".to_owned()
            );
        }
    };
    Ok(RedisUrl { topology, user: parts.user, password: parts.password, database, tls })
}

impl StoreHost {
    /// Returns whether traffic to this host stays on this machine.
    fn is_local(&self) -> bool {
        self.is_socket()
            || self.name == "localhost"
            || self.name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Returns whether the name is the directory of a Unix socket.
    pub fn is_socket(&self) -> bool {
        Path::new(&self.name).is_absolute()
    }
}

impl<'a> Parts<'a> {
    fn of(text: &'a str, port: u16) -> Result<Self, String> {
        const SHAPE: &str = "this is not an address: write <scheme>://<user>:<password>@<host>:<port>/<name>";
        let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            return Err("the address contains a space or a #: write it as %20 or %23".to_owned());
        }
        if rest.split(['/', '?']).skip(1).any(|after| after.contains('@')) {
            return Err("there is an @ after the host: in a password write %2F, %40, %3A, %3F and %23 for /, @, :, ? \
                        and #"
                .to_owned());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.split('/').map(decoded).collect::<Result<_, _>>()?),
            None => (rest, Vec::new()),
        };
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (mut user, mut password) = (None, None);
        if let Some(credentials) = credentials {
            let (name, secret) = match credentials.split_once(':') {
                Some((name, secret)) => (name, Some(secret)),
                None => (credentials, None),
            };
            user = Some(decoded(name)?).filter(|name| !name.is_empty());
            password = secret.map(decoded).transpose()?.map(Secret::new);
        }
        let hosts = hosts.split(',').map(|text| host(text, port)).collect::<Result<_, _>>()?;
        let pair = |pair: &str| {
            let (name, value) =
                pair.split_once('=').ok_or("a parameter must be a pair such as name=value")?;
            Ok::<_, String>((decoded(name)?, Zeroizing::new(decoded(value)?)))
        };
        let query = query.split('&').filter(|text| !text.is_empty()).map(pair).collect::<Result<_, _>>()?;
        Ok(Self { scheme, user, password, hosts, path, query }).and_then(Self::known)
    }

    fn known(self) -> Result<Self, String> {
        match self.scheme {
            "postgres" | "postgresql" | "redis" | "rediss" | "valkey" | "valkeys" | "redis+sentinel"
            | "rediss+sentinel" | "redis+cluster" | "rediss+cluster" => Ok(self),
            _ => Err("unknown kind of address: write redis://, rediss:// (TLS), redis+sentinel://, \
                      rediss+sentinel://, redis+cluster:// or rediss+cluster://"
                .to_owned()),
        }
    }
}

fn host(text: &str, port: u16) -> Result<StoreHost, String> {
    const SHAPE: &str =
        "a host is missing or misspelt: write name, name:port or [IPv6 address]:port, separated by commas";
    let number = |text: &str| text.parse().ok().filter(|port| *port > 0).ok_or(SHAPE);
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or(SHAPE)?;
        name.parse::<std::net::Ipv6Addr>().map_err(|_| SHAPE)?;
        match rest.strip_prefix(':') {
            Some(port) => (name.to_owned(), number(port)?),
            None if rest.is_empty() => (name.to_owned(), port),
            None => return Err(SHAPE.to_owned()),
        }
    } else {
        match text.split_once(':') {
            Some((name, port)) => (decoded(name)?, number(port)?),
            None => (decoded(text)?, port),
        }
    };
    let is_name = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':'))
    };
    if name.is_empty() || !(is_name(&name) || Path::new(&name).is_absolute()) {
        return Err(SHAPE.to_owned());
    }
    Ok(StoreHost { name, port })
}

fn decoded(text: &str) -> Result<String, String> {
    const WRONG: &str = "a % in the address is not followed by two hexadecimal digits: write % itself as %25";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let is_escape = byte == b'%';
        bytes.push(if is_escape { escaped_byte(after).ok_or(WRONG)? } else { byte });
        rest = if is_escape { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(|| WRONG.to_owned())
}

#[cfg(test)]
mod tests;
