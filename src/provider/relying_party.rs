//! One configured provider, with what was fetched from it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Provider as Settings, ProviderId};
use crate::id::Random;
use crate::outbound::{Client, Outbound, OutboundError};
use crate::provider::callback::Callback;
use crate::provider::error::ProviderError;
use crate::provider::flow::Flow;
use crate::provider::person::{Account, LogoutToken, Person, Recheck};
use crate::provider::report::Report;
use crate::secret::Secret;

/// A configured provider. A reload makes a new one; requests in progress keep theirs.
pub struct Provider {
    settings: Settings,
    client: Client,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Optional parameters of an authorization request.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorizationRequest<'a> {
    /// Login name or address to fill in at the provider (`login_hint`).
    pub login_hint: Option<&'a str>,
    /// What the provider asks of the person.
    pub prompt: Option<Prompt>,
    /// Maximum time since the last active sign-in at the provider. The ID token must then prove it.
    pub max_age: Option<Duration>,
}

/// What the provider asks of the person (OpenID Connect Core section 3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// To sign in again.
    Login,
    /// To choose one of several accounts.
    SelectAccount,
    /// To consent again. Google returns a refresh token only then.
    Consent,
}

/// Parameters of a sign-out at the provider.
#[derive(Clone, Copy, Debug)]
pub struct EndSession<'a> {
    /// ID token of the session. A long one is left out: a URL has limits, and the provider then asks for confirmation.
    pub id_token: Option<&'a Secret<String>>,
    /// Login name or address of the person.
    pub logout_hint: Option<&'a str>,
    /// Address to return to, registered at the provider.
    pub return_to: &'a str,
    /// Value that the provider returns with it.
    pub state: &'a str,
}

impl Provider {
    /// Creates the provider. Nothing is fetched.
    ///
    /// # Errors
    /// The system trust store cannot be read, or the client cannot be made of the CA file.
    pub fn new(
        settings: Settings,
        outbound: &Outbound,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OutboundError> {
        let client = outbound
            .client(settings.authorities.as_ref(), settings.private_hosts.iter().map(String::as_str))?;
        Ok(Self { settings, client, clock, random })
    }

    /// Returns the name in URLs, logs and metrics.
    pub const fn id(&self) -> &ProviderId {
        &self.settings.id
    }

    /// Returns the settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the URL to send the browser to. `redirect_uri` is the registered callback address.
    ///
    /// # Errors
    /// The discovery document cannot be fetched or used.
    pub async fn authorization_url(
        &self,
        flow: &Flow,
        redirect_uri: &str,
        request: &AuthorizationRequest<'_>,
    ) -> Result<String, ProviderError> {
        let _ = (flow, redirect_uri, request);
        Err(ProviderError::OtherProvider)
    }

    /// Exchanges the code of a callback for the person. `redirect_uri` is the one of the authorization request. `max_age`
    /// is that of the request. A code is sent once.
    ///
    /// # Errors
    /// Every failure of the exchange or a check. [`Person::admission`] is none of them.
    pub async fn redeem(
        &self,
        callback: &Callback,
        flow: &Flow,
        redirect_uri: &str,
        max_age: Option<Duration>,
    ) -> Result<Person, ProviderError> {
        let _ = (callback, flow, redirect_uri, max_age);
        Err(ProviderError::OtherProvider)
    }

    /// Exchanges a refresh token and reads the person's claims again. The caller makes sure that no other exchange uses
    /// the same token at the same time: many providers then end the grant.
    pub async fn recheck(&self, refresh_token: &Secret<String>, expected: &Account) -> Recheck {
        let _ = (refresh_token, expected);
        Recheck::Undecided(ProviderError::OtherProvider, None)
    }

    /// Verifies a logout token. The caller remembers its `jti`.
    ///
    /// # Errors
    /// [`ProviderError::Token`] for a bad token; others if the keys cannot be fetched.
    pub async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        let _ = token;
        Err(ProviderError::OtherProvider)
    }

    /// Returns the URL that signs the browser out at the provider; `None` if the provider has no such endpoint, or its
    /// discovery document cannot be fetched.
    pub async fn end_session_url(&self, request: &EndSession<'_>) -> Option<String> {
        let _ = request;
        None
    }

    /// Revokes a refresh token (RFC 7009), if the provider offers that.
    ///
    /// # Errors
    /// The provider cannot be reached, or refuses.
    pub async fn revoke(&self, refresh_token: &Secret<String>) -> Result<(), ProviderError> {
        let _ = refresh_token;
        Err(ProviderError::OtherProvider)
    }

    /// Fetches what the provider publishes, without the caches.
    ///
    /// # Errors
    /// The first failure.
    pub async fn test(&self) -> Result<Report, ProviderError> {
        Err(ProviderError::OtherProvider)
    }
}
