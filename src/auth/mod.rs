//! Use cases: authenticate, login, refresh, revoke. No HTTP, no SQL, no sockets.
//!
//! ```text
//! authenticate:  verified -> register -> revoked? -> lease -> confirmed -> revoked again? -> Identity
//! revoke:        vault commit -> set (streams cut) -> tombstone -> response     (detached: runs to its end)
//! feed:          log -> set, keys -> lease                                      (one task per gateway)
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};

use crate::clock::Clock;
use crate::config::{Config, FactorPolicy, Unusual};
use crate::error::Refusal;
use crate::factor::passkey::RelyingParty;
use crate::id::{Random, SessionId};
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::password::{BreachedPasswords, Hasher, PasswordRules};
use crate::provider::FlowKey;
use crate::request_id;
use crate::session::SessionStore;
use crate::text::host_and_port;
use crate::token::access::Profile;
use crate::token::encrypted_claims::ClaimsEncrypter;
use crate::token::form_token::FormTokens;
use crate::token::keyring::KeyRing;
use crate::token::seal::MasterSecret;
use crate::token::sha256;
use crate::vault::{Vault, VaultError};
use providers::logout::Revocations;
use providers::recheck::Rechecks;
use session::{idle, lease, lookups, pauses, revoke, user_names};
use sign_in::{logouts, throttle};
use tokens::{assertions, renew, role_lists, verified};

mod audit;
mod factors;
mod mail;
mod observe;
mod providers;
mod session;
mod sign_in;
mod status;
mod tokens;
mod unusual;

pub use audit::{keep_audit, write_audit};
pub use factors::enrol::{Enrolled, Enrolment, EnrolmentOffer, RecoveryCodes, TotpOffer};
pub use factors::passkeys::{PasskeyRequest, PasskeyResponse};
pub use factors::pending::{
    Browser, FinishedSignIn, PENDING_LIFE, PendingSignIn, SecondFactor, SignInStep, WaitingSignIn,
};
pub use factors::step_up::{StepUpProof, StepUpWays};
pub use mail::outbox::{Composer, Draft, Letterhead, send_mails};
pub use mail::reset::{LINK_LIFE, LinkUse, OpenedLink, ResetRequest, link_url, new_link};
pub use mail::verification::{OpenedVerification, VerificationRequest};
pub use providers::account::FRESH;
pub use providers::logout::{LoggedOut, OpenedBy, SignOutAtProvider};
pub use providers::sign_in::{BegunFlow, ProviderSignIn};
pub use providers::{Providers, RECHECK_GRACE};
pub use session::authenticate::Admission;
pub use session::control::{Control, Cut, Progress};
pub use session::feed::follow;
pub use session::idle::write_session_use;
pub use session::live::{LiveSessions, Registration};
pub use session::pauses::watch_pauses;
pub use session::revoke::{Propagation, Revoked, retry_tombstones};
pub use session::watch::watch_streams;
pub use sign_in::browser::{BrowserTokens, Client, DeviceCookie, is_remembered};
pub use sign_in::login::LoginRequest;
pub use sign_in::logouts::retry_logouts;
pub use sign_in::password_change::{PasswordChange, PasswordChanged};
pub use sign_in::throttle::{Attempts, unlock};
pub use status::Status;
pub use tokens::grant::Tokens;
pub use tokens::keys;
pub use tokens::renew::Renewed;
pub use unusual::{SeenClient, SignedInFrom};

