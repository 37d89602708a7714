//! `[tokens]`, `[identity_headers]` and `[log]`.

use std::path::Path;
use std::time::Duration;

use http::HeaderName;

use crate::config::parse::hint::quoted;
use crate::config::parse::location::Location;
use crate::config::parse::origin;
use crate::config::parse::reader::Table;
use crate::config::parse::units::show_duration;
use crate::config::section::upstream_headers::names;
use crate::config::section::upstream_headers::names::merged;
use crate::config::{Env, MasterKey};

mod encrypted_claims;
mod recipient;

pub use encrypted_claims::{ClaimsKey, EncryptedClaim, EncryptedClaims};
pub use recipient::RecipientKey;

/// `[tokens]`
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// `iss`
    pub issuer: String,
    /// `aud`
    pub audience: String,
    /// Algorithm of the next signing key.
    pub algorithm: Algorithm,
    /// Lifetime of an access token, at most 1 h.
    pub access_ttl: Duration,
    /// Time during which the previous refresh token may be sent again.
    pub refresh_grace: Duration,
    /// Time during which it may still be sent again if its successor was never used. See
    /// [`Tokens::refresh_grace_unused`].
    pub refresh_grace_unused: Duration,
    /// Attributes in access tokens for holders of a key. `None`: tokens have no such claim.
    pub encrypted_claims: Option<EncryptedClaims>,
}

impl Tokens {
    /// Returns `refresh_grace_unused`; zero when `refresh_grace` forbids every repeat.
    pub fn refresh_grace_unused(&self) -> Duration {
        if self.refresh_grace.is_zero() { Duration::ZERO } else { self.refresh_grace_unused }
    }
}

/// A signature algorithm for access tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// P-256.
    Es256,
    /// RSA, 2048 bits.
    Rs256,
}

/// `[identity_headers]`: headers that carry the identity to the app, and that clients must not send.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityHeaders {
    /// The login name.
    pub user: HeaderName,
    /// The user id (`sub`).
    pub user_id: HeaderName,
    /// The roles, comma-joined and sorted.
    pub roles: HeaderName,
    /// The session id (`sid`).
    pub session: HeaderName,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Format of log lines.
    pub format: LogFormat,
    /// Lowest level that is logged.
    pub level: LogLevel,
    /// Requests that are logged.
    pub access: LogAccess,
    /// True if the access log contains the client's `User-Agent`.
    pub user_agent: bool,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Human-readable text.
    Text,
}

/// Requests that get an access log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAccess {
    /// All requests.
    All,
    /// Requests that were neither forwarded nor answered.
    Refused,
    /// No requests.
    None,
}

/// Lowest level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// Warnings and failures.
    Warn,
    /// Everything, including one line per request.
    Info,
}

