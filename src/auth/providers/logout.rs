//! Logout: announced by the provider, and asked of it.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::SealedToken;
use crate::auth::sign_in::throttle::{Charge, Guesser};
use crate::auth::{Auth, Settings, detached};
use crate::error::{ProviderRefusal, Refusal};
use crate::id::SessionId;
use crate::provider::{EndSession, LogoutToken, Provider};
use crate::request_id;
use crate::secret::Secret;
use crate::vault::origin::{Actor, acting};
use crate::vault::{EndReason, ProviderLogout, SpentToken};

/// Refresh tokens that one sign-out revokes at most. A person has a few browsers; the others' tokens expire.
const MAX_REVOKED: u32 = 16;

/// Sign-outs of this gateway whose tokens are revoked at one time. Beyond that, while a provider is slow, tokens expire.
const AT_ONCE: usize = 32;

/// Places for revocations at providers.
pub(crate) struct Revocations(Arc<Semaphore>);

impl Revocations {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Result of a provider's logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// This many sessions were alive, and have ended.
    Ended(usize),
    /// The logout token was accepted before.
    Replayed,
}

/// A provider at which a session is to be signed out.
#[derive(Debug)]
pub struct OpenedBy {
    provider: Arc<Provider>,
    /// ID token of the session.
    id_token: Option<Secret<String>>,
}

/// Sign-out at the provider of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignOutAtProvider {
    /// The browser goes there.
    To(String),
    /// The provider does not respond, or has no such address: the person may still be signed in there.
    Unavailable {
        /// Text of the provider's button.
        label: String,
        /// Address that the browser may try.
        url: Option<String>,
    },
}

impl OpenedBy {
    /// Returns the provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Returns where the browser signs out at the provider. A provider that is slow delays the answer by two seconds at
    /// most.
    pub async fn sign_out(&self, return_to: &str, state: &str) -> SignOutAtProvider {
        let request = EndSession { id_token: self.id_token.as_ref(), logout_hint: None, return_to, state };
        let there = self.provider.end_session(&request).await;
        match there.url {
            Some(url) if there.is_reachable => SignOutAtProvider::To(url),
            url => SignOutAtProvider::Unavailable { label: self.provider.settings().label.clone(), url },
        }
    }
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
            let ended =
                auth.at_vault(acting(Actor::Provider, auth.parts.vault.identities.log_out(&logout))).await?;
            let Some(ended) = ended else {
                tracing::warn!(
                    reason = "logout_token_replayed",
                    provider = logout.provider,
                    "a logout token was refused: it was accepted before"
                );
                return Ok(LoggedOut::Replayed);
            };
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
    pub(crate) async fn charge_logout_token(
        &self,
        address: IpAddr,
        settings: &Settings,
    ) -> Result<Charge, Refusal> {
        self.charge(Guesser::LogoutToken { address }, settings).await
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

    /// Returns the provider at which a session is to be signed out as well. Asked while the session lives.
    pub async fn opened_by(&self, session: SessionId, settings: &Settings) -> Option<OpenedBy> {
        let hint = self.at_vault(self.parts.vault.identities.hint(session)).await.ok()??;
        let provider = settings.providers.find(&hint.account.provider)?;
        if !provider.settings().logout {
            return None;
        }
        let open = |sealed: &[u8]| self.open_token(SealedToken::Id, &hint.account, sealed);
        let id_token = hint.id_token.as_deref().and_then(open);
        Some(OpenedBy { provider: Arc::clone(provider), id_token })
    }

    /// Revokes refresh tokens of ended sessions at their providers (RFC 7009), which nobody waits for. A token that is not
    /// revoked is deleted here all the same.
    pub(crate) fn revoke_at_providers(self: &Arc<Self>, ended: &[SessionId], settings: &Settings) {
        if ended.is_empty() || settings.providers.is_empty() {
            return;
        }
        let Ok(place) = Arc::clone(&self.revocations.0).try_acquire_owned() else {
            tracing::info!(
                reason = "provider_revocations_skipped",
                "refresh tokens of ended sessions were not revoked: too many revocations at providers wait"
            );
            return;
        };
        let (auth, providers, ended) = (Arc::clone(self), settings.providers.clone(), ended.to_vec());
        tokio::spawn(request_id::carried(async move {
            let taken = auth.at_vault(auth.parts.vault.identities.take_refresh(&ended, MAX_REVOKED)).await;
            let taken = taken.unwrap_or_else(|error| {
                tracing::info!(
                    reason = "provider_revocations_failed",
                    cause = %error,
                    "refresh tokens of ended sessions were not revoked: the vault did not give them out"
                );
                Vec::new()
            });
            for SpentToken { account, refresh } in taken {
                let Some(provider) = providers.find(&account.provider) else { continue };
                let token = auth.open_token(SealedToken::Refresh, &account, &refresh);
                let Some(token) = token else { continue };
                if let Err(error) = provider.revoke(&token).await {
                    tracing::info!(
                        reason = "provider_tokens_not_revoked",
                        cause = error.reason(),
                        provider = account.provider,
                        "a provider did not revoke the refresh token of a session that has ended"
                    );
                }
            }
            drop(place);
        }));
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
