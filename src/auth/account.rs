//! What somebody can see and change about themselves.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Auth, Revoked, Settings, detached};
use crate::error::Refusal;
use crate::identity::Identity;
use crate::password::{HasherBusy, Password};
use crate::vault::{EndReason, SessionRow, UserChange, UserKey, VaultError};

impl Auth {
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
    /// `PasswordRejected`, also when `current` is not the password; `RateLimited`, `Overloaded`,
    /// `StoreUnavailable`.
    pub async fn change_password(
        self: &Arc<Self>,
        identity: &Identity,
        current: Password,
        new: Password,
        address: IpAddr,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        new.acceptable(identity.login(), settings.min_password_length)
            .map_err(|why| Refusal::PasswordRejected(why.to_string()))?;
        // Guessing here is guessing a password: the same throttle counts it.
        let charge = self.charge(identity.login().as_str(), address, settings)?;
        let user = self.identify(UserKey::Id(identity.user_id()), &current).await;
        if !matches!(user, Err(Refusal::CredentialsWrong)) {
            self.throttle.refund(charge);
        }
        // Not a 401: the caller is signed in, and a client that reads one throws its tokens away.
        let wrong = || Refusal::PasswordRejected("the current password is wrong".into());
        let user =
            user.map_err(|refusal| if refusal == Refusal::CredentialsWrong { wrong() } else { refusal })?;
        let new = self.parts.hasher.hash(new).await.map_err(|HasherBusy| Refusal::Overloaded)?;
        let (auth, keep) = (Arc::clone(self), identity.session_id());
        detached(async move {
            let change = UserChange::Password { new, expected: Some(user.password), keep: Some(keep) };
            let ended = match auth.parts.vault.users.change(user.id, &change).await {
                Err(VaultError::Superseded) => return Err(wrong()),
                changed => changed?,
            };
            let propagation = auth.carry_out(&ended, EndReason::Password).await;
            Ok(Revoked { sessions: ended.alive, known: true, propagation })
        })
        .await
    }
}
