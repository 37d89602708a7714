//! Refresh: a new pair for a refresh token; a reused one ends its session.

use std::sync::Arc;

use super::{Auth, Settings, Tokens, detached};
use crate::error::Refusal;
use crate::metrics::{GrantKind, Pattern, Reuse};
use crate::token::access::FIRST_PARTY_CLIENT;
use crate::token::refresh::{RefreshToken, RefreshTokenError};
use crate::vault::{EndReason, Presented, Rotation, RotationRefused};

impl Auth {
    /// Rotates, or answers a repeat within the grace with the same refresh token.
    ///
    /// # Errors
    /// `RefreshInvalid`, `RefreshReused` (the session is ended), `StoreUnavailable`.
    pub async fn refresh(self: &Arc<Self>, text: &str, settings: &Settings) -> Result<Tokens, Refusal> {
        let result = match self.read_refresh(text).await {
            // Forged ones end here: nothing was asked of the vault.
            Err(refusal) => Err(refusal),
            Ok(token) => {
                let (auth, settings) = (Arc::clone(self), settings.clone());
                detached(async move { auth.rotate(token, &settings).await }).await
            }
        };
        if let Err(refusal) = &result {
            self.parts.metrics.tokens.refreshes.with_label_values(&[refusal.code()]).inc();
        }
        result
    }

    async fn read_refresh(&self, text: &str) -> Result<RefreshToken, Refusal> {
        let read = || RefreshToken::parse(text, &self.parts.keys.current(), self.vault_now());
        match read() {
            Ok(token) => self.vault_at_hand().map(|()| token),
            Err(RefreshTokenError::Forged) => {
                self.parts.metrics.requests.unusual.of(Pattern::ForgedToken).inc();
                Err(Refusal::RefreshInvalid)
            }
            // The keys are as current as the lease: without it this may be a key we have not heard of.
            Err(RefreshTokenError::UnknownKey) if self.knows_all_keys() => Err(Refusal::RefreshInvalid),
            Err(RefreshTokenError::UnknownKey) => Err(Refusal::StoreUnavailable),
        }
    }

    async fn rotate(self: &Arc<Self>, token: RefreshToken, settings: &Settings) -> Result<Tokens, Refusal> {
        let refresh_kid =
            self.parts.keys.current().refresh_kid(self.vault_now()).ok_or(Refusal::StoreUnavailable)?;
        let presented = Presented {
            family: token.family.digest(),
            generation: token.generation,
            client_id: FIRST_PARTY_CLIENT.to_owned(),
            refresh_kid,
            grace: settings.refresh_grace,
            idle: settings.idle_timeout,
        };
        let asked = self.parts.clock.monotonic();
        let counted = &self.parts.metrics.tokens;
        match self.parts.vault.sessions.rotate(&presented).await? {
            Rotation::Granted { grant, generation, refresh_kid, age } => {
                let outcome = if age.is_some() { "rotated" } else { "repeated" };
                counted.refreshes.with_label_values(&[outcome]).inc();
                if let Some(age) = age {
                    counted.refresh_age.observe(age.as_secs_f64());
                }
                let next = RefreshToken { family: token.family, generation };
                let tokens = self.hand_out(&grant, &next, refresh_kid, settings, asked).await?;
                counted.issued.of(GrantKind::Refresh).inc();
                Ok(tokens)
            }
            Rotation::Reused { ended, user_id, behind } => {
                counted.reuses.of(if behind > 1 { Reuse::Older } else { Reuse::AfterGrace }).inc();
                self.parts.metrics.requests.unusual.of(Pattern::RefreshReuse).inc();
                tracing::warn!(
                    reason = "session_ended_by_reuse",
                    user = %user_id,
                    session = ended.sessions.first().map(tracing::field::display),
                    "a refresh token was used again: its session is ended"
                );
                self.carry_out(&ended, EndReason::Reuse).await;
                Err(Refusal::RefreshReused)
            }
            Rotation::Refused(why) => {
                let cause = match why {
                    RotationRefused::Unknown => "unknown",
                    RotationRefused::Expired => "expired",
                    RotationRefused::Ended => "ended",
                    RotationRefused::OtherClient => "other_client",
                };
                tracing::info!(
                    reason = "refresh_unanswered",
                    cause,
                    "a refresh token answers to no live session"
                );
                Err(Refusal::RefreshInvalid)
            }
        }
    }
}
