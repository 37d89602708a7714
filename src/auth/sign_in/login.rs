//! Login: creates a session from a user name and a password.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::factors::{SecondStep, combined};
use crate::auth::sign_in::browser::{Client, Terms};
use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, SeenClient, Settings, Tokens, detached};
use crate::error::{FactorRefusal, Refusal};
use crate::id::SessionId;
use crate::identity::{Login, Methods};
use crate::metrics::GrantKind;
use crate::password::{HasherBusy, Password, Verdict};
use crate::secret::Secret;
use crate::token::refresh::{FamilyId, RefreshToken};
use crate::vault::{
    NewProviderSession, NewSession, User, UserChange, UserKey, VaultError, stored_user_agent,
};

/// Login request of a client.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    /// The user name, as typed. It is secret because users sometimes type their password here.
    pub username: Secret<String>,
    /// The password, as typed.
    pub password: Password,
    /// The client's address.
    pub address: IpAddr,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// Device cookies of the browser.
    pub devices: Vec<String>,
}

/// A user whose first factor is proven.
#[derive(Clone, Debug)]
pub(crate) struct FirstFactor {
    pub(crate) user: User,
    pub(crate) methods: Methods,
    /// Time since the active proof.
    pub(crate) proven_ago: Duration,
    /// Part of the provider that identified the user.
    pub(crate) part: Option<NewProviderSession>,
}

/// A session to be opened.
pub(crate) struct NewLogin<'a> {
    pub(crate) client: &'a Client,
    pub(crate) terms: Terms,
    /// Authentication methods.
    pub(crate) methods: Methods,
    /// Time since the last active proof.
    pub(crate) proven_ago: Duration,
    /// Part of the provider that identified the user.
    pub(crate) part: Option<&'a NewProviderSession>,
}

/// A session for the vault, and its first refresh token.
pub(crate) struct Issue {
    pub(crate) session: NewSession,
    pub(crate) token: RefreshToken,
    pub(crate) refresh_kid: u8,
}

impl LoginRequest {
    pub(crate) fn client(&self) -> Client {
        Client { address: self.address, user_agent: self.user_agent.clone(), devices: self.devices.clone() }
    }
}

impl Auth {
    /// Signs a user in. An unknown user, a wrong password and a disabled user take the same work and give the same
    /// response. `code` is that of a second factor, as typed.
    ///
    /// # Errors
    /// `CredentialsWrong`, `RateLimited`, `Overloaded`, `StoreUnavailable`; `Factor(CodeMissing)`, `Factor(CodeWrong)`,
    /// `Factor(NotEnrolled)` once the password is right.
    pub async fn login(
        self: &Arc<Self>,
        request: LoginRequest,
        code: Option<&str>,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let result = self.try_login(request, code, settings).await;
        self.count_login(result.as_ref().map_or_else(Refusal::code, |_| "ok"));
        result
    }

    /// Counts a sign-in by password. `outcome` is `ok` or a stable code.
    pub(crate) fn count_login(&self, outcome: &str) {
        self.parts.metrics.tokens.logins.with_label_values(&[outcome]).inc();
    }

    async fn try_login(
        self: &Arc<Self>,
        request: LoginRequest,
        code: Option<&str>,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let client = request.client();
        let FirstFactor { user, methods, .. } = self.first_factor(request, settings).await?;
        let methods = match (self.second_step(&user, methods, settings).await?, code) {
            (SecondStep::Nothing { .. } | SecondStep::Notice, _) => methods,
            (SecondStep::Code, Some(code)) => {
                let guesser = self.code_guesser(&user, &client.devices);
                self.check_code(user.id, code, guesser, client.address, settings).await?;
                combined(methods, Methods::CODE)
            }
            (SecondStep::Code, None) => return Err(FactorRefusal::CodeMissing.into()),
            (SecondStep::Enrolment, _) => return Err(FactorRefusal::NotEnrolled.into()),
        };
        let (auth, settings) = (Arc::clone(self), settings.clone());
        detached(async move {
            let terms = Terms::of_api(&settings);
            let login = NewLogin { client: &client, terms, methods, proven_ago: Duration::ZERO, part: None };
            auth.open(&user, login, &settings).await
        })
        .await
    }

