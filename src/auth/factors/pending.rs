//! A browser's sign-in between its two factors. It is no session: nothing but its end can be done with it.
//!
//! The browser keeps a random secret; the vault keeps its hash, and what the session needs, sealed. So it ends once, on
//! any gateway, and a change of the user's password ends it too.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::passkeys::{PasskeyPurpose, PasskeyRequest, PasskeyResponse, PasskeySubject};
use super::{SecondStep, combined};
use crate::auth::sign_in::browser::{Client, SignedIn, Terms};
use crate::auth::sign_in::login::{FirstFactor, NewLogin};
use crate::auth::{Auth, BrowserTokens, LoginRequest, Settings, detached};
use crate::clock::Timestamp;
use crate::error::{FactorRefusal, Refusal};
use crate::id::{UserId, base64url, from_base64url};
use crate::identity::{Epoch, Methods};
use crate::secret::Secret;
use crate::token::{Digest, sha256};
use crate::vault::{NewPendingSignIn, NewProviderSession, ProviderAccount, User, UserKey};

/// Time in which a sign-in must be ended: people look for their phone.
pub const PENDING_LIFE: Duration = Duration::from_mins(10);

/// Step of a sign-in at a browser.
#[derive(Debug)]
pub enum SignInStep {
    /// The user is signed in.
    Done {
        /// The cookies.
        tokens: BrowserTokens,
        /// Whether a second factor should be enrolled now; it will be needed soon.
        enrol_soon: bool,
        /// Whether a passkey can be offered: the password alone was needed, and the user has none.
        can_offer_passkey: bool,
    },
    /// A second factor is needed.
    Pending(PendingSignIn),
}

/// A sign-in that waits for its second factor.
#[derive(Debug)]
pub struct PendingSignIn {
    /// Secret of the browser, for its cookie.
    pub secret: Secret<String>,
    /// Whether a factor must be enrolled, since the user has none.
    pub enrols: bool,
}

/// End of a sign-in at a browser.
#[derive(Debug)]
pub struct FinishedSignIn {
    /// The cookies.
    pub tokens: BrowserTokens,
    /// Path to return to.
    pub return_to: String,
}

/// A sign-in that waits, for its page.
#[derive(Debug)]
pub struct WaitingSignIn {
    /// Whether a factor must be enrolled, since the user has none.
    pub enrols: bool,
    /// Login name.
    pub login: String,
    /// Whether the user has an authenticator app or recovery codes.
    pub has_code: bool,
    /// Request to the user's passkeys, if there are any.
    pub passkey: Option<PasskeyRequest>,
}

/// Second factor that ends a sign-in.
#[derive(Clone, Copy, Debug)]
pub enum SecondFactor<'a> {
    /// Code of an authenticator app, or a recovery code, as typed.
    Code(&'a str),
    /// A passkey.
    Passkey(PasskeyResponse<'a>),
}

/// A browser that gets a session.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The client.
    pub client: Client,
    /// Whether the session is kept when the browser closes. The end of a sign-in that waited takes what its beginning said.
    pub remember: bool,
    /// Maximum length of an access token in a cookie, in bytes.
    pub room: usize,
    /// Refresh cookie of the session before, which ends.
    pub before: Option<String>,
}

/// A sign-in that waits, as read from the vault.
pub(crate) struct Waiting {
    pub(crate) user: User,
    pub(crate) digest: Digest,
    pub(super) contents: Contents,
}

/// Contents of the sealed part in the vault.
#[derive(Serialize, Deserialize)]
pub(super) struct Contents {
    epoch: u32,
    amr: String,
    remember: bool,
    return_to: String,
    pub(super) enrols: bool,
    part: Option<Part>,
}

#[derive(Serialize, Deserialize)]
struct Part {
    provider: String,
    issuer: String,
    subject: String,
    sid: Option<String>,
    refresh: Option<String>,
    id_token: Option<String>,
    recheck_ms: Option<u64>,
    began_at_ms: i64,
}

impl Auth {
    /// Signs in a user at a browser, or begins the wait for a second factor. The session of `before`, a refresh cookie,
    /// ends, so that the user never continues in a session that another person may have started.
    ///
    /// # Errors
    /// `CredentialsWrong`, `RateLimited`, `Overloaded`, `StoreUnavailable`; `CookieTooLarge` when the access token is
    /// longer than `room` bytes.
    pub async fn login_browser(
        self: &Arc<Self>,
        request: LoginRequest,
        (remember, return_to): (bool, &str),
        room: usize,
        before: Option<&str>,
        settings: &Settings,
    ) -> Result<SignInStep, Refusal> {
        let remember = remember && !settings.browser_remember.is_zero();
        let browser = Browser { client: request.client(), remember, room, before: before.map(str::to_owned) };
        let result = match self.first_factor(request, settings).await {
            Ok(first) => {
                let (auth, settings, return_to) = (Arc::clone(self), settings.clone(), return_to.to_owned());
                let opening = async move { auth.open_or_wait(first, browser, &return_to, &settings).await };
                detached(opening).await
            }
            Err(refusal) => Err(refusal),
        };
        self.count_login(match &result {
            Ok(SignInStep::Done { .. }) => "ok",
            Ok(SignInStep::Pending(_)) => "factor_required",
            Err(refusal) => refusal.code(),
        });
        result
    }