/// Behaviour of the use cases: the part of the configuration that a reload may change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Issuer, audience and lifetime of access tokens.
    pub profile: Profile,
    /// Hash of issuer and audience. A token verified under another profile is verified again.
    pub profile_number: u64,
    /// Grace period in which the previous refresh token may be repeated.
    pub refresh_grace: Duration,
    /// Time for which it may still be repeated if the current one was never used.
    pub refresh_grace_unused: Duration,
    /// Idle timeout of a session.
    pub idle_timeout: Duration,
    /// Absolute timeout of a session.
    pub absolute_timeout: Duration,
    /// Idle timeout of a session in a browser without "remember me".
    pub browser_idle: Duration,
    /// Absolute timeout of a session in a browser with "remember me"; zero turns "remember me" off.
    pub browser_remember: Duration,
    /// Age at which a confirmation is no longer used and the session is checked again.
    pub revalidate_after: Duration,
    /// Time a shared session store alone may confirm sessions while the vault is away.
    pub vault_outage_grace: Duration,
    /// Retention of the audit trail.
    pub audit_retention: Duration,
    /// Live streams are cut when the revocation list has not been current for this long.
    pub stream_lease: Duration,
    /// Name of the app, which authenticator apps show.
    pub brand: String,
    /// Rules for new passwords.
    pub password_rules: PasswordRules,
    /// Collection of leaked passwords. [`Settings::new`] has none, as with the providers.
    pub breached_passwords: Option<Arc<BreachedPasswords>>,
    /// Limits on failed logins.
    pub attempts: Attempts,
    /// Time by which the response to a wrong password of an unknown client is held back.
    pub failure_delay: Duration,
    /// Whether passwords sign people in.
    pub passwords: bool,
    /// Users who need a second factor.
    pub factor: FactorPolicy,
    /// The relying party of passkeys; `None`: there are none.
    pub passkeys: Option<Arc<RelyingParty>>,
    /// Reactions to unusual patterns.
    pub unusual: Unusual,
    /// Sends mails; `None`: there are none.
    pub mail: Option<Arc<Mailer>>,
    /// The identity providers. [`Settings::new`] has none: they are made from the configuration once.
    pub providers: Providers,
}

impl Settings {
    /// Builds the settings from a checked configuration.
    pub fn new(config: &Config) -> Self {
        let names = sha256(format!("{}\n{}", config.tokens.issuer, config.tokens.audience).as_bytes());
        Self {
            profile_number: names[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            profile: Profile {
                issuer: config.tokens.issuer.clone(),
                audience: config.tokens.audience.clone(),
                ttl: config.tokens.access_ttl,
                encrypted_claims: (config.tokens.encrypted_claims.as_ref())
                    .map(|claims| Arc::new(ClaimsEncrypter::new(claims))),
            },
            refresh_grace: config.tokens.refresh_grace,
            refresh_grace_unused: config.tokens.refresh_grace_unused(),
            idle_timeout: config.sessions.idle_timeout,
            absolute_timeout: config.sessions.absolute_timeout,
            browser_idle: config.browser.idle_timeout.min(config.sessions.idle_timeout),
            browser_remember: config.browser.remember.min(config.sessions.absolute_timeout),
            revalidate_after: config.sessions.revalidate_after,
            vault_outage_grace: config.sessions.vault_outage_grace,
            audit_retention: config.vault.audit_retention,
            stream_lease: config.sessions.stream_lease,
            brand: config.brand.name.clone(),
            password_rules: password_rules(config),
            breached_passwords: None,
            attempts: Attempts {
                per_account: config.login.attempts_per_account,
                per_address: config.login.attempts_per_address,
                overall: config.login.attempts_overall,
            },
            failure_delay: config.login.failure_delay,
            passwords: config.login.password,
            factor: config.login.factor.clone(),
            passkeys: relying_party(config),
            unusual: config.unusual.clone(),
            mail: config.mail.clone().map(Mailer::new).map(Arc::new),
            providers: Providers::default(),
        }
    }
}

/// Returns the rules for new passwords, with the names of the site: its brand and its hosts.
pub fn password_rules(config: &Config) -> PasswordRules {
    let hosts = config.server.public_urls.iter().map(|url| {
        let authority = url.split_once("://").map_or(url.as_str(), |(_, authority)| authority);
        host_and_port(authority).0
    });
    PasswordRules::new(config.login.min_password_length, &config.brand.name, hosts)
}

/// Dependencies of the use cases, chosen once in `server`.
pub struct Parts {
    /// The authoritative store of users, sessions, keys and revocations.
    pub vault: Vault,
    /// Confirmed sessions and tombstones.
    pub sessions: Arc<dyn SessionStore>,
    /// The signing keys in use.
    pub keys: KeyRing,
    /// Opens sealed data from the vault.
    pub master: MasterSecret,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// Limits that stay fixed while the gateway runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time the revocation list counts as current after the last proof.
    pub lease: Duration,
    /// Memory for verified tokens, in bytes.
    pub local_cache_bytes: u64,
}

/// Mode of operation: the sources that may decide about a signed-in request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Normal: the revocation list is proven current.
    Current,
    /// Degraded: the session store alone decides, for a limited time; logins and refreshes fail.
    WithoutVault,
    /// No source: signed-in requests are refused with 503.
    Undecided,
}

