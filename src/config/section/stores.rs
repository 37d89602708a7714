//! `[vault]` and `[sessions]`.

use crate::secret::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Env;
use crate::config::parse::hint::quoted;
use crate::config::parse::location::Location;
use crate::config::parse::reader::Table;
use crate::config::parse::secrets;
use crate::config::parse::secrets::path;
use crate::config::parse::units::show_duration;
use crate::config::section::address;

/// `[vault]`
#[derive(Clone, Debug, PartialEq)]
pub struct Vault {
    /// Address of the database.
    pub url: VaultUrl,
    /// CA certificates (PEM) for the certificate of Postgres; `None` = the system trust store.
    pub ca_file: Option<PathBuf>,
    /// Key that encrypts the signing keys.
    pub master_key: MasterKey,
    /// Maximum number of connections to Postgres, not counting the one that listens.
    pub pool_size: usize,
    /// True if statements are prepared once per connection; must be false behind a pooler in transaction mode.
    pub prepared: bool,
    /// Timeout of one statement.
    pub statement_timeout: Duration,
    /// Validity of the revocation list after the last confirmation by the vault.
    pub lease: Duration,
    /// Retention of the audit trail.
    pub audit_retention: Duration,
}

/// Address of the vault.
#[derive(Clone, Debug, PartialEq)]
pub enum VaultUrl {
    /// `sqlite:<file>`
    Sqlite(PathBuf),
    /// `postgres://…`
    Postgres(PostgresUrl),
}

impl VaultUrl {
    /// Returns whether several gateways can share it, that is, it is not a file of this machine.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// `postgres://user:password@host,host/database`
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresUrl {
    /// Servers, at least one; several are tried in turn for the primary.
    pub hosts: Vec<StoreHost>,
    /// The role.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret<String>>,
    /// The database.
    pub database: String,
    /// True if the connection is encrypted and the server's certificate and name are verified.
    pub tls: bool,
    /// Binding of the password exchange to the TLS connection (SCRAM-SHA-256-PLUS, RFC 5929 section 4).
    pub channel_binding: ChannelBinding,
    /// Name of the connections in `pg_stat_activity`; `None` = doorward.
    pub application_name: Option<String>,
}

/// Use of channel binding with Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Used if the server offers it.
    #[default]
    Prefer,
    /// Required; a server that does not offer it is rejected.
    Require,
    /// Not used, for poolers that break it.
    Disable,
}

/// A server of a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreHost {
    /// A DNS name, an IP address, or the directory of a Unix socket (Postgres).
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// Source of the master key.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterKey {
    /// `master_key` or `master_key_env`: 32 bytes, base64url.
    Value(Secret<String>),
    /// `master_key_file`: created on first start (mode 0600) with an embedded vault.
    File(PathBuf),
}

/// `[sessions]`
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Address of the session store.
    pub url: SessionsUrl,
    /// CA certificates (PEM) for the certificate of Redis; `None` = the system trust store.
    pub ca_file: Option<PathBuf>,
    /// Prefix of every key in Redis.
    pub key_prefix: String,
    /// Timeout of a command to Redis while the vault can be queried instead.
    pub timeout: Duration,
    /// Maximum age of a confirmed session in the local cache; zero = checked on every request.
    pub revalidate_after: Duration,
    /// Maximum time a shared session store alone may confirm sessions while the vault is down; zero = never.
    pub vault_outage_grace: Duration,
    /// Idle timeout of a session.
    pub idle_timeout: Duration,
    /// Lifetime of a session, counted from its login.
    pub absolute_timeout: Duration,
    /// Size of the cache for verified tokens and confirmed sessions, in bytes.
    pub local_cache_bytes: u64,
    /// Live streams are closed when the revocation list has been out of date for this long.
    pub stream_lease: Duration,
}

/// Address of the session store.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionsUrl {
    /// `memory:`
    Memory,
    /// `redis://…`
    Redis(RedisUrl),
}

/// `redis://`, `rediss://`, `redis+sentinel://`, `redis+cluster://`
#[derive(Clone, Debug, PartialEq)]
pub struct RedisUrl {
    /// The servers and their topology.
    pub topology: RedisTopology,
    /// The ACL user; `None` is `default`.
    pub user: Option<String>,
    /// Its password, if it needs one.
    pub password: Option<Secret<String>>,
    /// Database number; 0 in a cluster.
    pub database: i64,
    /// True if every connection is encrypted and the servers' certificates and names are verified.
    pub tls: bool,
}

