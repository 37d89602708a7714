//! Accounts of a user at providers: listed, linked and unlinked by the user.

use std::sync::Arc;
use std::time::Duration;

use super::{account_of, refused};
use crate::auth::{Auth, Settings, detached};
use crate::error::{ProviderRefusal, Refusal};
use crate::identity::Identity;
use crate::password::is_unusable_hash;
use crate::provider::{Person, Provider};
use crate::vault::{AccountLink, EndReason, OtherWays, ProviderAccount, UserKey, VaultError};

/// Maximum age of a sign-in after which accounts may be linked and unlinked: a browser that was left open must not be
/// enough.
pub const FRESH: Duration = Duration::from_mins(10);

/// Maximum number of accounts of a user that are listed. Nobody has that many providers.
pub(crate) const MAX_LINKS: usize = 100;

impl Auth {
    /// Returns the accounts of a user.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn accounts_of(&self, identity: &Identity) -> Result<Vec<AccountLink>, Refusal> {
        let mut links = self.at_vault(self.parts.vault.identities.of_user(identity.user_id())).await?;
        links.truncate(MAX_LINKS);
        Ok(links)
    }

    /// Returns whether the user has a password.
    ///
    /// # Errors
    /// `TokenRevoked` if the user was deleted; `StoreUnavailable`.
    pub async fn has_password(&self, identity: &Identity) -> Result<bool, Refusal> {
        let user = self.at_vault(self.parts.vault.users.find(&UserKey::Id(identity.user_id()))).await?;
        Ok(!is_unusable_hash(&user.ok_or(Refusal::TokenRevoked)?.password))
    }

    /// Links the account of a person to the user.
    ///
    /// # Errors
    /// `ProofMissing` if the last proof is not recent; `Provider`: the person may not sign in, or the account belongs to
    /// another user; `StoreUnavailable`.
    pub async fn link_account(
        self: &Arc<Self>,
        identity: &Identity,
        provider: &Provider,
        person: &Person,
    ) -> Result<(), Refusal> {
        if let Some(refusal) = refused(person) {
            return Err(refusal.into());
        }
        let account = account_of(person);
        match self.at_vault(self.parts.vault.identities.link(&account, identity.user_id())).await {
            Ok(()) => {}
            Err(VaultError::AccountTaken) => return Err(ProviderRefusal::AccountTaken.into()),
            Err(error) => return Err(error.into()),
        }
        tracing::info!(
            reason = "account_linked",
            provider = %provider.id(),
            user = %identity.user_id(),
            "a user linked an account at a provider"
        );
        Ok(())
    }

    /// Unlinks an account from the user, and ends the other sessions that it opened. The last way to sign in stays: a
    /// password, while they are on, or another account at a configured provider.
    ///
    /// # Errors
    /// `Provider(NoAccount)` when it is not theirs; `Provider(LastWay)` when the user could not sign in any more;
    /// `StoreUnavailable`.
    pub async fn unlink_account(
        self: &Arc<Self>,
        identity: &Identity,
        account: ProviderAccount,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let (auth, user, keep) = (Arc::clone(self), identity.user_id(), identity.session_id());
        let row = self.at_vault(self.parts.vault.users.find(&UserKey::Id(user))).await?;
        let row = row.ok_or(Refusal::TokenRevoked)?;
        let others = OtherWays {
            password: settings.passwords && !is_unusable_hash(&row.password),
            providers: settings.providers.iter().map(|provider| provider.id().as_str().to_owned()).collect(),
        };
        detached(async move {
            let unlinked = auth.parts.vault.identities.unlink_own(&account, user, keep, &others);
            let ended = match auth.at_vault(unlinked).await {
                Err(VaultError::LastWay) => return Err(ProviderRefusal::LastWay.into()),
                Err(VaultError::UserUnknown) => return Err(ProviderRefusal::NoAccount.into()),
                ended => ended?,
            };
            auth.apply_revocation(&ended, EndReason::Provider).await;
            tracing::info!(
                reason = "account_unlinked",
                provider = account.provider,
                user = %user,
                "a user unlinked an account at a provider"
            );
            Ok(())
        })
        .await
    }
}
