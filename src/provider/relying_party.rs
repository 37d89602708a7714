//! One configured provider, with what was fetched from it.

mod oauth;
mod openid;
mod report;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::{Preset, Provider as Settings, ProviderId};
use crate::id::Random;
use crate::metrics::Purpose;
use crate::outbound::{self, Client, Outbound, OutboundError, Request, Response};
use crate::provider::authorization::{self, AuthorizationRequest, EndSession, SignOutThere};
use crate::provider::cache::{Cached, Fetched, lifetime};
use crate::provider::callback::Callback;
use crate::provider::error::{Endpoint, ProviderError, TokenError};
use crate::provider::flow::Flow;
use crate::provider::github;
use crate::provider::oidc::discovery::{self, MAX_DOCUMENT, Metadata};
use crate::provider::oidc::id_token::Expected;
use crate::provider::oidc::jws::Jws;
use crate::provider::oidc::keys::Keys;
use crate::provider::oidc::logout_token;
use crate::provider::person::{Account, LogoutToken, Person, Recheck};
use crate::provider::token_endpoint::TokenEndpoint;
use crate::secret::Secret;

/// Maximum number of codes that are exchanged at one time. A provider takes some hundred milliseconds for each, so this
/// is hundreds of people a second; a provider that is slow holds no more than this.
const EXCHANGES: usize = 64;

/// Maximum wait for one of these places.
const EXCHANGE_WAIT: Duration = Duration::from_secs(5);

/// Maximum time of all requests for one sign-in or recheck together. Each has a limit of its own, but GitHub's lists have pages: a
/// slow server would keep a place, and a recheck, for minutes.
const EXCHANGE: Duration = Duration::from_secs(50);

/// Age of a response that still shows that the provider can be reached: many people may sign out at one time.
const REACHED: Duration = Duration::from_secs(10);

/// Time limit of the request that shows it, and of the wait for it, which may begin during another request.
const REACH_TIMEOUT: Duration = Duration::from_millis(1500);
const REACH_WAIT: Duration = Duration::from_secs(2);

/// A configured provider. A reload makes a new one; requests in progress keep theirs.
pub struct Provider {
    settings: Settings,
    client: Client,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    metadata: Cached<Metadata>,
    keys: Cached<Keys>,
    exchanges: Semaphore,
    /// [`EXCHANGE`]; tests wait for less.
    pub(super) exchange_limit: Duration,
}