    /// Opens the session of a browser, or begins the wait for the second factor.
    pub(crate) async fn open_or_wait(
        self: &Arc<Self>,
        first: FirstFactor,
        browser: Browser,
        return_to: &str,
        settings: &Settings,
    ) -> Result<SignInStep, Refusal> {
        let step = self.second_step(&first.user, first.methods, settings).await?;
        let enrols = match step {
            SecondStep::Nothing { .. } | SecondStep::Notice => {
                let has_password = first.methods.contains(Methods::PASSWORD) && settings.passkeys.is_some();
                let can_offer_passkey = has_password && step == SecondStep::Nothing { has_passkey: false };
                let tokens = self.open_browser(first, &browser, settings).await?;
                let enrol_soon = step == SecondStep::Notice;
                return Ok(SignInStep::Done { tokens, enrol_soon, can_offer_passkey });
            }
            SecondStep::Code => false,
            SecondStep::Enrolment => true,
        };
        let contents = Contents {
            epoch: first.user.epoch.0,
            amr: first.methods.to_string(),
            remember: browser.remember,
            return_to: return_to.to_owned(),
            enrols,
            part: first.part.as_ref().map(Part::of),
        };
        let random = self.parts.random.as_ref();
        let secret = Secret::new(base64url(random.bytes::<32>()));
        let digest = sha256(secret.expose().as_bytes());
        let plain = serde_json::to_vec(&contents).expect("strings and numbers serialise");
        let sealed = self.parts.master.seal(&plain, &sealed_name(&digest), random);
        let pending = NewPendingSignIn { digest, user_id: first.user.id, sealed, life: PENDING_LIFE };
        self.at_vault(self.parts.vault.factors.begin(&pending)).await?;
        Ok(SignInStep::Pending(PendingSignIn { secret, enrols }))
    }

    /// Opens the session of a browser whose user has proven enough.
    async fn open_browser(
        self: &Arc<Self>,
        first: FirstFactor,
        browser: &Browser,
        settings: &Settings,
    ) -> Result<BrowserTokens, Refusal> {
        let login = NewLogin {
            client: &browser.client,
            terms: Terms::of_browser(browser.remember, settings),
            methods: first.methods,
            proven_ago: first.proven_ago,
            part: first.part.as_ref(),
        };
        let tokens = self.open(&first.user, login, settings).await?;
        let signed_in = SignedIn {
            tokens: &tokens,
            user: &first.user,
            devices: &browser.client.devices,
            remember: browser.remember,
        };
        self.browser_tokens(signed_in, browser.room, browser.before.as_deref(), settings).await
    }

    /// Returns the sign-in that waits for this secret of a browser.
    ///
    /// # Errors
    /// `Factor(SignInLost)`, also if the user was changed since; `StoreUnavailable`.
    pub(crate) async fn waiting(&self, secret: &str) -> Result<Waiting, Refusal> {
        let lost = || Refusal::from(FactorRefusal::SignInLost);
        let digest = sha256(secret.as_bytes());
        let found = self.at_vault(self.parts.vault.factors.pending(digest)).await?;
        let (user_id, sealed) = found.ok_or_else(lost)?;
        let plain = self.parts.master.open(&sealed, &sealed_name(&digest)).map_err(|_| lost())?;
        let contents: Contents = serde_json::from_slice(plain.expose()).map_err(|_| lost())?;
        let user = self.at_vault(self.parts.vault.users.find(&UserKey::Id(user_id))).await?;
        let user = user.filter(|user| !user.disabled && user.epoch == Epoch(contents.epoch));
        Ok(Waiting { user: user.ok_or_else(lost)?, digest, contents })
    }

    /// Returns the sign-in that waits for this secret of a browser.
    ///
    /// # Errors
    /// `Factor(SignInLost)`; `StoreUnavailable`.
    pub async fn waiting_sign_in(&self, secret: &str, settings: &Settings) -> Result<WaitingSignIn, Refusal> {
        let Waiting { user, digest, contents } = self.waiting(secret).await?;
        let factors = self.factors_of(user.id).await?;
        let subject = second_step(user.id, &digest);
        Ok(WaitingSignIn {
            enrols: contents.enrols,
            login: user.login.to_string(),
            has_code: !factors.totp.is_empty() || factors.recovery_codes > 0,
            passkey: self.passkey_request(&subject, &factors.passkeys, settings),
        })
    }

