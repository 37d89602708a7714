//! Refresh: exchanges a refresh token for new tokens; reuse ends the session.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::sign_in::browser::{Terms, read_cookie};
use crate::auth::{Auth, Settings, Tokens, detached};
use crate::clock::Monotonic;
use crate::error::Refusal;
use crate::guard;
use crate::metrics::{GrantKind, Label as _, Pattern, Reuse};
use crate::token::refresh::{RefreshToken, RefreshTokenError};
use crate::vault::{EndReason, Grant, Presented, Rotation, RotationRefused};

/// Minimum time for which a refresh may be held up in this process, where `tokens.refresh_grace` is shorter.
const MIN_HOLD: Duration = Duration::from_secs(1);

impl Auth {
    /// Rotates the refresh token. A repeat within the grace gets the same refresh token again.
    ///
    /// # Errors
    /// `RefreshInvalid`, `RefreshReused` (the session was ended), `StoreUnavailable`.
    pub async fn refresh(self: &Arc<Self>, text: &str, settings: &Settings) -> Result<Tokens, Refusal> {
        let begun = self.parts.clock.monotonic();
        let result = match self.read_refresh(text).await {
            // Forged tokens are refused here, without a vault query.
            Err(refusal) => Err(refusal),
            Ok(token) => {
                let (auth, settings) = (Arc::clone(self), settings.clone());
                detached(async move { auth.rotate(token, begun, &settings).await }).await
            }
        };
        result.inspect_err(|refusal| self.count_refusal(refusal))
    }

    /// Counts a refused refresh.
    pub(crate) fn count_refusal(&self, refusal: &Refusal) {
        self.parts.metrics.tokens.refreshes.with_label_values(&[refusal.code()]).inc();
    }

    pub(crate) async fn read_refresh(&self, text: &str) -> Result<RefreshToken, Refusal> {
        let read = || RefreshToken::parse(text, &self.parts.keys.current(), self.vault_now());
        let mut result = read();
        if matches!(result, Err(RefreshTokenError::UnknownKey)) && !self.knows_all_keys() {
            // After a pause the key may exist and not be loaded yet.
            self.lease_when_awake().await;
            result = read();
        }
        match result {
            Ok(token) => self.vault_at_hand().map(|()| token),
            Err(RefreshTokenError::Forged) => {
                self.parts.metrics.requests.unusual.of(Pattern::ForgedToken).inc();
                Err(Refusal::RefreshInvalid)
            }
            // The keys are as current as the lease: without it the key may exist and not be loaded here.
            Err(RefreshTokenError::UnknownKey) if self.knows_all_keys() => Err(Refusal::RefreshInvalid),
            Err(RefreshTokenError::UnknownKey) => Err(Refusal::StoreUnavailable),
        }
    }

    /// Returns whether a text is a refresh token of this gateway, or the value of its cookie. The session may have ended. One
    /// under a key that may exist and is not loaded here counts as one.
    pub(crate) fn is_refresh_token(&self, text: &str) -> bool {
        match RefreshToken::parse(read_cookie(text).0, &self.parts.keys.current(), self.vault_now()) {
            Ok(_) => true,
            Err(RefreshTokenError::Forged) => false,
            Err(RefreshTokenError::UnknownKey) => !self.knows_all_keys(),
        }
    }

    async fn rotate(
        self: &Arc<Self>,
        token: RefreshToken,
        begun: Monotonic,
        settings: &Settings,
    ) -> Result<Tokens, Refusal> {
        let presented = self.presented(&token, Terms::of_api(settings), settings)?;
        let requested_at = self.still_in_time(begun, settings)?;
        let rotation = self.at_vault(self.parts.vault.sessions.rotate(&presented)).await?;
        self.rotated(rotation, token, settings, requested_at).await
    }

    /// Returns the current time. A refresh that a stopped gateway has held up is refused: its client has long repeated it
    /// elsewhere, and perhaps refreshed again, and then it would look like a reuse.
    pub(crate) fn still_in_time(&self, begun: Monotonic, settings: &Settings) -> Result<Monotonic, Refusal> {
        let now = self.parts.clock.monotonic();
        let is_late = now.since(begun) > settings.refresh_grace.max(MIN_HOLD);
        if is_late { Err(Refusal::StoreUnavailable) } else { Ok(now) }
    }