impl Provider {
    /// Creates the provider. Nothing is fetched.
    ///
    /// # Errors
    /// A CA of `ca_file` cannot be used.
    pub fn new(
        settings: Settings,
        outbound: &Outbound,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OutboundError> {
        let urls = [Some(&settings.issuer), settings.api_url.as_ref()].into_iter().flatten();
        let hosts: Vec<String> = urls.filter_map(|url| host(url)).collect();
        let named = hosts.iter().chain(&settings.private_hosts).map(String::as_str);
        let client = outbound.client(settings.authorities.as_ref(), named)?;
        let (metadata, keys) = (Cached::new(Arc::clone(&clock)), Cached::new(Arc::clone(&clock)));
        let exchanges = Semaphore::new(EXCHANGES);
        Ok(Self { settings, client, clock, random, metadata, keys, exchanges, exchange_limit: EXCHANGE })
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
        self.check_flow(flow)?;
        let endpoint = match self.settings.preset {
            Preset::GitHub => github::authorization_endpoint(&self.settings),
            _ => self.metadata().await?.authorization_endpoint.clone(),
        };
        Ok(authorization::authorization_url(&endpoint, &self.settings, flow, redirect_uri, request))
    }

    /// Exchanges the code of a callback for the person. `redirect_uri` is the one of the authorization request. A code is
    /// sent once.
    ///
    /// # Errors
    /// Every failure of the exchange or a check. A refusal by [`Person::admission`] is none of them.
    pub async fn redeem(
        &self,
        callback: &Callback,
        flow: &Flow,
        redirect_uri: &str,
    ) -> Result<Person, ProviderError> {
        self.check_flow(flow)?;
        if callback.state() != flow.state() {
            return Err(ProviderError::OtherProvider);
        }
        let place = tokio::time::timeout(EXCHANGE_WAIT, self.exchanges.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(ProviderError::Busy) };
        let exchange = async {
            match self.settings.preset {
                Preset::GitHub => self.redeem_at_github(callback, flow, redirect_uri).await,
                _ => self.redeem_code(callback, flow, redirect_uri).await,
            }
        };
        tokio::time::timeout(self.exchange_limit, exchange).await.unwrap_or_else(|_| Err(self.is_slow()))
    }

    /// Exchanges a refresh token and reads the person's claims again. The caller makes sure that no other exchange uses
    /// the same token at the same time: many providers then end the grant.
    pub async fn recheck(&self, refresh_token: &Secret<String>, expected: &Account) -> Recheck {
        if expected.provider != self.settings.id {
            return Recheck::Ended(ProviderError::OtherProvider);
        }
        let mut rotated = None;
        let exchange = async {
            match self.settings.preset {
                Preset::GitHub => self.recheck_at_github(refresh_token, expected, &mut rotated).await,
                _ => self.refresh(refresh_token, expected, &mut rotated).await,
            }
        };
        let result = tokio::time::timeout(self.exchange_limit, exchange).await;
        match result.unwrap_or_else(|_| Err(self.is_slow())) {
            Ok(mut person) => {
                // Without rotation the old token stays valid.
                person.refresh_token = rotated.or_else(|| Some(refresh_token.clone()));
                Recheck::Confirmed(Box::new(person))
            }
            Err(error @ (ProviderError::InvalidGrant | ProviderError::OtherSubject)) => Recheck::Ended(error),
            Err(error) => match error {
                ProviderError::ClientRefused(_)
                | ProviderError::Discovery(_)
                | ProviderError::ScopeMissing(_)
                | ProviderError::Token(TokenError::Symmetric | TokenError::Algorithm) => {
                    Recheck::Misconfigured(error, rotated)
                }
                error => Recheck::Undecided(error, rotated),
            },
        }
    }

    /// Verifies a logout token. The caller remembers its `jti`.
    ///
    /// # Errors
    /// [`ProviderError::Token`] for a bad token; others if the keys cannot be fetched.
    pub async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        if self.settings.preset == Preset::GitHub {
            return Err(TokenError::Event.into());
        }
        let jws = Jws::parse(token, &self.settings.algorithms, &["jwt", "logout+jwt"])?;
        let metadata = self.metadata().await?;
        let claims = self.verified(&jws, &metadata).await?;
        Ok(logout_token::check(&claims, &self.expected(&metadata), &self.settings.id)?)
    }

    /// Returns where the browser signs out at the provider. Waits two seconds at most.
    pub async fn end_session(&self, request: &EndSession<'_>) -> SignOutThere {
        if !self.settings.logout || self.settings.preset == Preset::GitHub {
            return SignOutThere { url: None, is_reachable: false };
        }
        // A document that is known says nothing about the provider of now.
        let fetch = async || self.fetch_metadata(REACH_TIMEOUT).await;
        let fetched = tokio::time::timeout(REACH_WAIT, self.metadata.get_within(REACHED, fetch)).await;
        let fetched = fetched.ok().and_then(Result::ok);
        let is_reachable = fetched.is_some();
        let metadata = fetched.or_else(|| self.metadata.last_good());
        let endpoint = metadata.as_ref().and_then(|metadata| metadata.end_session_endpoint.as_deref());
        let url = endpoint.map(|endpoint| authorization::end_session_url(endpoint, &self.settings, request));
        SignOutThere { url, is_reachable }
    }

