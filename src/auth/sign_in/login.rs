//! Login: from a name and a password to a session.

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::sign_in::browser::Terms;
use crate::auth::sign_in::throttle::{Charge, Guesser};
use crate::auth::{Auth, Settings, Tokens, detached};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::Login;
use crate::metrics::{GrantKind, Pattern};
use crate::password::{HasherBusy, Password, Verdict};
use crate::secret::Secret;
use crate::token::refresh::{FamilyId, RefreshToken};
use crate::vault::{NewSession, User, UserChange, UserKey, VaultError};

/// Somebody who wants to sign in.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    /// As typed: now and then it is the password.
    pub username: Secret<String>,
    /// As typed.
    pub password: Password,
    /// Where from.
    pub address: IpAddr,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// The cookies by which a browser is known that has signed in before.
    pub devices: Vec<String>,
}

impl Auth {
    /// Signs somebody in. Unknown user, wrong password and disabled user cost and look the same.
    ///
    /// # Errors
    /// `CredentialsWrong`, `RateLimited`, `Overloaded`, `StoreUnavailable`.
    pub async fn login(
        self: &Arc<Self>,
        request: LoginRequest,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        self.login_on(request, Terms::of_api(settings), settings).await.map(|(tokens, _)| tokens)
    }

    /// Signs somebody in for a session on these terms: the tokens, and who it is.
    ///
    /// # Errors
    /// As [`Auth::login`].
    pub(crate) async fn login_on(
        self: &Arc<Self>,
        request: LoginRequest,
        terms: Terms,
        settings: &Settings,
    ) -> Result<(Tokens, User), Refusal> {
        let result = self.try_login(request, terms, settings).await;
        let outcome = result.as_ref().map_or_else(Refusal::code, |_| "ok");
        self.parts.metrics.tokens.logins.with_label_values(&[outcome]).inc();
        result
    }

    async fn try_login(
        self: &Arc<Self>,
        request: LoginRequest,
        terms: Terms,
        settings: &Settings,
    ) -> Result<(Tokens, User), Refusal> {
        self.vault_at_hand()?;
        let login: Option<Login> = request.username.expose().parse().ok();
        let user = match self.known_user(login.as_ref(), &request, settings).await? {
            Some(user) => user,
            None => self.strange_user(login, &request, settings).await?,
        };
        let (auth, settings) = (Arc::clone(self), settings.clone());
        detached(async move {
            let tokens = auth.open(&user, &request, terms, &settings).await?;
            Ok((tokens, user))
        })
        .await
    }

    /// The user at a browser that has signed in to this account before; `None` where it is not known for it. Its attempts
    /// are counted apart: strangers cannot use them up.
    async fn known_user(
        &self,
        login: Option<&Login>,
        request: &LoginRequest,
        settings: &Settings,
    ) -> Result<Option<User>, Refusal> {
        let Some(login) = login else { return Ok(None) };
        let Some(device) = self.known_device(login, &request.devices) else { return Ok(None) };
        let charge = self.charge(Guesser::Device { user: device.user, number: device.number }, settings)?;
        let user = match self.parts.vault.users.find(&UserKey::Login(login.clone())).await {
            Ok(user) => user.filter(|user| user.id == device.user && user.epoch == device.epoch),
            Err(error) => {
                self.throttle.refund(charge);
                return Err(error.into());
            }
        };
        if user.is_none() {
            // The password was changed since, or the account is another of the same name: a stranger.
            self.throttle.refund(charge);
            return Ok(None);
        }
        let user = self.right_password(user, &request.password).await;
        if !matches!(user, Ok(None)) {
            self.throttle.refund(charge);
        }
        user?.ok_or(Refusal::CredentialsWrong).map(Some)
    }