    /// Checks the password.
    ///
    /// # Errors
    /// `CredentialsWrong`, `RateLimited`, `Overloaded`, `StoreUnavailable`.
    pub(crate) async fn first_factor(
        &self,
        request: LoginRequest,
        settings: &Settings,
    ) -> Result<FirstFactor, Refusal> {
        self.vault_at_hand()?;
        let login: Option<Login> = request.username.expose().parse().ok();
        let user = match self.user_at_known_device(login.as_ref(), &request, settings).await {
            Ok(None) => self.user_at_unknown_client(login, &request, settings).await,
            known => known.and_then(|user| user.ok_or(Refusal::Internal)),
        };
        let user = user.inspect_err(|refusal| {
            if matches!(refusal, Refusal::RateLimited(_)) {
                // As the name was looked up by the throttle: nobody has asked the vault whose it is.
                self.record_failure("rate_limited", None, Some(request.username.expose()));
            }
        })?;
        Ok(FirstFactor { user, methods: Methods::PASSWORD, proven_ago: Duration::ZERO, part: None })
    }

    /// Authenticates at a browser that has signed in to this account before; `None` when the browser is unknown for it.
    /// Its attempts are counted apart, so that other clients cannot use them up.
    async fn user_at_known_device(
        &self,
        login: Option<&Login>,
        request: &LoginRequest,
        settings: &Settings,
    ) -> Result<Option<User>, Refusal> {
        let Some(login) = login else { return Ok(None) };
        let Some(device) = self.known_device(login, &request.devices) else { return Ok(None) };
        let guesser = Guesser::Device { user: device.user, number: device.number };
        let charge = self.charge(guesser, settings).await?;
        let key = UserKey::Login(login.clone());
        let user = match self.at_vault(self.parts.vault.users.find(&key)).await {
            Ok(user) => user.filter(|user| user.id == device.user && user.epoch == device.epoch),
            Err(error) => {
                self.throttle.refund(charge);
                return Err(error.into());
            }
        };
        if user.is_none() {
            // The password was changed since, or another account now has this name: treated as an unknown client.
            self.throttle.refund(charge);
            return Ok(None);
        }
        let user = self.check_password(user, &request.password).await;
        if !matches!(user, Ok(None)) {
            self.throttle.refund(charge);
        }
        user?.ok_or(Refusal::CredentialsWrong).map(Some)
    }

    /// Authenticates at an unknown client.
    async fn user_at_unknown_client(
        &self,
        login: Option<Login>,
        request: &LoginRequest,
        settings: &Settings,
    ) -> Result<User, Refusal> {
        let username = request.username.expose();
        let account = login.as_ref().map_or(username.as_str(), Login::as_str);
        // Charged before the work and refunded after a correct password, so that parallel guesses count too.
        let guesser = Guesser::Unknown { account, address: request.address };
        let charge = self.charge(guesser, settings).await?;
        let user = match &login {
            Some(login) => self.identify(UserKey::Login(login.clone()), &request.password).await,
            // No user can have such a name: the same work, and the same response.
            None => {
                self.record_failure("user_unknown", None, Some(username));
                self.check_password(None, &request.password).await.and(Err(Refusal::CredentialsWrong))
            }
        };
        // Only a wrong password counts, not a failure of the vault or the hasher.
        if matches!(user, Err(Refusal::CredentialsWrong)) {
            self.watch_failure(request.address, account);
            self.throttle.hold_back(settings.failure_delay).await;
        } else {
            self.throttle.refund(charge);
        }
        user
    }

    /// Returns the user for a name or id and a password.
    pub(crate) async fn identify(&self, key: UserKey, password: &Password) -> Result<User, Refusal> {
        let user = self.at_vault(self.parts.vault.users.find(&key)).await?;
        if let (None, UserKey::Login(login)) = (&user, &key) {
            self.record_failure("user_unknown", None, Some(login.as_str()));
        }
        self.check_password(user, password).await?.ok_or(Refusal::CredentialsWrong)
    }