/// Reads `[tokens]`; `idle` is `sessions.idle_timeout` and its location, `master` the master key, which must not be used
/// again.
pub(crate) fn tokens(
    table: Table<'_>,
    default: Tokens,
    idle: (Duration, &Location<'_>),
    (dir, env): (&Path, Env<'_>),
    master: &MasterKey,
) -> Tokens {
    const ACCESS: &str = "each refresh costs a write, and RFC 6750 5.3 asks for an hour or less";
    const GRACE: &str = "\"0s\" treats every lost response as a theft; during the grace a stolen refresh token can be \
                         replayed";
    const UNUSED: &str = "\"0s\" is never; a session ends with its idle timeout anyway";
    let duration = |name, range, why| table.value(name).and_then(|value| value.duration(range, why));
    let tokens = Tokens {
        issuer: table
            .value("issuer")
            .and_then(|value| value.parsed(origin::issuer))
            .unwrap_or(default.issuer),
        audience: table
            .value("audience")
            .and_then(|value| value.parsed(audience))
            .unwrap_or(default.audience),
        algorithm: table
            .value("algorithm")
            .and_then(|value| {
                value.choice(&[
                    ("EdDSA", Algorithm::EdDsa),
                    ("ES256", Algorithm::Es256),
                    ("RS256", Algorithm::Rs256),
                ])
            })
            .unwrap_or(default.algorithm),
        access_ttl: duration("access_ttl", Duration::from_secs(10)..=Duration::from_hours(1), ACCESS)
            .unwrap_or(default.access_ttl),
        refresh_grace: duration("refresh_grace", Duration::ZERO..=Duration::from_mins(10), GRACE)
            .unwrap_or(default.refresh_grace),
        refresh_grace_unused: duration(
            "refresh_grace_unused",
            Duration::ZERO..=Duration::from_hours(30 * 24),
            UNUSED,
        )
        .unwrap_or(default.refresh_grace_unused),
        encrypted_claims: table.value("encrypted_claims").and_then(|value| {
            let entries = value.table(
                "a table such as encrypted_claims = { claims = [\"email\"], key_file = \"claims.key\" }",
            )?;
            let table = Table::at(value.location().clone(), Some(entries));
            encrypted_claims::encrypted_claims(table, (dir, env), master)
        }),
    };
    let (idle, idle_location) = idle;
    if tokens.access_ttl > idle
        && let Some(location) = table.location_of("access_ttl").with(idle_location)
    {
        location.problem(format!(
            "tokens.access_ttl is {}, more than the {} of sessions.idle_timeout, so a session would end between two \
             refreshes: lower tokens.access_ttl, or raise sessions.idle_timeout",
            show_duration(tokens.access_ttl),
            show_duration(idle)
        ));
    }
    table.finish();
    tokens
}

fn audience(text: &str) -> Result<String, String> {
    // Every token contains it; 200 bytes is far more than any real one needs.
    if text.is_empty() || text.len() > 200 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "{} is not an audience: write 1 to 200 visible ASCII characters without spaces",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// Reads `[identity_headers]`. The names must differ even for an app that treats all separators as equal.
pub(crate) fn identity_headers(table: Table<'_>, default: IdentityHeaders) -> IdentityHeaders {
    let read = |name, default: HeaderName| {
        table.value(name).and_then(|value| value.parsed(header)).unwrap_or(default)
    };
    let headers = IdentityHeaders {
        user: read("user", default.user),
        user_id: read("user_id", default.user_id),
        roles: read("roles", default.roles),
        session: read("session", default.session),
    };
    let all = [
        ("user", &headers.user),
        ("user_id", &headers.user_id),
        ("roles", &headers.roles),
        ("session", &headers.session),
    ];
    for (at, (name, header)) in all.iter().enumerate() {
        let twin = |(_, earlier): &&(&str, &HeaderName)| merged(earlier) == merged(header);
        let Some((other, earlier)) = all[..at].iter().find(twin) else { continue };
        let (here, there) = (table.location_of(name), table.location_of(other));
        let Some(location) = here.with(&there) else { continue };
        if earlier == header {
            location
                .problem(format!("\"{header}\" is the name of both {other} and {name}: give each its own"));
        } else {
            location.problem(format!(
                "many servers read \"{earlier}\" ({other}) and \"{header}\" ({name}) as the same: give each its own"
            ));
        }
    }
    table.finish();
    headers
}

fn header(text: &str) -> Result<HeaderName, String> {
    /// Fields with a meaning between client, gateway and app (RFC 9110, 9111, 9440, 6265), and others set by the
    /// gateway.
    const RESERVED: [&str; 38] = [
        "accept",
        "age",
        "authorization",
        "cache-control",
        "client-cert",
        "client-cert-chain",
        "connection",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "from",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "origin",
        "pragma",
        "prefer",
        "priority",
        "proxy",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "vary",
        "via",
        "warning",
        "x-auth-assertion",
        "x-real-ip",
        "x-request-id",
    ];
    /// Prefixes of reserved names.
    const FAMILIES: [&str; 7] =
        ["accept-", "access-control-", "content-", "if-", "sec-", "ssl-client-", "x-forwarded-"];
    let name = names::parse(text, "X-Auth-User")?;
    let merged = merged(&name);
    if FAMILIES.iter().any(|family| merged.starts_with(family)) || RESERVED.contains(&merged.as_str()) {
        return Err(format!(
            "{} already has another meaning: write a name of your own, such as \"X-Auth-User\"",
            quoted(text)
        ));
    }
    Ok(name)
}

/// Reads `[log]`.
pub(crate) fn log(table: Table<'_>, default: Log) -> Log {
    let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let access = [("all", LogAccess::All), ("refused", LogAccess::Refused), ("none", LogAccess::None)];
    let levels = [("error", LogLevel::Error), ("warn", LogLevel::Warn), ("info", LogLevel::Info)];
    let log = Log {
        format: table.value("format").and_then(|value| value.choice(&formats)).unwrap_or(default.format),
        level: table.value("level").and_then(|value| value.choice(&levels)).unwrap_or(default.level),
        access: table.value("access").and_then(|value| value.choice(&access)).unwrap_or(default.access),
        user_agent: table.value("user_agent").and_then(|value| value.flag()).unwrap_or(default.user_agent),
    };
    table.finish();
    log
}