    /// The user at whatever sends this.
    async fn strange_user(
        &self,
        login: Option<Login>,
        request: &LoginRequest,
        settings: &Settings,
    ) -> Result<User, Refusal> {
        let username = request.username.expose();
        let account = login.as_ref().map_or(username.as_str(), Login::as_str);
        // Charged before the work and given back after a right password, so that parallel guesses count too.
        let guesser = Guesser::Stranger { account, address: request.address };
        let charge = self.charge(guesser, settings)?;
        let user = match login {
            Some(login) => self.identify(UserKey::Login(login), &request.password).await,
            // No user can have such a name: the same work, and the same answer.
            None => self.right_password(None, &request.password).await.and(Err(Refusal::CredentialsWrong)),
        };
        // Only a wrong password counts: a vault or a hasher that could not tell is not the caller's failure.
        if !matches!(user, Err(Refusal::CredentialsWrong)) {
            self.throttle.refund(charge);
        }
        user
    }

    /// Counts an attempt against the throttle.
    ///
    /// # Errors
    /// `RateLimited`.
    pub(crate) fn charge(&self, guesser: Guesser<'_>, settings: &Settings) -> Result<Charge, Refusal> {
        let now = self.parts.clock.monotonic();
        self.throttle.charge(guesser, settings.attempts, now).map_err(|exhausted| {
            let pattern = if exhausted.by_address {
                Pattern::PasswordGuessingAddress
            } else {
                Pattern::PasswordGuessingAccount
            };
            self.parts.metrics.requests.unusual.of(pattern).inc();
            Refusal::RateLimited(exhausted.wait)
        })
    }

    /// The user, by name or id and password.
    pub(crate) async fn identify(&self, key: UserKey, password: &Password) -> Result<User, Refusal> {
        let user = self.parts.vault.users.find(&key).await?;
        self.right_password(user, password).await?.ok_or(Refusal::CredentialsWrong)
    }

    /// The user, if the password is theirs and they may sign in. The same work whoever asks.
    async fn right_password(&self, user: Option<User>, password: &Password) -> Result<Option<User>, Refusal> {
        let counted = &self.parts.metrics.tokens;
        let began = self.parts.clock.monotonic();
        counted.hash_queue.inc();
        let verdict = self.parts.hasher.verify(password.clone(), user.as_ref().map(|u| &u.password)).await;
        counted.hash_queue.dec();
        counted.hash_seconds.observe(self.parts.clock.monotonic().since(began).as_secs_f64());
        let verdict = verdict.map_err(|HasherBusy| Refusal::Overloaded)?;
        let Some(mut user) = user.filter(|user| !user.disabled) else { return Ok(None) };
        match verdict {
            Verdict::Wrong => Ok(None),
            Verdict::Right => Ok(Some(user)),
            Verdict::Outdated(new) => {
                let change = UserChange::Rehash { old: user.password.clone(), new: new.clone() };
                match self.parts.vault.users.change(user.id, &change).await {
                    Ok(_) => user.password = new,
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

    async fn open(
        &self,
        user: &User,
        request: &LoginRequest,
        terms: Terms,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let random = self.parts.random.as_ref();
        let refresh_kid =
            self.parts.keys.current().refresh_kid(self.vault_now()).ok_or(Refusal::StoreUnavailable)?;
        let token = RefreshToken { family: FamilyId::random(random), generation: 0 };
        let session = NewSession {
            id: SessionId::random(random),
            user_id: user.id,
            epoch: user.epoch,
            client_id: terms.client_id.to_owned(),
            family: token.family.digest(),
            refresh_kid,
            idle: terms.idle,
            absolute: terms.absolute,
            address: Some(request.address),
            user_agent: request.user_agent.as_deref().map(|agent| cut(agent, 256).to_owned()),
        };
        let asked = self.parts.clock.monotonic();
        let grant = match self.parts.vault.sessions.open(&session).await {
            // A password change or a disable came in between: the login loses, as if it had come after.
            Err(VaultError::Superseded) => return Err(Refusal::CredentialsWrong),
            opened => opened?,
        };
        let tokens = self.hand_out(&grant, &token, refresh_kid, settings, asked).await?;
        self.parts.metrics.tokens.issued.of(GrantKind::Login).inc();
        Ok(tokens)
    }
}

/// At most `bytes` bytes, cut between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
