//! Logout: announced by the provider, and asked of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{SealedToken, opened, sealed_name};
use crate::auth::sign_in::throttle::{Charge, Guesser};
use crate::auth::{Auth, Settings, detached};
use crate::error::{ProviderRefusal, Refusal};
use crate::id::SessionId;
use crate::provider::{EndSession, LogoutToken, Provider};
use crate::vault::{EndReason, ProviderLogout};

/// Time for which a sign-out waits for the address of the provider's own.
const PATIENCE: Duration = Duration::from_secs(2);

/// Result of a provider's logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// This many sessions were alive, and have ended.
    Ended(usize),
    /// The logout token was accepted before.
    Replayed,
}

/// Sign-out at the provider of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignOutAtProvider {
    /// No provider opened the session, or it is not to be signed out there.
    None,
    /// The browser goes there.
    To(String),
    /// The provider is away, or has no such address: the person may still be signed in there.
    Unavailable {
        /// Text of the provider's button.
        label: String,
    },
}

impl Auth {
    /// Ends the sessions that a verified logout token names (OpenID Connect Back-Channel Logout 1.0 section 2.7).
    ///
    /// # Errors
    /// `StoreUnavailable`; nothing has ended then.
    pub async fn log_out_by_provider(self: &Arc<Self>, token: LogoutToken) -> Result<LoggedOut, Refusal> {
        let logout = ProviderLogout {
            provider: token.provider.as_str().to_owned(),
            issuer: token.issuer,
            sid: token.sid,
            subject: token.subject,
            jti: token.jti,
            token_life: token.expires_at.since(self.vault_now()),
        };
        let auth = Arc::clone(self);
        detached(async move {
            let ended = auth.at_vault(auth.parts.vault.identities.log_out(&logout)).await?;
            let Some(ended) = ended else { return Ok(LoggedOut::Replayed) };
            auth.apply_revocation(&ended, EndReason::Provider).await;
            tracing::info!(
                reason = "logout_by_provider",
                provider = logout.provider,
                sessions = ended.alive,
                "a provider announced a logout"
            );
            Ok(LoggedOut::Ended(ended.alive))
        })
        .await
    }

    /// Charges a logout token to the address that sends it, before it is verified.
    ///
    /// # Errors
    /// `RateLimited`.
    pub(crate) fn charge_logout_token(
        &self,
        address: IpAddr,
        settings: &Settings,
    ) -> Result<Charge, Refusal> {
        let now = self.parts.clock.monotonic();
        let charged = self.throttle.charge(Guesser::LogoutToken { address }, settings.attempts, now);
        charged.map_err(|exhausted| Refusal::RateLimited(exhausted.wait))
    }

    /// Refunds a logout token that was not refused.
    pub(crate) fn refund_logout_token(&self, charge: Charge) {
        self.throttle.refund(charge);
    }

    /// Counts a logout that a provider announced. `outcome` is `ok` or a stable code.
    pub fn count_provider_logout(&self, provider: &Provider, outcome: &str) {
        let counted = &self.parts.metrics.providers.logouts;
        counted.with_label_values(&[provider.id().as_str(), outcome]).inc();
    }

    /// Returns where the browser signs out at the provider of a session. Asked before the session ends; a provider that
    /// is slow delays the sign-out by two seconds at most.
    pub async fn sign_out_at_provider(
        &self,
        session: SessionId,
        return_to: impl Fn(&Provider) -> String,
        state: &str,
        settings: &Settings,
    ) -> SignOutAtProvider {
        let hint = self.at_vault(self.parts.vault.identities.hint(session)).await;
        let Ok(Some(hint)) = hint else { return SignOutAtProvider::None };
        let provider = settings.providers.find(&hint.account.provider);
        let Some(provider) = provider.filter(|provider| provider.settings().logout) else {
            return SignOutAtProvider::None;
        };
        let name = sealed_name(SealedToken::Id, &hint.account);
        let id_token = hint.id_token.as_deref().and_then(|sealed| opened(&self.parts.master, sealed, &name));
        let return_to = return_to(provider);
        let request =
            EndSession { id_token: id_token.as_ref(), logout_hint: None, return_to: &return_to, state };
        match tokio::time::timeout(PATIENCE, provider.end_session_url(&request)).await {
            Ok(Some(url)) => SignOutAtProvider::To(url),
            Ok(None) | Err(_) => SignOutAtProvider::Unavailable { label: provider.settings().label.clone() },
        }
    }

    /// Verifies a logout token.
    ///
    /// # Errors
    /// `Provider(LogoutTokenInvalid)`; `StoreUnavailable` when the provider's keys cannot be fetched.
    pub async fn read_logout_token(&self, provider: &Provider, token: &str) -> Result<LogoutToken, Refusal> {
        provider.verify_logout_token(token).await.map_err(|error| {
            tracing::warn!(
                reason = "logout_token_refused",
                cause = error.reason(),
                provider = %provider.id(),
                "a logout token was refused"
            );
            if error.is_away() {
                Refusal::StoreUnavailable
            } else {
                ProviderRefusal::LogoutTokenInvalid.into()
            }
        })
    }
}