    /// Builds the vault query for a refresh token.
    pub(crate) fn presented(
        &self,
        token: &RefreshToken,
        terms: Terms,
        settings: &Settings,
    ) -> Result<Presented, Refusal> {
        let refresh_kid = self.parts.keys.current().refresh_kid(self.vault_now());
        let repeats = u32::from(!guard::is_off("replay"));
        Ok(Presented {
            family: token.family.digest(),
            generation: token.generation,
            client_id: terms.client_id.to_owned(),
            refresh_kid: refresh_kid.ok_or(Refusal::StoreUnavailable)?,
            grace: settings.refresh_grace * repeats,
            grace_unused: settings.refresh_grace_unused * repeats,
            idle: terms.idle,
        })
    }

    /// Issues the tokens of a rotation, and counts it.
    pub(crate) async fn rotated(
        self: &Arc<Self>,
        rotation: Rotation,
        token: RefreshToken,
        settings: &Settings,
        requested_at: Monotonic,
    ) -> Result<Tokens, Refusal> {
        let counted = &self.parts.metrics.tokens;
        let mut granted = self.granted(rotation).await?;
        granted.grant = self.rechecked(granted.grant, settings).await?;
        let outcome = match granted.age {
            Some(_) => "rotated",
            None if granted.is_late => "repeated_late",
            None => "repeated",
        };
        counted.refreshes.with_label_values(&[outcome]).inc();
        if let Some(age) = granted.age {
            counted.refresh_age.observe(age.as_secs_f64());
        }
        let next = RefreshToken { family: token.family, generation: granted.generation };
        let mut tokens =
            self.issue_tokens(&granted.grant, &next, granted.refresh_kid, settings, requested_at).await?;
        counted.issued.of(GrantKind::Refresh).inc();
        // A repeat is the same refresh again.
        if granted.age.is_some() {
            self.count_refresh(&mut tokens, settings);
        }
        Ok(tokens)
    }

    /// Returns what was granted; a reuse ends the session here.
    pub(crate) async fn granted(self: &Arc<Self>, rotation: Rotation) -> Result<Granted, Refusal> {
        match rotation {
            Rotation::Granted { grant, generation, refresh_kid, age, is_late } => {
                if is_late {
                    tracing::info!(
                        reason = "refresh_repeated_late",
                        user = %grant.user_id,
                        session = %grant.session_id,
                        "a refresh token was repeated after tokens.refresh_grace; its successor was never used, so its response was lost, and it has a new one"
                    );
                }
                Ok(Granted { grant, generation, refresh_kid, age, is_late })
            }
            Rotation::Reused { ended, user_id, behind } => {
                let cause = if behind > 1 { Reuse::Older } else { Reuse::AfterGrace };
                self.parts.metrics.tokens.reuses.of(cause).inc();
                self.parts.metrics.requests.unusual.of(Pattern::RefreshReuse).inc();
                tracing::warn!(
                    reason = "session_ended_by_reuse",
                    cause = cause.as_str(),
                    user = %user_id,
                    session = ended.sessions.first().map(tracing::field::display),
                    "a refresh token was reused: its session was ended"
                );
                self.apply_revocation(&ended, EndReason::Reuse).await;
                Err(Refusal::RefreshReused)
            }
            Rotation::Refused(why) => {
                let cause = match why {
                    RotationRefused::Unknown => "unknown",
                    RotationRefused::Expired => "expired",
                    RotationRefused::Ended => "ended",
                    RotationRefused::Superseded => "superseded",
                    RotationRefused::OtherClient => "other_client",
                };
                tracing::info!(reason = "refresh_unanswered", cause, "a refresh token has no live session");
                Err(Refusal::RefreshInvalid)
            }
        }
    }
}

/// A rotation or renewal that the vault granted.
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) generation: u32,
    pub(crate) refresh_kid: u8,
    pub(crate) age: Option<Duration>,
    pub(crate) is_late: bool,
}
