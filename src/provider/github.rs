//! GitHub: OAuth 2.0, and the person from its API. There is no ID token: the API states who the access token belongs to.

use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::config::Provider as Settings;
use crate::identity::Email;
use crate::metrics::Purpose;
use crate::outbound::{Client, OutboundError, Request, Response};
use crate::provider::claims::{Claims, login};
use crate::provider::error::{Endpoint, ProviderError};
use crate::provider::person::{Account, Admission, MappedRoles, NotAdmitted, Person, UndecidedClaim};
use crate::secret::Secret;

/// Entries of a page: the most that GitHub gives.
const PAGE: usize = 100;

/// Maximum number of pages of a list. Beyond them the list counts as incomplete.
const MAX_PAGES: usize = 10;

/// Maximum size of a response, in bytes. A page of teams has some 400 KiB.
const MAX_BODY: usize = 1 << 20;

/// Tells an access token that does not expire from a refresh token, in what is stored. GitHub's own prefixes depend on
/// the kind of app.
const ACCESS: &str = "access:";

/// Returns the paths of the two endpoints below the server's address.
pub(super) fn authorization_endpoint(settings: &Settings) -> String {
    format!("{}/login/oauth/authorize", settings.issuer.trim_end_matches('/'))
}

pub(super) fn token_endpoint(settings: &Settings) -> String {
    format!("{}/login/oauth/access_token", settings.issuer.trim_end_matches('/'))
}

/// A token that asks again who the person is.
pub(super) enum Stored<'a> {
    /// A refresh token.
    Refresh(&'a str),
    /// An access token that does not expire.
    Access(&'a str),
}

impl<'a> Stored<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        text.strip_prefix(ACCESS).map_or(Self::Refresh(text), Self::Access)
    }

    /// Returns what to store: the refresh token, or an access token if there is none.
    pub(super) fn of(refresh: Option<Secret<String>>, access: &Secret<String>) -> Secret<String> {
        refresh.unwrap_or_else(|| Secret::new(format!("{ACCESS}{}", access.expose())))
    }
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

#[derive(Deserialize)]
struct Organization {
    login: String,
}

#[derive(Deserialize)]
struct Team {
    slug: String,
    organization: Organization,
}

/// Names from a list, and whether the list is complete.
struct Listed {
    names: Vec<String>,
    incomplete: Option<UndecidedClaim>,
}

impl Listed {
    /// Returns whether one of the names is listed; `Err` if it may be among those that are missing.
    fn has_any(&self, wanted: &[String]) -> Result<bool, UndecidedClaim> {
        match (wanted.iter().any(|name| self.names.contains(name)), self.incomplete) {
            (false, Some(reason)) => Err(reason),
            (found, _) => Ok(found),
        }
    }
}

/// Access to the API with one access token.
pub(super) struct Api<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a Settings,
    pub(super) access_token: &'a Secret<String>,
}