/// Topology of the Redis servers.
#[derive(Clone, Debug, PartialEq)]
pub enum RedisTopology {
    /// One server.
    Single(StoreHost),
    /// Sentinels, which report the address of the master.
    Sentinel {
        /// The Sentinels.
        hosts: Vec<StoreHost>,
        /// Name of the master at the Sentinels.
        master: String,
        /// ACL user of the Sentinels themselves.
        user: Option<String>,
        /// Its password.
        password: Option<Secret<String>>,
    },
    /// A cluster, discovered from any of these servers.
    Cluster(Vec<StoreHost>),
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// Maximum lifetime of a cookie in browsers (RFC 6265bis section 5.5).
const MAX_SESSION: Duration = Duration::from_hours(400 * 24);

/// Reads `[vault]`.
pub(crate) fn vault(table: Table<'_>, default: Vault, dir: &Path, env: Env<'_>) -> Vault {
    let vault = Vault {
        url: secrets::url(&table, dir, env, |text| vault_url(text, dir)).unwrap_or(default.url),
        ca_file: ca_file(&table, dir),
        pool_size: table
            .value("pool_size")
            .and_then(|value| value.count(1..=1000, "Postgres has 100 connections for everybody by default"))
            .map_or(default.pool_size, |count| count as usize),
        prepared: table.value("prepared").and_then(|value| value.flag()).unwrap_or(default.prepared),
        master_key: secrets::master_key(&table, dir, env).unwrap_or(default.master_key),
        statement_timeout: table
            .value("statement_timeout")
            .and_then(|value| {
                value.duration(
                    Duration::from_millis(10)..=MINUTE,
                    "a disk needs 10ms, and nobody waits a minute",
                )
            })
            .unwrap_or(default.statement_timeout),
        lease: table
            .value("lease")
            .and_then(|value| {
                value.duration(
                    Duration::from_millis(100)..=MINUTE,
                    "it is renewed four times per period, and bounds the delay of a revocation",
                )
            })
            .unwrap_or(default.lease),
        audit_retention: table
            .value("audit_retention")
            .and_then(|value| {
                value.duration(
                    24 * HOUR..=3660 * 24 * HOUR,
                    "addresses are personal data, and what is noticed late must still be there",
                )
            })
            .unwrap_or(default.audit_retention),
    };
    if matches!(&vault.url, VaultUrl::Postgres(url) if url.tls) || vault.ca_file.is_none() {
    } else if let Some(location) = table.location_of("ca_file").with(&table.location_of("url")) {
        location.problem(
            "the address uses no TLS, so no certificate is verified: add ?sslmode=require to it, or remove ca_file",
        );
    }
    if let MasterKey::File(file) = &vault.master_key {
        drop(table.file("master_key_file", file));
    }
    table.finish();
    vault
}

/// Reads `[sessions]`.
pub(crate) fn sessions(
    table: Table<'_>,
    default: Sessions,
    (dir, env): (&Path, Env<'_>),
    vault: &Vault,
    vault_lease: &Location<'_>,
) -> Sessions {
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let life = "a session must outlast one page, and no browser keeps a cookie beyond 400d (RFC 6265bis)";
    let sessions = Sessions {
        url: secrets::url(&table, dir, env, sessions_url).unwrap_or(default.url),
        ca_file: ca_file(&table, dir),
        key_prefix: table
            .value("key_prefix")
            .and_then(|value| value.parsed(key_prefix))
            .unwrap_or(default.key_prefix),
        timeout: duration(
            "timeout",
            Duration::from_millis(10)..=Duration::from_secs(1),
            "a reply from another zone needs 10ms, and nobody waits a second for a cache",
        )
        .unwrap_or(default.timeout),
        revalidate_after: duration(
            "revalidate_after",
            Duration::ZERO..=Duration::from_mins(10),
            "0s checks on every request; longer trusts the cache too long",
        )
        .unwrap_or(default.revalidate_after),
        vault_outage_grace: duration(
            "vault_outage_grace",
            Duration::ZERO..=HOUR,
            "0s is never; without the vault a revocation may be missed",
        )
        .unwrap_or(default.vault_outage_grace),
        idle_timeout: duration("idle_timeout", MINUTE..=MAX_SESSION, life).unwrap_or(default.idle_timeout),
        absolute_timeout: duration("absolute_timeout", MINUTE..=MAX_SESSION, life)
            .unwrap_or(default.absolute_timeout),
        local_cache_bytes: table
            .value("local_cache_bytes")
            .and_then(|value| {
                value
                    .size(1 << 20..=64 << 30, "1MiB holds a few hundred tokens, 64GiB more than any site has")
            })
            .unwrap_or(default.local_cache_bytes),
        stream_lease: duration(
            "stream_lease",
            Duration::from_secs(1)..=HOUR,
            "shorter ends streams at a brief outage, longer leaves revoked ones open",
        )
        .unwrap_or(default.stream_lease),
    };
    let (idle, absolute) = (table.location_of("idle_timeout"), table.location_of("absolute_timeout"));
    if sessions.idle_timeout > sessions.absolute_timeout
        && let Some(location) = idle.with(&absolute)
    {
        location.problem(format!(
            "idle_timeout is {}, more than the {} of absolute_timeout, so it could never be reached: lower \
             idle_timeout, or raise absolute_timeout",
            show_duration(sessions.idle_timeout),
            show_duration(sessions.absolute_timeout)
        ));
    }
    if sessions.stream_lease < vault.lease
        && let Some(location) = table.location_of("stream_lease").with(vault_lease)
    {
        location.problem(format!(
            "sessions.stream_lease is {}, less than the {} of vault.lease, so streams would end between two \
             renewals: raise sessions.stream_lease, or lower vault.lease",
            show_duration(sessions.stream_lease),
            show_duration(vault.lease)
        ));
    }
    if matches!(&sessions.url, SessionsUrl::Redis(url) if url.tls) || sessions.ca_file.is_none() {
    } else if let Some(location) = table.location_of("ca_file").with(&table.location_of("url")) {
        location.problem(
            "the address uses no TLS, so no certificate is verified: write rediss://, or remove ca_file",
        );
    }
    table.finish();
    sessions
}

fn ca_file(table: &Table<'_>, dir: &Path) -> Option<PathBuf> {
    let file = table.value("ca_file").and_then(|value| value.parsed(|text| path(text, dir)))?;
    // The store client reads and checks it when it connects; here it is only added to the watched files.
    drop(table.file("ca_file", &file));
    Some(file)
}

fn vault_url(text: &str, dir: &Path) -> Result<VaultUrl, String> {
    let Some(file) = text.strip_prefix("sqlite:") else {
        // The text is not quoted: a database address contains its password.
        return match text.split_once(':') {
            Some(("postgres" | "postgresql", _)) => address::postgres(text).map(VaultUrl::Postgres),
            _ => Err("unknown kind of vault: write \"sqlite:<file>\", such as \"sqlite:doorward.db\", or \
                      postgres://<user>:<password>@<host>/<database>"
                .to_owned()),
        };
    };
    if file.starts_with("//") {
        return Err("this is a path, not an address: write sqlite:file or sqlite:/folder/file".to_owned());
    }
    if file.contains(['?', '#']) {
        return Err(format!(
            "{} has parameters, which the embedded vault does not support: write sqlite:<file> alone",
            quoted(text)
        ));
    }
    if file.starts_with(':') || file.ends_with('/') {
        return Err(format!(
            "{} is not a file, and users must outlive the process: write \"sqlite:doorward.db\"",
            quoted(text)
        ));
    }
    path(file, dir).map(VaultUrl::Sqlite)
}

fn sessions_url(text: &str) -> Result<SessionsUrl, String> {
    if text == "memory:" {
        return Ok(SessionsUrl::Memory);
    }
    // The text is not quoted: a store address contains its password.
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if scheme.starts_with("redis") || scheme.starts_with("valkey") {
        return address::redis(text).map(SessionsUrl::Redis);
    }
    Err("unknown kind of session store: write \"memory:\" or redis://<host>".to_owned())
}

fn key_prefix(text: &str) -> Result<String, String> {
    // Braces would map every session of a cluster to one hash slot.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.');
    if text.len() <= 16 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a key prefix: write at most 16 letters, digits, `:`, `-`, `_` or `.`, since every key contains it",
        quoted(text)
    ))
}
