//! The use cases: authenticate, login, refresh, revoke. No HTTP, no SQL, no sockets.
//!
//! ```text
//! authenticate:  verified -> register -> revoked? -> lease -> confirmed -> revoked again? -> Identity
//! revoke:        vault commit -> set (streams cut) -> tombstone -> answer       (detached: runs to its end)
//! feed:          log -> set, keys -> lease                                      (one task per replica)
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Refusal;
use crate::id::{Random, SessionId};
use crate::metrics::Metrics;
use crate::password::Hasher;
use crate::request_id;
use crate::session::SessionStore;
use crate::token::access::Profile;
use crate::token::keyring::KeyRing;
use crate::token::seal::MasterSecret;
use crate::token::stamp::FormTokens;
use crate::token::{Digest, sha256};
use crate::vault::{Vault, VaultError};
use session::{authenticate, flight, idle, lease, lookup_limiter, revoke, user_names};
use sign_in::{logouts, throttle};
use tokens::{renew, verified};

mod observe;
mod session;
mod sign_in;
mod status;
mod tokens;

pub use session::authenticate::Admission;
pub use session::control::{Control, Cut, Progress};
pub use session::feed::follow;
pub use session::idle::write_session_use;
pub use session::live::{LiveSessions, Registration};
pub use session::revoke::{Propagation, Revoked, retry_tombstones};
pub use session::watch::watch_streams;
pub use sign_in::browser::{BrowserTokens, DeviceCookie};
pub use sign_in::login::LoginRequest;
pub use sign_in::logouts::retry_logouts;
pub use sign_in::password_change::{PasswordChange, PasswordChanged};
pub use sign_in::throttle::Attempts;
pub use status::Status;
pub use tokens::grant::Tokens;
pub use tokens::keys;
pub use tokens::last_token::LastToken;
pub use tokens::renew::Renewed;

/// How a use case behaves: the part of the configuration that may change while running.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who signs for whom, and for how long.
    pub profile: Profile,
    /// Made of issuer and audience: what was verified for others is told apart by it.
    pub profile_number: u64,
    /// How long the previous refresh token may be repeated.
    pub refresh_grace: Duration,
    /// Without use.
    pub idle_timeout: Duration,
    /// In all.
    pub absolute_timeout: Duration,
    /// Without use, in a browser that is not to remember.
    pub browser_idle: Duration,
    /// In all, in a browser that is; zero = none is.
    pub browser_remember: Duration,
    /// A confirmed session is asked for again after this.
    pub revalidate_after: Duration,
    /// How long a shared session store alone may vouch.
    pub vault_outage_grace: Duration,
    /// Live streams end when the set has not been current for this long.
    pub stream_lease: Duration,
    /// What the app calls itself: no password is made of it.
    pub brand: String,
    /// Of new passwords, in characters.
    pub min_password_length: usize,
    /// Failed logins in a burst.
    pub attempts: Attempts,
}

impl Settings {
    /// From a checked configuration.
    pub fn new(config: &Config) -> Self {
        let names = sha256(format!("{}\n{}", config.tokens.issuer, config.tokens.audience).as_bytes());
        Self {
            profile_number: names[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            profile: Profile {
                issuer: config.tokens.issuer.clone(),
                audience: config.tokens.audience.clone(),
                ttl: config.tokens.access_ttl,
            },
            refresh_grace: config.tokens.refresh_grace,
            idle_timeout: config.sessions.idle_timeout,
            absolute_timeout: config.sessions.absolute_timeout,
            browser_idle: config.browser.idle_timeout.min(config.sessions.idle_timeout),
            browser_remember: config.browser.remember.min(config.sessions.absolute_timeout),
            revalidate_after: config.sessions.revalidate_after,
            vault_outage_grace: config.sessions.vault_outage_grace,
            stream_lease: config.sessions.stream_lease,
            brand: config.brand.name.clone(),
            min_password_length: config.login.min_password_length,
            attempts: Attempts {
                per_account: config.login.attempts_per_account,
                per_address: config.login.attempts_per_address,
            },
        }
    }
}

/// What the use cases work with: chosen once in `server`.
pub struct Parts {
    /// The truth.
    pub vault: Vault,
    /// The guest list.
    pub sessions: Arc<dyn SessionStore>,
    /// The keys in use.
    pub keys: KeyRing,
    /// Opens what the vault keeps sealed.
    pub master: MasterSecret,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What does not change while running.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the set counts as current after the last proof.
    pub lease: Duration,
    /// Memory for verified tokens.
    pub local_cache_bytes: u64,
}

/// What signed-in requests can be decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything: the set is proven current.
    Current,
    /// The session store alone, for a while; nobody can sign in or refresh.
    WithoutVault,
    /// Nothing.
    Undecided,
}