/// The use cases of one gateway.
pub struct Auth {
    parts: Parts,
    live: Arc<LiveSessions>,
    lease: lease::Lease,
    pauses: pauses::Pauses,
    verified: verified::VerifiedTokens,
    renewals: renew::Renewals,
    form_tokens: FormTokens,
    flow_key: FlowKey,
    rechecks: Rechecks,
    revocations: Revocations,
    watch: unusual::Watch,
    throttle: throttle::Throttle,
    tombstones: revoke::PendingTombstones,
    uses: idle::UnwrittenUses,
    logouts: logouts::PendingLogouts,
    failures: audit::failures::Failures,
    role_lists: role_lists::RoleLists,
    assertions: assertions::Assertions,
    lookups: Arc<lookups::Lookups>,
    logins: Arc<user_names::Logins>,
    /// Signalled when this gateway has written a mail.
    mail_written: Notify,
    /// Bounds the requests for new passwords whose work is going on.
    resets: Arc<Semaphore>,
    /// The vault has keys that could not be loaded or opened.
    keys_behind: AtomicBool,
    /// The last read of the log failed.
    vault_silent: AtomicBool,
    /// The last read of the log failed and the lease has run out, or it has had no response for too long.
    vault_lost: watch::Sender<bool>,
    /// The log message about undecidable requests was written for this outage.
    undecided: AtomicBool,
}

impl Auth {
    /// Builds the use cases. They are not ready until [`follow`] has read the log once.
    pub fn new(parts: Parts, limits: Limits) -> Arc<Self> {
        let vault_lost = watch::Sender::new(false);
        let logins = Arc::new(user_names::Logins::new(verified::entries(limits.local_cache_bytes)));
        let lookups =
            lookups::Lookups::new(&parts.vault, &parts.sessions, &parts.clock, vault_lost.subscribe());
        Arc::new(Self {
            live: Arc::new(LiveSessions::new()),
            lease: lease::Lease::new(limits.lease),
            pauses: pauses::Pauses::new(limits.lease),
            verified: verified::VerifiedTokens::new(
                limits.local_cache_bytes,
                parts.random.as_ref(),
                Arc::clone(&parts.metrics),
            ),
            renewals: renew::Renewals::new(),
            form_tokens: FormTokens::new(&parts.master),
            flow_key: FlowKey::new(&parts.master.derive(FlowKey::DERIVATION)),
            rechecks: Rechecks::new(),
            revocations: Revocations::new(),
            watch: unusual::Watch::default(),
            throttle: throttle::Throttle::new(
                &parts.master,
                Arc::clone(&parts.sessions),
                Arc::clone(&parts.clock),
                Arc::clone(&parts.metrics),
            ),
            tombstones: revoke::PendingTombstones::default(),
            uses: idle::UnwrittenUses::default(),
            logouts: logouts::PendingLogouts::default(),
            failures: audit::failures::Failures::new(&parts.master),
            role_lists: role_lists::RoleLists::new(),
            assertions: assertions::Assertions::default(),
            lookups,
            logins,
            mail_written: Notify::new(),
            resets: Arc::new(Semaphore::new(mail::reset::RESETS_AT_ONCE)),
            keys_behind: AtomicBool::new(false),
            vault_silent: AtomicBool::new(false),
            vault_lost,
            undecided: AtomicBool::new(false),
            parts,
        })
    }

    /// Returns whether the revocation list and the keys are loaded and proven current.
    pub fn is_ready(&self) -> bool {
        self.lease.is_held(self.parts.clock.monotonic())
    }

