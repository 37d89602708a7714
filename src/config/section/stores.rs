//! `[vault]` and `[sessions]`.

use crate::secret::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Env;
use crate::config::parse::hint::quoted;
use crate::config::parse::place::Place;
use crate::config::parse::reader::Table;
use crate::config::parse::secrets;
use crate::config::parse::secrets::path;
use crate::config::parse::units::show_duration;
use crate::config::section::address;

/// `[vault]`
#[derive(Clone, Debug, PartialEq)]
pub struct Vault {
    /// Where the truth is.
    pub url: VaultUrl,
    /// Who the certificate of a Postgres must be signed by (PEM); without it, whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// What seals the signing keys.
    pub master_key: MasterKey,
    /// Connections to Postgres at most, beside the one that listens.
    pub pool_size: usize,
    /// Whether statements are prepared once a connection; false behind a pooler in transaction mode.
    pub prepared: bool,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long the revocation set counts as current after the last proof from the vault.
    pub lease: Duration,
}

/// Where the vault is.
#[derive(Clone, Debug, PartialEq)]
pub enum VaultUrl {
    /// `sqlite:<file>`
    Sqlite(PathBuf),
    /// `postgres://…`
    Postgres(PostgresUrl),
}

impl VaultUrl {
    /// Whether several gateways may use it: it is not a file of this machine.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// `postgres://user:password@host,host/database`
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresUrl {
    /// At least one; several are tried in turn for the primary.
    pub hosts: Vec<StoreHost>,
    /// The role.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret<String>>,
    /// The database.
    pub database: String,
    /// Whether the connection is encrypted, and the server's certificate and name verified.
    pub tls: bool,
    /// Whether the password exchange is bound to the TLS connection (SCRAM-SHA-256-PLUS, RFC 5929 section 4).
    pub channel_binding: ChannelBinding,
    /// Name of the connections in `pg_stat_activity`; `None` = doorward.
    pub application_name: Option<String>,
}

/// Use of channel binding towards Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Where the server offers it.
    #[default]
    Prefer,
    /// A server that does not offer it is refused.
    Require,
    /// Not used, for poolers that break it.
    Disable,
}

/// A server of a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreHost {
    /// A DNS name, an IP address, or the folder of a Unix socket (Postgres).
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// Where the master secret is.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterKey {
    /// `master_key` or `master_key_env`: 32 bytes, base64url.
    Value(Secret<String>),
    /// `master_key_file`: made on first start (mode 0600) with an embedded vault.
    File(PathBuf),
}

/// `[sessions]`
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Where the guest list is.
    pub url: SessionsUrl,
    /// Who the certificate of a Redis must be signed by (PEM); without it, whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// What every key in Redis begins with.
    pub key_prefix: String,
    /// A confirmed session is asked for again after this; zero = on every request.
    pub revalidate_after: Duration,
    /// How long a shared session store alone may vouch; zero = never.
    pub vault_outage_grace: Duration,
    /// A session ends after this long without use.
    pub idle_timeout: Duration,
    /// A session ends this long after its login.
    pub absolute_timeout: Duration,
    /// Memory for verified tokens and confirmed sessions, in bytes.
    pub local_cache_bytes: u64,
    /// Live streams end when the revocation set has not been current for this long.
    pub stream_lease: Duration,
}

/// Where the session store is.
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
    /// Which servers, and what they are to each other.
    pub topology: RedisTopology,
    /// The ACL user; `None` is `default`.
    pub user: Option<String>,
    /// Its password, if it needs one.
    pub password: Option<Secret<String>>,
    /// The number of the database; 0 in a cluster.
    pub database: i64,
    /// Whether every connection is encrypted, and the servers' certificates and names verified.
    pub tls: bool,
}