    /// Ends a sign-in with a second factor. The session of `before`, a refresh cookie, ends.
    ///
    /// # Errors
    /// `Factor(SignInLost)`, `Factor(CodeWrong)`, `Factor(PasskeyWrong)`, `Factor(PasskeyExpired)`, `RateLimited`,
    /// `CookieTooLarge`, `StoreUnavailable`.
    pub async fn finish_sign_in(
        self: &Arc<Self>,
        secret: &str,
        factor: SecondFactor<'_>,
        browser: Browser,
        settings: &Settings,
    ) -> Result<FinishedSignIn, Refusal> {
        let waiting = self.waiting(secret).await?;
        if waiting.contents.enrols {
            return Err(FactorRefusal::NotEnrolled.into());
        }
        let user = waiting.user.id;
        let methods = match factor {
            SecondFactor::Code(code) => {
                let guesser = self.code_guesser(&waiting.user, &browser.client.devices);
                self.check_code(user, code, guesser, browser.client.address, settings).await?;
                Methods::CODE
            }
            SecondFactor::Passkey(given) => {
                let subject = second_step(user, &waiting.digest);
                self.check_passkey(user, &subject, given, browser.client.address, settings).await?
            }
        };
        self.end_wait(waiting, methods, browser, settings).await
    }

    /// Opens the session of a sign-in that waited, once.
    pub(crate) async fn end_wait(
        self: &Arc<Self>,
        waiting: Waiting,
        method: Methods,
        browser: Browser,
        settings: &Settings,
    ) -> Result<FinishedSignIn, Refusal> {
        let (auth, settings) = (Arc::clone(self), settings.clone());
        detached(async move {
            let Waiting { user, digest, contents } = waiting;
            if !auth.at_vault(auth.parts.vault.factors.finish(digest)).await? {
                return Err(FactorRefusal::SignInLost.into());
            }
            let methods = contents.amr.parse().unwrap_or_default();
            // Without its part the session of a provider would never be rechecked.
            let part = match contents.part {
                Some(part) => Some(part.session().ok_or(FactorRefusal::SignInLost)?),
                None => None,
            };
            let first = FirstFactor {
                user,
                methods: combined(methods, method),
                // The second factor is the last active proof.
                proven_ago: Duration::ZERO,
                part,
            };
            let remember = contents.remember && !settings.browser_remember.is_zero();
            let browser = Browser { remember, ..browser };
            let tokens =
                auth.open_browser(first, &browser, &settings).await.map_err(|refusal| match refusal {
                    // The user was changed meanwhile.
                    Refusal::CredentialsWrong => FactorRefusal::SignInLost.into(),
                    refusal => refusal,
                })?;
            Ok(FinishedSignIn { tokens, return_to: contents.return_to })
        })
        .await
    }
}

/// Returns the subject of a passkey's challenge in the second step.
const fn second_step(user: UserId, digest: &Digest) -> PasskeySubject<'_> {
    PasskeySubject { purpose: PasskeyPurpose::SecondStep, user: Some(user), browser: digest }
}

/// Returns the name under which the contents are sealed: they open only for this sign-in.
fn sealed_name(digest: &Digest) -> String {
    format!("pending sign-in\n{}", base64url(digest))
}

impl Part {
    fn of(part: &NewProviderSession) -> Self {
        let bytes = |bytes: &Vec<u8>| base64url(bytes);
        Self {
            provider: part.account.provider.clone(),
            issuer: part.account.issuer.clone(),
            subject: part.account.subject.clone(),
            sid: part.sid.clone(),
            refresh: part.refresh.as_ref().map(bytes),
            id_token: part.id_token.as_ref().map(bytes),
            began_at_ms: part.began_at.millis(),
            recheck_ms: part.recheck.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn session(self) -> Option<NewProviderSession> {
        let bytes = |text: Option<String>| match text {
            Some(text) => from_base64url(&text).map(Some),
            None => Some(None),
        };
        Some(NewProviderSession {
            account: ProviderAccount { provider: self.provider, issuer: self.issuer, subject: self.subject },
            sid: self.sid,
            began_at: Timestamp::from_millis(self.began_at_ms),
            refresh: bytes(self.refresh)?,
            id_token: bytes(self.id_token)?,
            recheck: self.recheck_ms.map(Duration::from_millis),
        })
    }
}
