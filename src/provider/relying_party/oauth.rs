//! OAuth 2.0 at GitHub: the exchanges.

use super::Provider;
use crate::metrics::Purpose;
use crate::provider::callback::{Callback, Outcome};
use crate::provider::error::ProviderError;
use crate::provider::flow::Flow;
use crate::provider::github::{self, Api, Stored};
use crate::provider::person::{Account, Person};
use crate::provider::token_endpoint::{Grant, known_code};
use crate::secret::Secret;

impl Provider {
    pub(super) async fn redeem_at_github(
        &self,
        callback: &Callback,
        flow: &Flow,
        redirect_uri: &str,
    ) -> Result<Person, ProviderError> {
        let own = self.settings.issuer.trim_end_matches('/');
        let is_other = |issuer: &str| {
            issuer.strip_prefix(own).is_none_or(|rest| !matches!(rest, "" | "/" | "/login/oauth"))
        };
        if callback.issuer().is_some_and(is_other) {
            return Err(ProviderError::MixUp);
        }
        let code = match callback.outcome() {
            Outcome::Code(code) => code,
            Outcome::Error(code) => return Err(ProviderError::Denied(known_code(code))),
        };
        let parameters = [
            ("code", code.expose().as_str()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", flow.verifier()),
        ];
        let url = github::token_endpoint(&self.settings);
        let grant = self.token_endpoint(&url, own).exchange(Purpose::Code, &parameters).await?;
        self.check_scope(&grant)?;
        let mut person = self.github(&grant.access_token).person().await?;
        person.refresh_token = Some(Stored::of(grant.refresh_token, &grant.access_token));
        Ok(person)
    }

    pub(super) async fn recheck_at_github(
        &self,
        stored: &Secret<String>,
        expected: &Account,
        rotated: &mut Option<Secret<String>>,
    ) -> Result<Person, ProviderError> {
        let access_token = match Stored::parse(stored.expose()) {
            Stored::Access(token) => Secret::new(token.to_owned()),
            Stored::Refresh(token) => {
                let parameters = [("grant_type", "refresh_token"), ("refresh_token", token)];
                let url = github::token_endpoint(&self.settings);
                let endpoint = self.token_endpoint(&url, &self.settings.issuer);
                let grant = endpoint.exchange(Purpose::Refresh, &parameters).await?;
                *rotated = Some(Stored::of(grant.refresh_token, &grant.access_token));
                grant.access_token
            }
        };
        let person = self.github(&access_token).person().await?;
        if person.account == *expected { Ok(person) } else { Err(ProviderError::OtherSubject) }
    }

    /// Checks the granted scopes. Apps of the newer kind have permissions instead, and state no scope.
    fn check_scope(&self, grant: &Grant) -> Result<(), ProviderError> {
        let Some(granted) = grant.scope.as_deref().filter(|granted| !granted.is_empty()) else {
            return Ok(());
        };
        let mut granted = granted.split([',', ' ']);
        let needs = self.settings.scopes.iter().any(|scope| scope == "read:org");
        let has = granted.any(|scope| matches!(scope, "read:org" | "write:org" | "admin:org"));
        if needs && !has { Err(ProviderError::ScopeMissing("read:org")) } else { Ok(()) }
    }

    const fn github<'a>(&'a self, access_token: &'a Secret<String>) -> Api<'a> {
        Api { client: &self.client, settings: &self.settings, access_token }
    }
}
