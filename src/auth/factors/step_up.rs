//! Step-up: a session whose user proves more gets another session in its place (RFC 9470). Its id, tokens and cookies are
//! new; the old ones end, so whoever had copied them has nothing of the stronger session.

use std::sync::Arc;
use std::time::Duration;

use super::combined;
use super::passkeys::{PasskeyPurpose, PasskeyRequest, PasskeyResponse, PasskeySubject};
use super::pending::Browser;
use crate::auth::sign_in::browser::{Client, Terms};
use crate::auth::sign_in::login::{Issue, NewLogin};
use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, BrowserTokens, Settings, Tokens, detached};
use crate::error::{FactorRefusal, PasswordFault, Refusal};
use crate::identity::{ClientKind, Identity, Methods};
use crate::metrics::GrantKind;
use crate::password::Password;
use crate::vault::{EndReason, SessionRow, User, UserKey, VaultError};

/// Proof that a signed-in user gives.
#[derive(Debug)]
pub enum StepUpProof {
    /// Code of an authenticator app, or a recovery code, as typed.
    Code(String),
    /// The password.
    Password(Password),
    /// A passkey, at a browser.
    Passkey {
        /// The sealed challenge.
        state: String,
        /// `credential.toJSON()`.
        response: String,
        /// Binding to the browser: its session.
        browser: [u8; 32],
    },
    /// A factor that was enrolled just now, with these methods.
    Enrolled(Methods),
    /// A sign-in at a provider whose account is linked to the user, this long ago.
    Provider {
        /// Methods that count.
        methods: Methods,
        /// Time since the active sign-in there.
        ago: Duration,
    },
}

impl Auth {
    /// Proves more for a program's session. Its tokens are replaced.
    ///
    /// # Errors
    /// `Factor(CodeWrong)`; `Factor(CodeMissing)` for the password of a user who has a second factor; `PasswordRejected` for
    /// a wrong password; `TokenInvalid` for the token of a browser, whose session stays in its cookies; `RateLimited`,
    /// `TokenRevoked`, `Overloaded`, `StoreUnavailable`.
    pub async fn step_up_program(
        self: &Arc<Self>,
        identity: &Identity,
        proof: StepUpProof,
        client: &Client,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let row = self.live_session(identity).await?;
        if ClientKind::of(&row.grant.client_id) != ClientKind::Program {
            return Err(Refusal::TokenInvalid);
        }
        self.step_up(identity, &row, proof, client, settings).await
    }

    async fn live_session(&self, identity: &Identity) -> Result<SessionRow, Refusal> {
        let row = self.at_vault(self.parts.vault.sessions.find(identity.session_id())).await?;
        row.filter(|row| row.live).ok_or(Refusal::TokenRevoked)
    }

    async fn step_up(
        self: &Arc<Self>,
        identity: &Identity,
        row: &SessionRow,
        proof: StepUpProof,
        client: &Client,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let (methods, proven_ago) = self.prove(identity, proof, client, settings).await?;
        let user = self.at_vault(self.parts.vault.users.find(&UserKey::Id(identity.user_id()))).await?;
        let user = user.filter(|user| !user.disabled).ok_or(Refusal::TokenRevoked)?;
        let terms = match ClientKind::of(&row.grant.client_id) {
            ClientKind::Program => Terms::of_api(settings),
            kind => Terms::of_browser(kind == ClientKind::RememberedBrowser, settings),
        };
        let methods = combined(row.grant.proof.methods, methods);
        let (auth, client, settings) = (Arc::clone(self), client.clone(), settings.clone());
        let old = identity.session_id();
        detached(async move {
            let login = NewLogin { client: &client, terms, methods, proven_ago, part: None };
            auth.replace(old, &user, login, &settings).await
        })
        .await
    }

    /// Proves more for a browser's session. Its cookies are replaced.
    ///
    /// # Errors
    /// As [`Auth::step_up_program`]; `Factor(PasskeyWrong)`, `Factor(PasskeyExpired)`, `CookieTooLarge`.
    pub async fn step_up_browser(
        self: &Arc<Self>,
        identity: &Identity,
        proof: StepUpProof,
        browser: &Browser,
        settings: &Settings,
    ) -> Result<BrowserTokens, Refusal> {
        let row = self.live_session(identity).await?;
        let tokens = self.step_up(identity, &row, proof, &browser.client, settings).await?;
        let tokens = BrowserTokens::new(&tokens, browser.remember, true);
        if tokens.access.expose().len() > browser.room { Err(Refusal::CookieTooLarge) } else { Ok(tokens) }
    }

