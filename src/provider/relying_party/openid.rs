//! OpenID Connect: the exchanges, the ID token and the UserInfo endpoint.

use serde_json::{Map, Value};

use super::Provider;
use crate::metrics::Purpose;
use crate::outbound::{Request, Response};
use crate::provider::callback::{Callback, Outcome};
use crate::provider::claims::Claims;
use crate::provider::error::{Endpoint, ProviderError, TokenError};
use crate::provider::flow::Flow;
use crate::provider::oidc::discovery::{MAX_DOCUMENT, Metadata};
use crate::provider::oidc::id_token::{self, Occasion, subject};
use crate::provider::oidc::jws::Jws;
use crate::provider::person::{Account, Person};
use crate::provider::token_endpoint::{Grant, known_code};
use crate::secret::Secret;

impl Provider {
    pub(super) async fn redeem_code(
        &self,
        callback: &Callback,
        flow: &Flow,
        redirect_uri: &str,
    ) -> Result<Person, ProviderError> {
        let metadata = self.metadata().await?;
        // RFC 9207 section 2.4, also for errors.
        match callback.issuer() {
            Some(issuer) if !metadata.issuers.includes(issuer) => return Err(ProviderError::MixUp),
            None if metadata.announces_issuer => return Err(ProviderError::MixUp),
            _ => {}
        }
        let code = match callback.outcome() {
            Outcome::Code(code) => code,
            Outcome::Error(code) => return Err(ProviderError::Denied(known_code(code))),
        };
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", flow.verifier()),
        ];
        let endpoint = self.token_endpoint(&metadata.token_endpoint, &self.settings.issuer);
        let grant = endpoint.exchange(Purpose::Code, &parameters).await?;
        let token = grant.id_token.as_ref();
        let token = token.ok_or(ProviderError::Malformed(Endpoint::Token, "the answer has no ID token"))?;
        let occasion = Occasion::Code { nonce: flow.nonce(), max_age: flow.max_age };
        let claims = self.id_token(token, &grant, &metadata, &occasion).await?;
        let account = self.account(&claims)?;
        let mut claims = Claims::new(claims);
        if claims.lack(&self.settings)
            && let Some(url) = &metadata.userinfo_endpoint
        {
            let more = self.userinfo(url, &grant.access_token, &account.subject).await?;
            claims.add(more, false);
        }
        let mut person = self.person(account, &claims);
        person.refresh_token = grant.refresh_token;
        person.id_token = grant.id_token;
        Ok(person)
    }

    /// Exchanges a refresh token. `rotated` gets the new one as soon as it is known.
    pub(super) async fn refresh(
        &self,
        refresh_token: &Secret<String>,
        expected: &Account,
        rotated: &mut Option<Secret<String>>,
    ) -> Result<Person, ProviderError> {
        let metadata = self.metadata().await?;
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        let endpoint = self.token_endpoint(&metadata.token_endpoint, &self.settings.issuer);
        let mut grant = endpoint.exchange(Purpose::Refresh, &parameters).await?;
        *rotated = grant.refresh_token.take();
        let mut claims = Claims::default();
        if let Some(token) = &grant.id_token {
            let token = self.id_token(token, &grant, &metadata, &Occasion::Refresh).await?;
            if self.account(&token)? != *expected {
                return Err(ProviderError::OtherSubject);
            }
            claims = Claims::new(token);
        }
        // A refresh proves only that the grant lives: the claims are read again, and the newer ones count.
        if let Some(url) = &metadata.userinfo_endpoint {
            claims.add(self.userinfo(url, &grant.access_token, &expected.subject).await?, true);
        }
        let mut person = self.person(expected.clone(), &claims);
        person.id_token = grant.id_token;
        Ok(person)
    }

    /// Verifies an ID token and returns its claims.
    async fn id_token(
        &self,
        token: &Secret<String>,
        grant: &Grant,
        metadata: &Metadata,
        occasion: &Occasion<'_>,
    ) -> Result<Map<String, Value>, ProviderError> {
        let jws = Jws::parse(token.expose(), &self.settings.algorithms, &["jwt"])?;
        let claims = self.verified(&jws, metadata).await?;
        let access = (grant.access_token.expose().as_str(), jws.algorithm());
        id_token::check(&claims, &self.expected(metadata), occasion, access)?;
        Ok(claims)
    }

    fn account(&self, claims: &Map<String, Value>) -> Result<Account, TokenError> {
        let text = |text: Option<&str>| text.map(str::to_owned).ok_or(TokenError::Malformed);
        Ok(Account {
            provider: self.settings.id.clone(),
            issuer: text(claims.get("iss").and_then(Value::as_str))?,
            subject: text(subject(claims))?,
        })
    }

    fn person(&self, account: Account, claims: &Claims) -> Person {
        let settings = &self.settings;
        let (email, is_email_verified) = claims.email(settings.preset);
        Person {
            account,
            sid: claims.text("sid").filter(|sid| !sid.is_empty() && sid.len() <= 255).map(str::to_owned),
            username: claims.username(settings),
            email,
            is_email_verified,
            name: claims.name(),
            roles: claims.roles(settings),
            admission: claims.admission(settings),
            auth_time: claims.time("auth_time"),
            amr: claims.amr(),
            refresh_token: None,
            id_token: None,
        }
    }

    /// Reads the UserInfo endpoint. The answer must be about the same subject (Core section 5.3.2).
    async fn userinfo(
        &self,
        url: &str,
        access_token: &Secret<String>,
        expected: &str,
    ) -> Result<Map<String, Value>, ProviderError> {
        let request = Request::get(Purpose::UserInfo, url)
            .authorization(&format!("Bearer {}", access_token.expose()))
            .max_body(MAX_DOCUMENT);
        let response = self.client.send(request).await.and_then(Response::success);
        let response = response.map_err(|error| ProviderError::Away(Endpoint::UserInfo, error))?;
        let Ok(Value::Object(claims)) = serde_json::from_slice(response.body()) else {
            return Err(ProviderError::Malformed(Endpoint::UserInfo, "the answer is not a JSON object"));
        };
        if subject(&claims) == Some(expected) { Ok(claims) } else { Err(ProviderError::OtherSubject) }
    }
}