impl Api<'_> {
    /// Reads the person. `refresh_token` of the result is left empty.
    ///
    /// # Errors
    /// [`ProviderError::InvalidGrant`] if the access token is void; others if the user cannot be read. Lists that cannot
    /// be read leave roles and admission undecided.
    pub(super) async fn person(&self) -> Result<Person, ProviderError> {
        let user: User = parsed(&self.get("/user").await?)?;
        let addresses = self.addresses().await;
        let (needs_orgs, needs_teams) = self.needs();
        let orgs = match needs_orgs {
            true => Some(self.list("/user/orgs", |org: Organization| org.login.to_ascii_lowercase()).await),
            false => None,
        };
        let name = |team: Team| format!("{}/{}", team.organization.login, team.slug).to_ascii_lowercase();
        let teams = match needs_teams {
            true => Some(self.list("/user/teams", name).await),
            false => None,
        };
        let (email, is_email_verified) = self.email(addresses.as_deref().unwrap_or_default());
        let account = Account {
            provider: self.settings.id.clone(),
            issuer: self.settings.issuer.clone(),
            subject: user.id.to_string(),
        };
        let text = |path: &Map<String, Value>| Claims::new(path.clone()).username(self.settings);
        let claims = object(json!({ "login": user.login, "name": user.name, "id": user.id.to_string(),
            "email": email.as_ref().map(Email::as_str), "email_verified": is_email_verified }));
        Ok(Person {
            account,
            sid: None,
            username: text(&claims).or_else(|| login(&user.login)),
            admission: self.admission(
                &email,
                is_email_verified,
                addresses.is_ok(),
                orgs.as_ref(),
                teams.as_ref(),
            ),
            email,
            is_email_verified,
            name: user.name.and_then(|name| name.parse().ok()),
            roles: self.roles(claims, orgs.as_ref(), teams.as_ref()),
            auth_time: None,
            amr: Vec::new(),
            refresh_token: None,
            id_token: None,
        })
    }

    /// Returns whether organizations and teams must be read.
    fn needs(&self) -> (bool, bool) {
        let has_rule = |name: &str| self.settings.roles.iter().any(|rule| rule.claim.top() == name);
        (
            !self.settings.allowed_orgs.is_empty() || has_rule("orgs"),
            !self.settings.allowed_teams.is_empty() || has_rule("teams"),
        )
    }

    async fn addresses(&self) -> Result<Vec<Address>, ProviderError> {
        parsed(&self.get(&format!("/user/emails?per_page={PAGE}")).await?)
    }

    /// Returns a verified address in `allowed_domains`, or else the primary one.
    fn email(&self, addresses: &[Address]) -> (Option<Email>, bool) {
        let parse = |address: &Address| address.email.parse::<Email>().ok();
        let allowed =
            |email: &Email| self.settings.allowed_domains.iter().any(|domain| domain == email.domain());
        let verified = addresses.iter().filter(|address| address.verified);
        if let Some(email) = verified.filter_map(parse).find(allowed) {
            return (Some(email), true);
        }
        let primary = addresses.iter().find(|address| address.primary);
        let email = primary.and_then(parse);
        let is_verified = email.is_some() && primary.is_some_and(|primary| primary.verified);
        (email, is_verified)
    }

    fn admission(
        &self,
        email: &Option<Email>,
        is_verified: bool,
        has_addresses: bool,
        orgs: Option<&Listed>,
        teams: Option<&Listed>,
    ) -> Admission {
        let Settings { allowed_domains, allowed_orgs, allowed_teams, .. } = self.settings;
        if !allowed_domains.is_empty() {
            let is_allowed = |email: &&Email| allowed_domains.iter().any(|domain| domain == email.domain());
            if !has_addresses {
                return Admission::Undecided(UndecidedClaim::Unavailable);
            }
            if !is_verified || email.as_ref().filter(is_allowed).is_none() {
                return Admission::Refused(NotAdmitted::Domain);
            }
        }
        for (wanted, listed, refusal) in
            [(allowed_orgs, orgs, NotAdmitted::Organization), (allowed_teams, teams, NotAdmitted::Team)]
        {
            if wanted.is_empty() {
                continue;
            }
            match listed.map_or(Err(UndecidedClaim::Unavailable), |listed| listed.has_any(wanted)) {
                Ok(true) => {}
                Ok(false) => return Admission::Refused(refusal),
                Err(reason) => return Admission::Undecided(reason),
            }
        }
        Admission::Admitted
    }

    /// Applies the rules; organizations and teams are the claims `orgs` and `teams`.
    fn roles(
        &self,
        mut claims: Map<String, Value>,
        orgs: Option<&Listed>,
        teams: Option<&Listed>,
    ) -> MappedRoles {
        for (name, listed) in [("orgs", orgs), ("teams", teams)] {
            let Some(listed) = listed else { continue };
            let rules = self.settings.roles.iter().filter(|rule| rule.claim.top() == name);
            for rule in rules {
                if let Err(reason) = listed.has_any(std::slice::from_ref(&rule.value)) {
                    return MappedRoles::Undecided(reason);
                }
            }
            claims.insert(name.to_owned(), json!(listed.names));
        }
        Claims::new(claims).roles(self.settings)
    }

    /// Reads a paged list. Failures make it incomplete.
    async fn list<T: DeserializeOwned>(&self, path: &str, name: impl Fn(T) -> String) -> Listed {
        let mut names = Vec::new();
        let mut incomplete = None;
        for page in 1..=MAX_PAGES {
            let response = self.get(&format!("{path}?per_page={PAGE}&page={page}")).await;
            let response = response
                .and_then(|response| Ok((parsed::<Vec<T>>(&response)?, is_partial(response.fields()))));
            let Ok((entries, is_partial)) = response else {
                incomplete = Some(UndecidedClaim::Unavailable);
                break;
            };
            if is_partial {
                incomplete = Some(UndecidedClaim::Partial);
            }
            let is_last = entries.len() < PAGE;
            names.extend(entries.into_iter().map(&name));
            if is_last {
                break;
            }
            if page == MAX_PAGES {
                incomplete = Some(UndecidedClaim::Partial);
            }
        }
        Listed { names, incomplete }
    }

    async fn get(&self, path: &str) -> Result<Response, ProviderError> {
        let base = self.settings.api_url.as_deref().unwrap_or_default();
        let request = Request::get(Purpose::UserInfo, &format!("{base}{path}"))
            .accept("application/vnd.github+json")
            .authorization(&format!("Bearer {}", self.access_token.expose()))
            .max_body(MAX_BODY);
        let response = self.client.send(request).await.map_err(away)?;
        match response.status() {
            401 => Err(ProviderError::InvalidGrant),
            // Too many requests, by GitHub's older way.
            403 if path == "/user" => Err(away(OutboundError::Status(429))),
            _ => response.success().map_err(away),
        }
    }
}

fn away(error: OutboundError) -> ProviderError {
    ProviderError::Away(Endpoint::Api, error)
}

fn parsed<T: DeserializeOwned>(response: &Response) -> Result<T, ProviderError> {
    let malformed =
        |_| ProviderError::Malformed(Endpoint::Api, "the answer has not the form of GitHub's API");
    serde_json::from_slice(response.body()).map_err(malformed)
}

/// Returns whether GitHub left out organizations that ask for their own single sign-on first.
fn is_partial(fields: &HeaderMap) -> bool {
    let field = fields.get("x-github-sso").and_then(|value| value.to_str().ok());
    field.is_some_and(|value| value.trim_start().starts_with("partial-results"))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
