//! Issues tokens for a grant of the vault.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::session::granted;
use crate::auth::tokens::verified::Basis;
use crate::auth::{Auth, Settings, SignedInFrom};
use crate::clock::{Monotonic, Timestamp};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::secret::Secret;
use crate::token::access::{self, LEEWAY, Subject, Verified};
use crate::token::refresh::RefreshToken;
use crate::vault::Grant;

/// Tokens issued by a login or a refresh.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The compact JWT.
    pub access_token: Secret<String>,
    /// Lifetime of the access token.
    pub expires_in: Duration,
    /// The opaque refresh token.
    pub refresh_token: Secret<String>,
    /// Id of the session.
    pub session_id: SessionId,
    /// Time until the session's absolute end.
    pub session_life: Duration,
    /// The client that signed in.
    pub from: Arc<SignedInFrom>,
}

impl Auth {
    /// Signs the tokens and caches the session here and in the session store. `requested_at` is a time before the vault
    /// decided.
    pub(crate) async fn issue_tokens(
        &self,
        grant: &Grant,
        refresh: &RefreshToken,
        refresh_kid: u8,
        settings: &Settings,
        requested_at: Monotonic,
    ) -> Result<Tokens, Refusal> {
        let refresh_token = self.encode_refresh(refresh, refresh_kid, grant).await?;
        let subject = Subject {
            session_id: grant.session_id,
            user_id: grant.user_id,
            roles: grant.roles.clone(),
            rights: grant.rights,
            generation: refresh.generation,
            login: Some(grant.login.clone()),
            attributes: grant.attributes.clone(),
            proof: grant.proof,
        };
        let keys = self.parts.keys.current().clone();
        let issued = access::issue(
            &settings.profile,
            &subject,
            grant.now,
            grant.ends_at,
            &keys,
            self.parts.random.as_ref(),
        )
        .ok_or(Refusal::StoreUnavailable)?;
        if issued.lacks_claims {
            tracing::warn!(
                reason = "encrypted_claims_left_out",
                user = %grant.user_id,
                session = %grant.session_id,
                "an access token was issued without tokens.encrypted_claims, since browsers would not keep one of more than 4,000 bytes: give the user fewer or shorter roles, or a shorter name"
            );
        }
        let verified = Verified { subject, expires_at: issued.expires_at };
        let basis = Basis::of(&keys, settings);
        self.remember(issued.token.expose(), verified, grant, basis, requested_at);
        granted::fill(self.parts.sessions.as_ref(), grant.session_id, grant, issued.expires_at + LEEWAY)
            .await;
        Ok(Tokens {
            access_token: issued.token,
            // Both claims are whole seconds, so this is the lifetime that the token states.
            expires_in: issued.expires_at.since(Timestamp::from_secs(grant.now.secs())),
            refresh_token,
            session_id: grant.session_id,
            session_life: grant.expires_at.since(grant.now),
            from: Arc::new(SignedInFrom::of(grant)),
        })
    }

    /// Encodes the refresh token. Another gateway may have rotated under a key that this one has not loaded yet.
    async fn encode_refresh(
        &self,
        token: &RefreshToken,
        kid: u8,
        grant: &Grant,
    ) -> Result<Secret<String>, Refusal> {
        let encode = || token.encode(kid, &self.parts.keys.current(), grant.now);
        match encode() {
            Some(text) => Ok(text),
            None => {
                self.reload_keys().await?;
                encode().ok_or(Refusal::StoreUnavailable)
            }
        }
    }
}