    /// Revokes a refresh token (RFC 7009), if the provider offers that. GitHub does not.
    ///
    /// # Errors
    /// The provider cannot be reached, or refuses.
    pub async fn revoke(&self, refresh_token: &Secret<String>) -> Result<(), ProviderError> {
        if self.settings.preset == Preset::GitHub {
            return Ok(());
        }
        let metadata = self.metadata().await?;
        let Some(url) = metadata.revocation_endpoint.as_deref() else { return Ok(()) };
        let parameters = [("token", refresh_token.expose().as_str()), ("token_type_hint", "refresh_token")];
        let endpoint = self.token_endpoint(url, &self.settings.issuer);
        let response = endpoint.post(Purpose::Revocation, url, &parameters).await?;
        response.success().map(drop).map_err(|error| ProviderError::Away(Endpoint::Token, error))
    }

    /// The failure of a provider whose responses take too long together.
    const fn is_slow(&self) -> ProviderError {
        let endpoint =
            if matches!(self.settings.preset, Preset::GitHub) { Endpoint::Api } else { Endpoint::UserInfo };
        ProviderError::Away(endpoint, OutboundError::Timeout)
    }

    /// Checks that a flow began with these settings (RFC 9700 section 4.4: the issuer is kept with the flow).
    fn check_flow(&self, flow: &Flow) -> Result<(), ProviderError> {
        let is_own = flow.provider == self.settings.id && flow.issuer == self.settings.issuer;
        if is_own { Ok(()) } else { Err(ProviderError::OtherProvider) }
    }

    fn token_endpoint<'a>(&'a self, url: &'a str, audience: &'a str) -> TokenEndpoint<'a> {
        TokenEndpoint {
            client: &self.client,
            settings: &self.settings,
            url,
            audience,
            now: self.clock.wall(),
            random: &*self.random,
        }
    }

    fn expected<'a>(&'a self, metadata: &'a Metadata) -> Expected<'a> {
        Expected {
            issuers: &metadata.issuers,
            client_id: &self.settings.client_id,
            audiences: &self.settings.audiences,
            now: self.clock.wall(),
        }
    }

    /// Verifies a signature. For a key that is not in the set, the set is fetched again, at most once a minute.
    async fn verified(
        &self,
        jws: &Jws<'_>,
        metadata: &Metadata,
    ) -> Result<Map<String, Value>, ProviderError> {
        let fetch = async || self.fetch_keys(&metadata.jwks_uri).await;
        let mut keys = self.keys.get(fetch).await?;
        if !jws.has_key(&keys) {
            keys = self.keys.get_newer(fetch).await?;
        }
        Ok(jws.verify(&keys)?)
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata.get(async || self.fetch_metadata(outbound::TIMEOUT).await).await
    }

    async fn fetch_metadata(&self, limit: Duration) -> Result<Fetched<Metadata>, ProviderError> {
        let url = discovery::url(&self.settings.issuer);
        let request = Request::get(Purpose::Discovery, &url).timeout(limit);
        let response = self.get(Endpoint::Discovery, request).await?;
        let value = Metadata::parse(response.body(), &self.settings)?;
        Ok(Fetched { value, lifetime: lifetime(response.fields()) })
    }

    async fn fetch_keys(&self, url: &str) -> Result<Fetched<Keys>, ProviderError> {
        let response = self.get(Endpoint::Keys, Request::get(Purpose::Keys, url)).await?;
        Ok(Fetched { value: Keys::parse(response.body())?, lifetime: lifetime(response.fields()) })
    }

    async fn get(&self, endpoint: Endpoint, request: Request) -> Result<Response, ProviderError> {
        let response = self.client.send(request.max_body(MAX_DOCUMENT)).await.and_then(Response::success);
        response.map_err(|error| ProviderError::Away(endpoint, error))
    }
}

/// Returns the host of a URL, without brackets.
fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned())
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.settings.id)
    }
}