/// The use cases of one gateway.
pub struct Auth {
    parts: Parts,
    live: Arc<LiveSessions>,
    lease: lease::Lease,
    verified: verified::VerifiedTokens,
    /// By token, and whether the caller may queue.
    flights: flight::Flights<authenticate::FirstSight, (Digest, bool)>,
    renewals: renew::Renewals,
    stamps: FormTokens,
    throttle: throttle::Throttle,
    owed: revoke::OwedTombstones,
    uses: idle::UnwrittenUses,
    logouts: logouts::OwedLogouts,
    questions: Arc<lookup_limiter::LookupLimiter>,
    logins: Arc<user_names::Logins>,
    /// The vault has keys that could not be loaded or opened.
    keys_behind: AtomicBool,
    /// The last read of the log failed.
    vault_silent: AtomicBool,
    /// The last read of the log failed, and the lease has run out.
    vault_lost: AtomicBool,
    /// It was said that nothing can be decided any more.
    undecided: AtomicBool,
}

impl Auth {
    /// Puts the parts together. Not ready until [`follow`] has read the log once.
    pub fn new(parts: Parts, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            live: Arc::new(LiveSessions::new()),
            lease: lease::Lease::new(limits.lease),
            verified: verified::VerifiedTokens::new(limits.local_cache_bytes, Arc::clone(&parts.metrics)),
            flights: flight::Flights::new(),
            renewals: renew::Renewals::new(),
            stamps: FormTokens::new(&parts.master),
            throttle: throttle::Throttle::default(),
            owed: revoke::OwedTombstones::default(),
            uses: idle::UnwrittenUses::default(),
            logouts: logouts::OwedLogouts::default(),
            questions: Arc::new(lookup_limiter::LookupLimiter::new()),
            logins: Arc::new(user_names::Logins::new(verified::entries(limits.local_cache_bytes))),
            keys_behind: AtomicBool::new(false),
            vault_silent: AtomicBool::new(false),
            vault_lost: AtomicBool::new(false),
            undecided: AtomicBool::new(false),
            parts,
        })
    }

    /// Whether the set and the keys are loaded and proven current.
    pub fn is_ready(&self) -> bool {
        self.lease.is_held(self.parts.clock.monotonic())
    }

    /// What signed-in requests can be decided by now.
    pub async fn standing(&self, settings: &Settings) -> Mode {
        let now = self.parts.clock.monotonic();
        if self.lease.is_held(now) {
            return Mode::Current;
        }
        // Any question will do: it is answered, or it is not.
        let nobody = SessionId::from_bytes([0; 16]);
        if self.may_vouch_alone(now, settings) && self.parts.sessions.check(nobody).await.is_ok() {
            return Mode::WithoutVault;
        }
        Mode::Undecided
    }

    /// Fails at once while the vault is known to be away, rather than after the time one statement may take.
    fn vault_at_hand(&self) -> Result<(), Refusal> {
        if self.vault_lost.load(Ordering::Acquire) { Err(Refusal::StoreUnavailable) } else { Ok(()) }
    }

    /// Whether a key that is not at hand does not exist: the set is current, and so are the keys.
    fn knows_all_keys(&self) -> bool {
        self.is_ready() && !self.keys_behind.load(Ordering::Acquire)
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        self.parts.keys.current().jwks(self.vault_now())
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Who is being served: sessions, their requests and streams.
    pub const fn live(&self) -> &Arc<LiveSessions> {
        &self.live
    }

    /// This replica's best knowledge of the vault's clock, which decides about tokens.
    fn vault_now(&self) -> crate::clock::Timestamp {
        self.lease.vault_time(self.parts.clock.monotonic())
    }
}

/// What a failing vault means to a caller.
impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(cause) | VaultError::Damaged(cause) => {
                tracing::warn!(reason = "vault_unanswered", cause, "the vault does not answer");
                Self::StoreUnavailable
            }
            VaultError::Superseded => Self::CredentialsWrong,
            VaultError::UserUnknown => Self::TokenRevoked,
            VaultError::LoginTaken => Self::Internal,
        }
    }
}

/// Runs a use case to its end, though the caller hangs up.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    // A panic in the task is caught there and is a defect, as it would be here.
    match tokio::spawn(request_id::carried(work)).await {
        Ok(result) => result,
        Err(failed) => {
            std::panic::resume_unwind(failed.try_into_panic().unwrap_or_else(|_| Box::new("task cancelled")))
        }
    }
}