/// What the servers of a Redis are to each other.
#[derive(Clone, Debug, PartialEq)]
pub enum RedisTopology {
    /// One server.
    Single(StoreHost),
    /// Sentinels that know where the master is.
    Sentinel {
        /// The Sentinels.
        hosts: Vec<StoreHost>,
        /// What they call the master.
        master: String,
        /// ACL user of the Sentinels themselves.
        user: Option<String>,
        /// Its password.
        password: Option<Secret<String>>,
    },
    /// A cluster, found from any of these.
    Cluster(Vec<StoreHost>),
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// Browsers keep a cookie no longer (RFC 6265bis section 5.5).
const LONGEST_SESSION: Duration = Duration::from_hours(400 * 24);

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
                    "a disk needs 10ms, and a person waits no minute",
                )
            })
            .unwrap_or(default.statement_timeout),
        lease: table
            .value("lease")
            .and_then(|value| {
                value.duration(
                    Duration::from_millis(100)..=MINUTE,
                    "it is renewed four times in its length, and bounds how late a revocation can be",
                )
            })
            .unwrap_or(default.lease),
    };
    if matches!(&vault.url, VaultUrl::Postgres(url) if url.tls) || vault.ca_file.is_none() {
    } else if let Some(place) = table.place_of("ca_file").with(&table.place_of("url")) {
        place.problem(
            "the address uses no TLS, so no certificate is looked at: add ?sslmode=require to it, or take ca_file out",
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
    vault_lease: &Place<'_>,
) -> Sessions {
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let life =
        "a session lives through at least one page, and no browser keeps a cookie beyond 400d (RFC 6265bis)";
    let sessions = Sessions {
        url: secrets::url(&table, dir, env, sessions_url).unwrap_or(default.url),
        ca_file: ca_file(&table, dir),
        key_prefix: table
            .value("key_prefix")
            .and_then(|value| value.parsed(key_prefix))
            .unwrap_or(default.key_prefix),
        revalidate_after: duration(
            "revalidate_after",
            Duration::ZERO..=Duration::from_mins(10),
            "0s asks on every request; longer trusts memory too long",
        )
        .unwrap_or(default.revalidate_after),
        vault_outage_grace: duration(
            "vault_outage_grace",
            Duration::ZERO..=HOUR,
            "0s is never; without the vault a revocation may be missed",
        )
        .unwrap_or(default.vault_outage_grace),
        idle_timeout: duration("idle_timeout", MINUTE..=LONGEST_SESSION, life)
            .unwrap_or(default.idle_timeout),
        absolute_timeout: duration("absolute_timeout", MINUTE..=LONGEST_SESSION, life)
            .unwrap_or(default.absolute_timeout),
        local_cache_bytes: table
            .value("local_cache_bytes")
            .and_then(|value| {
                value.size(1 << 20..=64 << 30, "1MiB holds a few hundred tokens, 64GiB more than there are")
            })
            .unwrap_or(default.local_cache_bytes),
        stream_lease: duration(
            "stream_lease",
            Duration::from_secs(1)..=HOUR,
            "shorter ends streams at a hiccup, longer leaves revoked ones open",
        )
        .unwrap_or(default.stream_lease),
    };
    let (idle, absolute) = (table.place_of("idle_timeout"), table.place_of("absolute_timeout"));
    if sessions.idle_timeout > sessions.absolute_timeout
        && let Some(place) = idle.with(&absolute)
    {
        place.problem(format!(
            "idle_timeout is {}, more than the {} of absolute_timeout, so it could never be reached: lower \
             idle_timeout, or raise absolute_timeout",
            show_duration(sessions.idle_timeout),
            show_duration(sessions.absolute_timeout)
        ));
    }
    if sessions.stream_lease < vault.lease
        && let Some(place) = table.place_of("stream_lease").with(vault_lease)
    {
        place.problem(format!(
            "sessions.stream_lease is {}, less than the {} of vault.lease, so streams would end between two \
             renewals: raise sessions.stream_lease, or lower vault.lease",
            show_duration(sessions.stream_lease),
            show_duration(vault.lease)
        ));
    }
    if matches!(&sessions.url, SessionsUrl::Redis(url) if url.tls) || sessions.ca_file.is_none() {
    } else if let Some(place) = table.place_of("ca_file").with(&table.place_of("url")) {
        place.problem(
            "the address uses no TLS, so no certificate is looked at: write rediss://, or take ca_file out",
        );
    }
    table.finish();
    sessions
}

fn ca_file(table: &Table<'_>, dir: &Path) -> Option<PathBuf> {
    let file = table.value("ca_file").and_then(|value| value.parsed(|text| path(text, dir)))?;
    // Whoever connects reads it, and says what is wrong with it; here its changes begin to be noticed.
    drop(table.file("ca_file", &file));
    Some(file)
}

fn vault_url(text: &str, dir: &Path) -> Result<VaultUrl, String> {
    let Some(file) = text.strip_prefix("sqlite:") else {
        // The text is not repeated: the address of a database carries its password.
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
            "{} has parameters, which the embedded vault has not: write sqlite:<file> alone",
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
    // The text is not repeated: the address of a store carries its password.
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if scheme.starts_with("redis") || scheme.starts_with("valkey") {
        return address::redis(text).map(SessionsUrl::Redis);
    }
    Err("unknown kind of session store: write \"memory:\" or redis://<host>".to_owned())
}

fn key_prefix(text: &str) -> Result<String, String> {
    // Braces would put every session of a cluster into one slot.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.');
    if text.len() <= 16 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} does not suit: write at most 16 letters, digits, `:`, `-`, `_` or `.`, since every key carries them",
        quoted(text)
    ))
}
