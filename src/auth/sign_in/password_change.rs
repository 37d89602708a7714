//! What somebody can see and change about themselves.

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::sign_in::device::KNOWN_FOR;
use crate::auth::sign_in::throttle::Guesser;
use crate::auth::{Auth, DeviceCookie, Registration, Revoked, Settings, detached};
use crate::error::Refusal;
use crate::id::UserId;
use crate::identity::{Epoch, Identity};
use crate::password::{HasherBusy, Password};
use crate::vault::{EndReason, SessionRow, UserChange, UserKey, VaultError};

/// What somebody sends who wants another password.
#[derive(Debug)]
pub struct PasswordChange<'a> {
    /// As typed.
    pub current: Password,
    /// As typed.
    pub new: Password,
    /// Where from.
    pub address: IpAddr,
    /// Of the request: a session that is revoked while the passwords are hashed changes nothing.
    pub registration: Option<&'a Registration>,
}

/// A password was changed.
#[derive(Debug, Clone)]
pub struct PasswordChanged {
    /// The other sessions, which were ended.
    pub revoked: Revoked,
    user: UserId,
    epoch: Epoch,
}

impl Auth {
    /// The cookie by which the browser is known, at which the password was changed: those from before count no more.
    pub fn known_after_change(
        &self,
        identity: &Identity,
        changed: &PasswordChanged,
        devices: &[String],
    ) -> DeviceCookie {
        let value = self.mark_device(identity.login(), changed.user, changed.epoch, devices);
        DeviceCookie { value, keep: KNOWN_FOR }
    }

    /// The user's live sessions, newest first.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn sessions_of(&self, identity: &Identity) -> Result<Vec<SessionRow>, Refusal> {
        Ok(self.parts.vault.sessions.list(Some(identity.user_id())).await?)
    }

    /// Sets another password and ends every other session of the user.
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
        let PasswordChange { current, new, address, registration } = change;
        new.acceptable(identity.login(), &settings.brand, settings.min_password_length)
            .map_err(|why| Refusal::PasswordRejected(why.to_string()))?;
        // Guessing here is guessing a password, and is counted. By the session: who guesses elsewhere does not keep the
        // owner from changing a password that is under attack.
        let (id, account) = (identity.session_id(), identity.login().as_str());
        let guesser = Guesser::Session { id, account, address };
        let charge = self.charge(guesser, settings)?;
        let user = self.identify(UserKey::Id(identity.user_id()), &current).await;
        if !matches!(user, Err(Refusal::CredentialsWrong)) {
            self.throttle.refund(charge);
        }
        // Not a 401: the caller is signed in, and a client that reads one throws its tokens away.
        let wrong = || Refusal::PasswordRejected("the current password is wrong".into());
        let user =
            user.map_err(|refusal| if refusal == Refusal::CredentialsWrong { wrong() } else { refusal })?;
        let new = self.parts.hasher.hash(new).await.map_err(|HasherBusy| Refusal::Overloaded)?;
        // Both waits for the hasher are over: is it still somebody's session?
        let registration = registration.ok_or(Refusal::Internal)?;
        if registration.is_revoked() {
            return Err(Refusal::TokenRevoked);
        }
        self.still_good(registration, settings).await?;
        let (auth, keep) = (Arc::clone(self), identity.session_id());
        detached(async move {
            let change = UserChange::Password { new, expected: Some(user.password), keep: Some(keep) };
            let ended = match auth.parts.vault.users.change(user.id, &change).await {
                Err(VaultError::Superseded) => return Err(wrong()),
                changed => changed?,
            };
            let propagation = auth.carry_out(&ended, EndReason::Password).await;
            let revoked = Revoked { sessions: ended.alive, known: true, propagation };
            // A change raises it by one, and only from the hash that was verified.
            Ok(PasswordChanged { revoked, user: user.id, epoch: Epoch(user.epoch.0 + 1) })
        })
        .await
    }
}