    /// Returns the current mode of operation.
    pub async fn mode(&self, settings: &Settings) -> Mode {
        let (now, lease_held) = self.lease_when_awake().await;
        if lease_held {
            return Mode::Current;
        }
        // Any id will do: only the success of the lookup counts.
        let nobody = SessionId::from_bytes([0; 16]);
        if self.store_may_confirm(now, settings) && self.parts.sessions.check(nobody).await.is_ok() {
            return Mode::WithoutVault;
        }
        Mode::Undecided
    }

    /// Fails at once while the vault is known to be away, instead of waiting for the statement timeout.
    fn vault_at_hand(&self) -> Result<(), Refusal> {
        if *self.vault_lost.borrow() { Err(Refusal::StoreUnavailable) } else { Ok(()) }
    }

    /// Waits for a query to the vault, for as long as the vault answers at all. A write that is given up may still be
    /// committed, as after a lost response.
    ///
    /// # Errors
    /// Those of the query; `Unavailable` when the vault is away or falls silent meanwhile.
    async fn at_vault<T>(&self, query: impl Future<Output = Result<T, VaultError>>) -> Result<T, VaultError> {
        answered(self.vault_lost.subscribe(), query).await
    }

    /// Returns whether every existing key is loaded: the revocation list is current, and so are the keys.
    fn knows_all_keys(&self) -> bool {
        self.is_ready() && !self.keys_behind.load(Ordering::Acquire)
    }

    /// Returns the public keys (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        self.parts.keys.current().jwks(self.vault_now())
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Returns the sessions with their requests and streams.
    pub const fn live(&self) -> &Arc<LiveSessions> {
        &self.live
    }

    /// Returns this gateway's estimate of the vault's clock, which decides about tokens.
    fn vault_now(&self) -> crate::clock::Timestamp {
        self.lease.vault_time(self.parts.clock.monotonic())
    }
}

/// Time for a query that begins while the vault is known to be away: its 503 comes within a second.
const WHILE_LOST: Duration = Duration::from_millis(700);

/// As [`Auth::at_vault`], for a task that outlives its caller.
async fn answered<T>(
    mut lost: watch::Receiver<bool>,
    query: impl Future<Output = Result<T, VaultError>>,
) -> Result<T, VaultError> {
    let given_up = async {
        if *lost.borrow() {
            // The log may be what cannot be read, so the query gets a chance.
            tokio::time::sleep(WHILE_LOST).await;
        } else {
            // The sender lives as long as the use cases.
            let _ = lost.wait_for(|lost| *lost).await;
        }
    };
    tokio::select! {
        biased;
        result = query => result,
        () = given_up => Err(VaultError::Unavailable("nothing was received".into())),
    }
}

/// Runs a use case to its end, even when the caller hangs up.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    // A panic in the task is caught by the runtime. It is a defect, so it resumes here.
    match tokio::spawn(request_id::carried(work)).await {
        Ok(result) => result,
        Err(failed) => {
            std::panic::resume_unwind(failed.try_into_panic().unwrap_or_else(|_| Box::new("task cancelled")))
        }
    }
}

/// Maps a vault failure to the refusal the caller gets.
/// Returns the relying party of passkeys; `None` if they are off, or if no public URL can have them.
fn relying_party(config: &Config) -> Option<Arc<RelyingParty>> {
    let (passkeys, origins) = (&config.login.passkeys, &config.server.public_urls);
    let found = match &passkeys.rp_id {
        Some(id) => RelyingParty::with_id(id, origins),
        None => RelyingParty::of_origins(origins),
    };
    found.ok().filter(|_| passkeys.enabled).map(Arc::new)
}

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(cause) | VaultError::Damaged(cause) => {
                tracing::warn!(reason = "vault_unanswered", cause, "the vault does not respond");
                Self::StoreUnavailable
            }
            VaultError::Superseded => Self::CredentialsWrong,
            VaultError::UserUnknown => Self::TokenRevoked,
            VaultError::LoginTaken
            | VaultError::EmailTaken
            | VaultError::AccountTaken
            | VaultError::LastWay
            | VaultError::TooMany => Self::Internal,
        }
    }
}
