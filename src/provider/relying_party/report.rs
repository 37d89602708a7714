//! The test of a provider.

use http::HeaderMap;

use super::Provider;
use crate::clock::Timestamp;
use crate::config::Preset;
use crate::metrics::Purpose;
use crate::outbound::Request;
use crate::provider::error::{Endpoint, ProviderError};
use crate::provider::github;
use crate::provider::oidc::discovery::{self, Metadata};
use crate::provider::oidc::keys::Keys;
use crate::provider::report::{ClockDifference, Report};

impl Provider {
    /// Fetches what the provider publishes, without the caches.
    ///
    /// # Errors
    /// The first failure.
    pub async fn test(&self) -> Result<Report, ProviderError> {
        let settings = &self.settings;
        let mut report = Report {
            preset: settings.preset,
            issuer: settings.issuer.clone(),
            authorization_endpoint: github::authorization_endpoint(settings),
            token_endpoint: github::token_endpoint(settings),
            userinfo_endpoint: settings.api_url.clone(),
            jwks_uri: None,
            end_session_endpoint: None,
            has_backchannel_logout: false,
            announces_pkce: true,
            announces_issuer: false,
            announced_algorithms: Vec::new(),
            accepted_algorithms: Vec::new(),
            usable_keys: 0,
            unknown_scopes: Vec::new(),
            clock: None,
        };
        if settings.preset == Preset::GitHub {
            let url = format!("{}/meta", settings.api_url.as_deref().unwrap_or_default());
            let response = self.get(Endpoint::Api, Request::get(Purpose::Discovery, &url)).await?;
            report.clock = self.clock_difference(response.fields());
            return Ok(report);
        }
        let url = discovery::url(&settings.issuer);
        let response = self.get(Endpoint::Discovery, Request::get(Purpose::Discovery, &url)).await?;
        let metadata = Metadata::parse(response.body(), settings)?;
        let keys = self.get(Endpoint::Keys, Request::get(Purpose::Keys, &metadata.jwks_uri)).await?;
        report.usable_keys = Keys::parse(keys.body())?.usable(&settings.algorithms);
        report.clock = self.clock_difference(response.fields());
        let is_unknown = |scope: &&String| !metadata.scopes.is_empty() && !metadata.scopes.contains(scope);
        report.unknown_scopes = settings.scopes.iter().filter(is_unknown).cloned().collect();
        report.authorization_endpoint = metadata.authorization_endpoint;
        report.token_endpoint = metadata.token_endpoint;
        report.userinfo_endpoint = metadata.userinfo_endpoint;
        report.jwks_uri = Some(metadata.jwks_uri);
        report.end_session_endpoint = metadata.end_session_endpoint;
        report.has_backchannel_logout = metadata.has_backchannel_logout;
        report.announces_pkce = metadata.announces_pkce;
        report.announces_issuer = metadata.announces_issuer;
        report.announced_algorithms = metadata.algorithms;
        report.accepted_algorithms.clone_from(&settings.algorithms);
        Ok(report)
    }

    fn clock_difference(&self, fields: &HeaderMap) -> Option<ClockDifference> {
        let date = fields.get(http::header::DATE)?.to_str().ok()?;
        let theirs = httpdate::parse_http_date(date).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let theirs = Timestamp::from_secs(i64::try_from(theirs.as_secs()).ok()?);
        let ours = Timestamp::from_secs(self.clock.wall().secs());
        Some(if ours > theirs {
            ClockDifference::Behind(ours.since(theirs))
        } else {
            ClockDifference::Ahead(theirs.since(ours))
        })
    }
}