    /// Checks a proof. Returns its methods, and the time since it was given.
    async fn prove(
        &self,
        identity: &Identity,
        proof: StepUpProof,
        client: &Client,
        settings: &Settings,
    ) -> Result<(Methods, Duration), Refusal> {
        // As at a sign-in: who has a second factor proves that one.
        let is_first_factor = match &proof {
            StepUpProof::Password(_) => true,
            StepUpProof::Provider { methods, .. } => !methods.contains(Methods::MULTI_FACTOR),
            StepUpProof::Code(_) | StepUpProof::Passkey { .. } | StepUpProof::Enrolled(_) => false,
        };
        if is_first_factor && self.factors_of(identity.user_id()).await?.is_enrolled() {
            return Err(FactorRefusal::CodeMissing.into());
        }
        match proof {
            StepUpProof::Code(code) => {
                let (user, id) = (identity.user_id(), identity.session_id());
                let guesser = Guesser::SessionCodes { user, id };
                self.check_code(user, &code, guesser, client.address, settings).await?;
                Ok((Methods::CODE, Duration::ZERO))
            }
            StepUpProof::Password(password) => {
                if !settings.passwords {
                    return Err(crate::error::ProviderRefusal::PasswordsOff.into());
                }
                let (id, account) = (identity.session_id(), identity.login().as_str());
                let guesser = Guesser::Session { id, account, address: client.address };
                let charge = self.charge(guesser, settings).await.inspect_err(|_| {
                    self.record_failure("rate_limited", Some(identity.user_id()), None);
                })?;
                let user = self.identify(UserKey::Id(identity.user_id()), &password).await;
                if !matches!(user, Err(Refusal::CredentialsWrong)) {
                    self.throttle.refund(charge);
                }
                // Not a 401: the caller is signed in, and clients discard their tokens on a 401.
                let wrong = || Refusal::PasswordRejected(PasswordFault::CurrentWrong);
                user.map_err(|refusal| match refusal {
                    Refusal::CredentialsWrong => wrong(),
                    refusal => refusal,
                })?;
                Ok((Methods::PASSWORD, Duration::ZERO))
            }
            StepUpProof::Passkey { state, response, browser } => {
                let given = PasskeyResponse { state: &state, response: &response };
                let subject = subject(identity, &browser);
                let methods =
                    self.check_passkey(identity.user_id(), &subject, given, client.address, settings).await?;
                Ok((methods, Duration::ZERO))
            }
            StepUpProof::Enrolled(methods) => Ok((methods, Duration::ZERO)),
            StepUpProof::Provider { methods, ago } => Ok((methods, ago)),
        }
    }

    /// Opens a session in place of `old`.
    async fn replace(
        self: &Arc<Self>,
        old: crate::id::SessionId,
        user: &User,
        login: NewLogin<'_>,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let Issue { session, token, refresh_kid } = self.new_session(user, &login)?;
        let requested_at = self.parts.clock.monotonic();
        let replaced = self.at_vault(self.parts.vault.sessions.replace(old, &session)).await;
        let (grant, ended) = match replaced {
            // The session has ended, or the user was changed.
            Err(VaultError::Superseded) => return Err(Refusal::TokenRevoked),
            replaced => replaced?,
        };
        let tokens = self.issue_tokens(&grant, &token, refresh_kid, settings, requested_at).await?;
        self.apply_revocation(&ended, EndReason::Replaced).await;
        self.parts.metrics.tokens.issued.of(GrantKind::Login).inc();
        Ok(tokens)
    }

    /// Returns the ways in which the user of a session can prove more at a browser.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn step_up_ways(
        &self,
        identity: &Identity,
        browser: &[u8],
        settings: &Settings,
    ) -> Result<StepUpWays, Refusal> {
        let factors = self.factors_of(identity.user_id()).await?;
        let links =
            if settings.providers.is_empty() { Vec::new() } else { self.accounts_of(identity).await? };
        // Users that a provider's account created have no password, unless an operator has set one.
        let is_of_provider = links.iter().any(|link| link.is_origin);
        let needs_second = factors.is_enrolled();
        let proves_two = |id: &str| {
            let provider = settings.providers.find(id);
            provider.is_some_and(|provider| !provider.settings().factor_values.is_empty())
        };
        let providers = links.into_iter().map(|link| link.account.provider);
        let providers = providers.filter(|id| !needs_second || proves_two(id)).collect();
        Ok(StepUpWays {
            passkey: self.passkey_request(&subject(identity, browser), &factors.passkeys, settings),
            has_code: !factors.totp.is_empty() || factors.recovery_codes > 0,
            has_password: settings.passwords && !is_of_provider && !needs_second,
            providers,
        })
    }

    /// Checks that the account a person signed in with is linked to the user of the session, and returns the proof.
    ///
    /// # Errors
    /// `Factor(Unknown)` if it is another user's; `StoreUnavailable`.
    pub async fn proof_by_provider(
        &self,
        identity: &Identity,
        provider: &crate::provider::Provider,
        person: &crate::provider::Person,
    ) -> Result<StepUpProof, Refusal> {
        let account = crate::auth::providers::account_of(person);
        let owner = self.at_vault(self.parts.vault.identities.owner(&account)).await?;
        if owner.is_none_or(|owner| owner.id != identity.user_id()) {
            return Err(FactorRefusal::Unknown.into());
        }
        let (methods, ago) = crate::auth::providers::proof_of(provider, person, self.vault_now());
        Ok(StepUpProof::Provider { methods, ago })
    }
}

/// Returns the subject of a passkey's challenge in a session.
const fn subject<'a>(identity: &Identity, browser: &'a [u8]) -> PasskeySubject<'a> {
    PasskeySubject { purpose: PasskeyPurpose::StepUp, user: Some(identity.user_id()), browser }
}

/// Ways in which the user of a session can prove more.
#[derive(Clone, Debug)]
pub struct StepUpWays {
    /// Request to the user's passkeys, if there are any.
    pub passkey: Option<PasskeyRequest>,
    /// Whether the user has an authenticator app or recovery codes.
    pub has_code: bool,
    /// Whether the user has a password that will do: passwords sign people in, and the user has no second factor.
    pub has_password: bool,
    /// Ids of the providers with a linked account.
    pub providers: Vec<String>,
}
