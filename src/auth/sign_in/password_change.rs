//! Account page of a signed-in user: sessions and password.

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::mail::outbox::Letterhead;
use crate::auth::sign_in::device::DEVICE_LIFE;
use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, DeviceCookie, Registration, Revoked, Settings, detached};
use crate::error::{PasswordFault, Refusal};
use crate::id::UserId;
use crate::identity::{Epoch, Identity};
use crate::metrics::BreachedLookup;
use crate::password::{HasherBusy, Password, Person};
use crate::vault::{EndReason, SessionPage, SessionRow, UserChange, UserKey, VaultError};

/// Request to change the password.
#[derive(Debug)]
pub struct PasswordChange<'a> {
    /// The current password, as typed.
    pub current: Password,
    /// The new password, as typed.
    pub new: Password,
    /// The client's address.
    pub address: IpAddr,
    /// Head of the mail about it.
    pub letterhead: Option<Letterhead>,
    /// Registration of the request. If its session is revoked while the passwords are hashed, nothing is changed.
    pub registration: Option<&'a Registration>,
}

/// Result of a password change.
#[derive(Debug, Clone)]
pub struct PasswordChanged {
    /// The user's other sessions, which were ended.
    pub revoked: Revoked,
    user: UserId,
    epoch: Epoch,
}

impl Auth {
    /// Returns a new device cookie for the browser that changed the password. Earlier device cookies are no longer
    /// valid.
    pub fn device_cookie_after_change(
        &self,
        identity: &Identity,
        changed: &PasswordChanged,
        devices: &[String],
    ) -> DeviceCookie {
        let value = self.mark_device(identity.login(), changed.user, changed.epoch, devices);
        DeviceCookie { value, keep: DEVICE_LIFE }
    }

    /// Returns a page of the user's live sessions, newest first.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn sessions_of(
        &self,
        identity: &Identity,
        page: SessionPage,
    ) -> Result<Vec<SessionRow>, Refusal> {
        Ok(self.at_vault(self.parts.vault.sessions.list(Some(identity.user_id()), page)).await?)
    }

    /// Returns the minimum length of a new password of this user, in characters.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn min_password_length(
        &self,
        identity: &Identity,
        settings: &Settings,
    ) -> Result<usize, Refusal> {
        let (alone, roles) = (settings.password_rules.min_length, identity.roles());
        if !settings.factor.applies_to(roles) {
            return Ok(alone);
        }
        let factors = self.at_vault(self.parts.vault.factors.of_user(identity.user_id())).await?;
        Ok(settings.factor.min_password_length(alone, roles, factors.is_enrolled()))
    }

    /// Changes the password and ends every other session of the user.
    ///
    /// # Errors
    /// `PasswordRejected`, also when `current` is not the password; `TokenRevoked`, `RateLimited`, `Overloaded`,
    /// `StoreUnavailable`.
    pub async fn change_password(
        self: &Arc<Self>,
        identity: &Identity,
        change: PasswordChange<'_>,
        settings: &Settings,
    ) -> Result<PasswordChanged, Refusal> {
        let PasswordChange { current, new, address, letterhead, registration } = change;
        let min_length = self.min_password_length(identity, settings).await?;
        let checked = settings.password_rules.check(&new, Person::of(identity), min_length);
        checked.map_err(Refusal::PasswordRejected)?;
        // A wrong current password counts as a guess. It counts per session, so that guesses elsewhere do not keep the
        // owner from changing a password that is under attack.
        let (id, account) = (identity.session_id(), identity.login().as_str());
        let guesser = Guesser::Session { id, account, address };
        let charge = self.charge(guesser, settings).await.inspect_err(|_| {
            self.record_failure("rate_limited", Some(identity.user_id()), None);
        })?;
        let user = self.identify(UserKey::Id(identity.user_id()), &current).await;
        if !matches!(user, Err(Refusal::CredentialsWrong)) {
            self.throttle.refund(charge);
        }
        // Not a 401: the caller is signed in, and clients discard their tokens on a 401.
        let wrong = || Refusal::PasswordRejected(PasswordFault::CurrentWrong);
        let user =
            user.map_err(|refusal| if refusal == Refusal::CredentialsWrong { wrong() } else { refusal })?;
        if self.is_breached(&new, settings).await {
            return Err(Refusal::PasswordRejected(PasswordFault::Breached));
        }
        let new = self.parts.hasher.hash(new).await.map_err(|HasherBusy| Refusal::Overloaded)?;
        // The waits are over: the session may have been revoked meanwhile.
        let registration = registration.ok_or(Refusal::Internal)?;
        if registration.is_revoked() {
            return Err(Refusal::TokenRevoked);
        }
        self.recheck_lease(registration, settings).await?;
        let (auth, keep, settings) = (Arc::clone(self), identity.session_id(), settings.clone());
        detached(async move {
            let mail = letterhead.and_then(|head| auth.password_notice(&user, &head, &settings));
            let change = UserChange::Password { new, expected: Some(user.password), keep: Some(keep) };
            let vault = &auth.parts.vault;
            let changing = async {
                match &mail {
                    Some(mail) => vault.mail.change_user(user.id, &change, mail).await,
                    None => vault.users.change(user.id, &change).await,
                }
            };
            let ended = match auth.at_vault(changing).await {
                Err(VaultError::Superseded) => return Err(wrong()),
                changed => changed?,
            };
            auth.mail_written();
            let propagation = auth.apply_revocation(&ended, EndReason::Password).await;
            let revoked =
                Revoked { sessions: ended.alive, is_known: true, propagation, ended: ended.sessions };
            // A change raises the epoch by one, and only if the stored hash is the one that was verified.
            Ok(PasswordChanged { revoked, user: user.id, epoch: Epoch(user.epoch.0 + 1) })
        })
        .await
    }

    /// Returns whether the configured collection of leaked passwords has this one. Without an answer it counts as not there: a
    /// server that is away must not keep people from a change that they need.
    pub(crate) async fn is_breached(&self, password: &Password, settings: &Settings) -> bool {
        let Some(collection) = &settings.breached_passwords else { return false };
        let found = collection.contains(password).await;
        let result = match &found {
            Ok(true) => BreachedLookup::Found,
            Ok(false) => BreachedLookup::NotFound,
            Err(error) => {
                tracing::warn!(
                    reason = "breached_passwords_unavailable",
                    cause = %error,
                    "a new password was accepted without a look-up"
                );
                BreachedLookup::Unavailable
            }
        };
        self.parts.metrics.outbound.breached_passwords.of(result).inc();
        found.unwrap_or(false)
    }
}
