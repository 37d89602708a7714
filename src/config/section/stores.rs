//! `[vault]` and `[sessions]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::parse::hint::quoted;
use crate::config::parse::reader::{Place, Table};
use crate::config::parse::secrets;
use crate::config::parse::secrets::path;
use crate::config::parse::units::show_duration;
use crate::config::section::address;
use crate::config::{Env, MasterKey, Sessions, SessionsUrl, Vault, VaultUrl};

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
        recheck: duration(
            "recheck",
            Duration::ZERO..=Duration::from_mins(10),
            "0s asks on every request; longer trusts memory too long",
        )
        .unwrap_or(default.recheck),
        serve_without_vault: duration(
            "serve_without_vault",
            Duration::ZERO..=HOUR,
            "0s is never; without the vault a revocation may be missed",
        )
        .unwrap_or(default.serve_without_vault),
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
