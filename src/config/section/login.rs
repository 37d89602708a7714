//! `[login]`: passwords, their hashes, second factors and the limits on guesses.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;
use crate::config::parse::secrets;
use crate::config::{Env, usize_from};
use crate::identity::{Role, Roles};
use crate::secret::Secret;

pub(crate) mod unusual;

mod breached;
mod passkeys;

pub use breached::BreachedPasswords;
pub use passkeys::Passkeys;

/// `[login]`
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// Secrets that enter every password hash, newest first.
    pub peppers: Vec<Pepper>,
    /// True if users can sign in with a password.
    pub password: bool,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// Maximum number of logins that wait for a hash thread; further ones are rejected.
    pub hash_queue: usize,
    /// Minimum length of a password in characters, at least 8, where it is the only factor.
    pub min_password_length: usize,
    /// `[login.breached_passwords]`; `None` = new passwords are not looked up.
    pub breached_passwords: Option<BreachedPasswords>,
    /// Users who need a second factor.
    pub factor: FactorPolicy,
    /// Passkeys.
    pub passkeys: Passkeys,
    /// Burst of failed logins for one account from one address; ten times as many from all addresses together, but at
    /// most 50.
    pub attempts_per_account: u32,
    /// Burst of failed logins from one address (IPv6: one /64, and ten times as many from one /48); refilled by one every
    /// six seconds.
    pub attempts_per_address: u32,
    /// Burst of failed logins from all addresses together, refilled in 1000 seconds. Beyond it, addresses have a tenth of
    /// their burst.
    pub attempts_overall: u32,
    /// Time by which the response to a wrong password of an unknown browser is held back; zero: not at all.
    pub failure_delay: Duration,
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
    /// Minimum length of the password of somebody who has a second factor and needs it, in characters, at least 8.
    pub min_password_length: usize,
}

impl FactorPolicy {
    /// Returns whether a user with these roles needs a second factor.
    pub fn applies_to(&self, roles: &Roles) -> bool {
        self.required && (self.roles.is_empty() || self.roles.iter().any(|role| roles.contains(role)))
    }

    /// Returns the minimum length of a user's new password; `alone` is that where the password is the only factor. The password of a
    /// user who has a second factor without needing it may be the only one tomorrow: the user can remove the other.
    pub fn min_password_length(&self, alone: usize, roles: &Roles, is_enrolled: bool) -> usize {
        if is_enrolled && self.applies_to(roles) { self.min_password_length.min(alone) } else { alone }
    }
}

/// Name of a pepper, of characters `a-z 0-9 -`: stands in the hashes that were made with it (`keyid`, which has at most 8 bytes).
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PepperId(Arc<str>);

/// The text is not the name of a pepper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pepper has a name of 1 to 8 characters from a-z 0-9 -")]
pub struct BadPepperId;

impl PepperId {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PepperId {
    type Err = BadPepperId;
    fn from_str(text: &str) -> Result<Self, BadPepperId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 8 || !text.bytes().all(allowed) {
            return Err(BadPepperId);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PepperId({})", self.0)
    }
}

/// `[[login.peppers]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pepper {
    /// Name in the hashes.
    pub id: PepperId,
    /// 32 bytes, base64url.
    pub key: Secret<String>,
}

/// Reads `[login]`.
pub(crate) fn login(
    table: Table<'_>,
    default: Login,
    has_providers: bool,
    public_urls: &[String],
    (dir, env): (&Path, Env<'_>),
) -> Login {
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
    let min_password_length = password_length(&table, "min_password_length", default.min_password_length);
    let login = Login {
        peppers: peppers(&table, dir, env),
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
        min_password_length,
        breached_passwords: breached::breached_passwords(&table, dir),
        factor: factor(&table, default.factor, min_password_length),
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
        attempts_overall: count(
            "attempts_overall",
            1..=1_000_000,
            "0 would hold every address to a tenth of its limit; beyond 1000000 it limits nothing",
        )
        .unwrap_or(default.attempts_overall),
        failure_delay: table
            .value("failure_delay")
            .and_then(|value| {
                let range = Duration::ZERO..=Duration::from_secs(10);
                value.duration(range, "nobody waits longer for a typo")
            })
            .unwrap_or(default.failure_delay),
    };
    table.finish();
    login
}

fn password_length(table: &Table<'_>, name: &'static str, default: usize) -> usize {
    let why = "NIST SP 800-63B allows no less than 8, and nobody types more than 256";
    let length = table.value(name).and_then(|value| value.count(8..=256, why));
    length.map_or(default, usize_from)
}

/// Reads `factor` and the settings that start with it. `alone` is the minimum length of a password that is the only factor.
fn factor(table: &Table<'_>, default: FactorPolicy, alone: usize) -> FactorPolicy {
    const MIN_LENGTH: &str = "factor_min_password_length";
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
    let min_password_length = password_length(table, MIN_LENGTH, default.min_password_length);
    if table.has(MIN_LENGTH) && min_password_length > alone {
        table.location_of(MIN_LENGTH).problem(format!(
            "{min_password_length} is more than the {alone} of min_password_length, for passwords alone: lower it, or raise that"
        ));
    }
    if !required {
        for name in ["factor_roles", "factor_grace", MIN_LENGTH] {
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
        min_password_length,
    }
}

fn peppers(table: &Table<'_>, dir: &Path, env: Env<'_>) -> Vec<Pepper> {
    let mut peppers: Vec<Pepper> = Vec::new();
    for table in table.tables("peppers") {
        let id = table.required("id", "write a name for the hashes, such as id = \"2026\"");
        let id = id.and_then(|value| {
            let id = value.parsed(|text| {
                let bad = |bad: BadPepperId| format!("{} is not a name: {bad}", quoted(text));
                text.parse::<PepperId>().map_err(bad)
            })?;
            if peppers.iter().any(|pepper| pepper.id == id) {
                value.location().problem(format!(
                    "another pepper has the name \"{id}\": a new key needs a name of its own, since hashes name their pepper"
                ));
                return None;
            }
            Some(id)
        });
        let forms = ["key", "key_file", "key_env"];
        if !forms.iter().any(|form| table.has(form)) {
            table.location().problem(
                "no key: write 32 random bytes in base64url into a file and name it in key_file, apart from the vault and its \
                 backups",
            );
        }
        let key = secrets::text(&table, forms, "the key", dir, env, key);
        table.finish();
        if let (Some(id), Some(key)) = (id, key) {
            peppers.push(Pepper { id, key });
        }
    }
    peppers
}

fn key(text: &str) -> Result<Secret<String>, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
    match bytes.map(|bytes| bytes.len()) {
        Ok(32) => Ok(Secret::new(text.to_owned())),
        _ => Err("this is not a pepper: write 32 random bytes in base64url without padding, 43 characters (`openssl rand \
                  -base64 32 | tr '+/' '-_' | tr -d =` makes one)"
            .to_owned()),
    }
}