    /// Returns the user if the password is correct and the user is enabled. The work is the same for every result.
    async fn check_password(&self, user: Option<User>, password: &Password) -> Result<Option<User>, Refusal> {
        let counted = &self.parts.metrics.tokens;
        let started = self.parts.clock.monotonic();
        counted.hash_queue.inc();
        let (hasher, stored) = (&self.parts.hasher, user.as_ref().map(|user| &user.password));
        let verdict = if user.as_ref().is_some_and(|user| user.disabled) {
            // A right password is refused as a wrong one is: it must not take longer.
            hasher.verify_only(password.clone(), stored).await
        } else {
            hasher.verify(password.clone(), stored).await
        };
        counted.hash_queue.dec();
        counted.hash_seconds.observe(self.parts.clock.monotonic().since(started).as_secs_f64());
        let verdict = verdict.map_err(|HasherBusy| Refusal::Overloaded)?;
        if let Some(user) = user.as_ref().filter(|user| user.disabled) {
            self.record_failure("user_disabled", Some(user.id), None);
        }
        let Some(mut user) = user.filter(|user| !user.disabled) else { return Ok(None) };
        match verdict {
            Verdict::Wrong => {
                self.record_failure("password_wrong", Some(user.id), None);
                Ok(None)
            }
            Verdict::Right => Ok(Some(user)),
            Verdict::TooLong => {
                tracing::warn!(
                    reason = "password_too_long_for_bcrypt",
                    user = %user.id,
                    "the password has more than 72 bytes, which the imported bcrypt hash ignores: set a new password for the user"
                );
                self.record_failure("password_too_long", Some(user.id), None);
                Ok(None)
            }
            Verdict::PepperMissing(pepper) => {
                tracing::error!(
                    reason = "pepper_missing",
                    user = %user.id,
                    pepper = %pepper,
                    "a password was hashed with a pepper that this gateway does not have: add it to login.peppers"
                );
                Err(Refusal::StoreUnavailable)
            }
            Verdict::Outdated { new, kind } => {
                let change = UserChange::Rehash { old: user.password.clone(), new: new.clone() };
                match self.at_vault(self.parts.vault.users.change(user.id, &change)).await {
                    Ok(_) => {
                        user.password = new;
                        counted.renewed_hashes.of(kind).inc();
                    }
                    // The next login tries again.
                    Err(error) => tracing::warn!(
                        reason = "password_hash_kept",
                        cause = %error,
                        "a password hash was not renewed; the next login tries again"
                    ),
                }
                Ok(Some(user))
            }
        }
    }

    /// Returns a session for the vault, with its first refresh token.
    ///
    /// # Errors
    /// `StoreUnavailable` while no key is there.
    pub(crate) fn new_session(&self, user: &User, login: &NewLogin<'_>) -> Result<Issue, Refusal> {
        let random = self.parts.random.as_ref();
        let refresh_kid =
            self.parts.keys.current().refresh_kid(self.vault_now()).ok_or(Refusal::StoreUnavailable)?;
        let token = RefreshToken { family: FamilyId::random(random), generation: 0 };
        let NewLogin { client, terms, methods, proven_ago, .. } = login;
        let session = NewSession {
            id: SessionId::random(random),
            user_id: user.id,
            epoch: user.epoch,
            client_id: terms.client_id.to_owned(),
            family: token.family.digest(),
            refresh_kid,
            idle: terms.idle,
            absolute: terms.absolute,
            address: Some(client.address),
            user_agent: client.user_agent.as_deref().map(|agent| stored_user_agent(agent).to_owned()),
            methods: *methods,
            proven_ago: *proven_ago,
        };
        Ok(Issue { session, token, refresh_kid })
    }

    /// Opens a session.
    ///
    /// # Errors
    /// `CredentialsWrong` if the user was changed meanwhile, or the provider has ended its session; `StoreUnavailable`.
    pub(crate) async fn open(
        self: &Arc<Self>,
        user: &User,
        login: NewLogin<'_>,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let Issue { session, token, refresh_kid } = self.new_session(user, &login)?;
        let requested_at = self.parts.clock.monotonic();
        let opened = async {
            match login.part {
                None => self.parts.vault.sessions.open(&session).await,
                Some(part) => self.parts.vault.identities.open(&session, part).await,
            }
        };
        let grant = match self.at_vault(opened).await {
            // A password change or a disable came first, so the login fails as if it had started after it.
            Err(VaultError::Superseded) => return Err(Refusal::CredentialsWrong),
            opened => opened?,
        };
        let is_known_device = self.known_device(&user.login, &login.client.devices).is_some();
        let seen =
            SeenClient { address: login.client.address, user_agent: login.client.user_agent.as_deref() };
        let is_guess = login.methods == Methods::PASSWORD && !is_known_device;
        if let Err(refusal) = self.watch_sign_in(&grant, seen, is_guess, settings).await {
            if is_guess && refusal == Refusal::CredentialsWrong {
                // As for a wrong password, so that the right one is not told by the limits or the time.
                let account = user.login.as_str();
                let guesser = Guesser::Unknown { account, address: login.client.address };
                if self.charge(guesser, settings).await.is_ok() {
                    self.throttle.hold_back(settings.failure_delay).await;
                }
            }
            return Err(refusal);
        }
        let tokens = self.issue_tokens(&grant, &token, refresh_kid, settings, requested_at).await?;
        self.parts.metrics.tokens.issued.of(GrantKind::Login).inc();
        Ok(tokens)
    }
}
