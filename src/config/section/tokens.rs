//! `[tokens]`, `[login]`, `[identity_headers]` and `[log]`.

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
use crate::config::{Env, MasterKey, usize_from};
use crate::identity::{Role, Roles};

mod encrypted_claims;
mod passkeys;
mod recipient;

pub use encrypted_claims::{ClaimsKey, EncryptedClaim, EncryptedClaims};
pub use passkeys::Passkeys;
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

/// `[login]`
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// True if users can sign in with a password.
    pub password: bool,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// Maximum number of logins that wait for a hash thread; further ones are rejected.
    pub hash_queue: usize,
    /// Minimum length of a password in characters, at least 8.
    pub min_password_length: usize,
    /// Users who need a second factor.
    pub factor: FactorPolicy,
    /// Passkeys.
    pub passkeys: Passkeys,
    /// Burst of failed logins for one account from one address; ten times as many from all addresses together.
    pub attempts_per_account: u32,
    /// Burst of failed logins from one address (IPv6: one /64); refilled by one every second.
    pub attempts_per_address: u32,
}

/// Users who need a second factor to sign in.
#[derive(Clone, Debug, PartialEq)]
pub struct FactorPolicy {
    /// True if a second factor is needed; false if it is asked for only of those who have one.
    pub required: bool,
    /// Roles whose holders need it; without roles everybody does.
    pub roles: Roles,
    /// Time from the first sign-in under this rule until it is needed.
    pub grace: Duration,
}

impl FactorPolicy {
    /// Returns whether a user with these roles needs a second factor.
    pub fn applies_to(&self, roles: &Roles) -> bool {
        self.required && (self.roles.is_empty() || self.roles.iter().any(|role| roles.contains(role)))
    }
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

/// Reads `[login]`.
pub(crate) fn login(table: Table<'_>, default: Login, has_providers: bool, public_urls: &[String]) -> Login {
    let count = |name, range, why| table.value(name).and_then(|value| value.count(range, why));
    let password = table.value("password").and_then(|value| {
        let password = value.flag()?;
        if !password && !has_providers {
            value.location().problem(
                "nobody could sign in without passwords and without [[providers]]: configure a provider, or remove this",
            );
        }
        Some(password)
    });
    let login = Login {
        password: password.unwrap_or(default.password),
        hash_threads: count(
            "hash_threads",
            1..=256,
            "0 could verify no password, and each keeps a core busy",
        )
        .map_or(default.hash_threads, usize_from),
        hash_queue: count(
            "hash_queue",
            0..=10_000,
            "0 allows no waiting; beyond 10000 logins wait longer than browsers do",
        )
        .map_or(default.hash_queue, usize_from),
        min_password_length: count(
            "min_password_length",
            8..=256,
            "NIST SP 800-63B allows no less than 8, and nobody types more than 256",
        )
        .map_or(default.min_password_length, usize_from),
        factor: factor(&table, default.factor),
        passkeys: passkeys::read(&table, default.passkeys, public_urls),
        attempts_per_account: count(
            "attempts_per_account",
            1..=100,
            "0 would lock everybody out, and NIST SP 800-63B allows 100",
        )
        .unwrap_or(default.attempts_per_account),
        attempts_per_address: count(
            "attempts_per_address",
            1..=100_000,
            "0 would lock everybody out; beyond 100000 it limits nothing",
        )
        .unwrap_or(default.attempts_per_address),
    };
    table.finish();
    login
}

/// Reads `factor`, `factor_roles` and `factor_grace`.
fn factor(table: &Table<'_>, default: FactorPolicy) -> FactorPolicy {
    let choices = [("optional", false), ("mfa", true)];
    let required = table.value("factor").and_then(|value| value.choice(&choices)).unwrap_or(default.required);
    let roles = table.value("factor_roles").and_then(|value| {
        value.distinct(r#"["admin"]"#, |text| {
            text.parse::<Role>().map_err(|error| format!("{} is not a role: {error}", quoted(text)))
        })
    });
    let grace = table.value("factor_grace").and_then(|value| {
        let range = Duration::ZERO..=Duration::from_hours(24 * 90);
        value.duration(range, "beyond 90 days nobody remembers the notice")
    });
    if !required {
        for name in ["factor_roles", "factor_grace"] {
            if table.has(name) && !table.location_of("factor").has_problem() {
                table.location_of(name).problem(
                    "nobody needs a second factor, so this has no effect: set factor = \"mfa\", or remove this",
                );
            }
        }
    }
    FactorPolicy {
        required,
        roles: roles.map_or(default.roles, Roles::new),
        grace: grace.unwrap_or(default.grace),
    }
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
