//! Discovery document (OpenID Connect Discovery 1.0, RFC 8414).

use serde::Deserialize;

use super::issuer::Issuers;
use crate::config::{Preset, Provider as Settings, SignatureAlgorithm};
use crate::outbound::is_fetched;
use crate::provider::error::{DiscoveryError, Endpoint, ProviderError};

/// Maximum size of a document, in bytes. Real ones have some KiB.
pub(in crate::provider) const MAX_DOCUMENT: usize = 256 << 10;

/// Maximum number of texts kept of a list in the document.
const MAX_LIST: usize = 16;

/// Contents of a discovery document, after all checks.
#[derive(Clone, Debug)]
pub(in crate::provider) struct Metadata {
    pub(in crate::provider) issuers: Issuers,
    pub(in crate::provider) authorization_endpoint: String,
    pub(in crate::provider) token_endpoint: String,
    pub(in crate::provider) jwks_uri: String,
    pub(in crate::provider) userinfo_endpoint: Option<String>,
    pub(in crate::provider) end_session_endpoint: Option<String>,
    pub(in crate::provider) revocation_endpoint: Option<String>,
    /// Algorithms of ID tokens, as announced.
    pub(in crate::provider) algorithms: Vec<String>,
    /// Scopes, as announced.
    pub(in crate::provider) scopes: Vec<String>,
    /// True if every authorization response has `iss` (RFC 9207 section 3).
    pub(in crate::provider) announces_issuer: bool,
    pub(in crate::provider) announces_pkce: bool,
    pub(in crate::provider) has_backchannel_logout: bool,
}

/// The members that are used; others are ignored.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    jwks_uri: Option<String>,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    backchannel_logout_supported: bool,
}

/// Returns the URL of the document (Discovery section 4.1).
pub(in crate::provider) fn url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

impl Metadata {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// [`ProviderError::Malformed`], [`ProviderError::Discovery`].
    pub(in crate::provider) fn parse(body: &[u8], settings: &Settings) -> Result<Self, ProviderError> {
        let malformed =
            |_| ProviderError::Malformed(Endpoint::Discovery, "it is not a JSON object with an issuer");
        let document: Document = serde_json::from_slice(body).map_err(malformed)?;
        Self::check(document, settings).map_err(ProviderError::Discovery)
    }

    fn check(document: Document, settings: &Settings) -> Result<Self, DiscoveryError> {
        if !is_expected(&document.issuer, settings) {
            return Err(DiscoveryError::OtherIssuer(shortened(&document.issuer)));
        }
        let check = |name: &'static str, url: String| {
            // An https issuer has no reason to name http endpoints of this machine.
            let is_as_secure = url.starts_with("https://") || !settings.issuer.starts_with("https://");
            let is_url = url.bytes().all(|byte| byte.is_ascii_graphic()) && is_fetched(&url);
            if is_as_secure && is_url { Ok(url) } else { Err(DiscoveryError::BadEndpoint(name)) }
        };
        let required = |name, url: Option<String>| check(name, url.ok_or(DiscoveryError::NoEndpoint(name))?);
        let optional = |name, url: Option<String>| url.map(|url| check(name, url)).transpose();
        let algorithms: Vec<String> = document.id_token_signing_alg_values_supported;
        check_algorithms(&algorithms, &settings.algorithms)?;
        let tenants = settings.tenants.clone();
        let short = |texts: Vec<String>| texts.iter().take(MAX_LIST).map(|text| shortened(text)).collect();
        Ok(Self {
            issuers: Issuers::new(document.issuer, tenants),
            authorization_endpoint: required("authorization_endpoint", document.authorization_endpoint)?,
            token_endpoint: required("token_endpoint", document.token_endpoint)?,
            jwks_uri: required("jwks_uri", document.jwks_uri)?,
            userinfo_endpoint: optional("userinfo_endpoint", document.userinfo_endpoint)?,
            end_session_endpoint: optional("end_session_endpoint", document.end_session_endpoint)?,
            revocation_endpoint: optional("revocation_endpoint", document.revocation_endpoint)?,
            algorithms: short(algorithms),
            scopes: document.scopes_supported,
            announces_issuer: document.authorization_response_iss_parameter_supported,
            announces_pkce: document.code_challenge_methods_supported.iter().any(|method| method == "S256"),
            has_backchannel_logout: document.backchannel_logout_supported,
        })
    }
}

/// Returns whether the issuer of a document is the configured one, byte for byte. Entra ID's documents for several tenants
/// have a template instead.
fn is_expected(issuer: &str, settings: &Settings) -> bool {
    if issuer == settings.issuer {
        return true;
    }
    let shared = ["/common/v2.0", "/organizations/v2.0"];
    let base = shared.iter().find_map(|end| settings.issuer.strip_suffix(end));
    settings.preset == Preset::Microsoft
        && base.is_some_and(|base| issuer.strip_prefix(base) == Some("/{tenantid}/v2.0"))
}

/// Checks that some announced algorithm is accepted. A document without any announces nothing.
fn check_algorithms(announced: &[String], accepted: &[SignatureAlgorithm]) -> Result<(), DiscoveryError> {
    let is_accepted = |name: &String| accepted.iter().any(|algorithm| algorithm.as_str() == name);
    if announced.is_empty() || announced.iter().any(is_accepted) {
        return Ok(());
    }
    if announced.iter().all(|name| name.starts_with("HS") || name == "none") {
        return Err(DiscoveryError::Symmetric);
    }
    let known = |name: &&String| SignatureAlgorithm::ALL.iter().any(|(known, _)| known == name);
    let names: Vec<&str> = announced.iter().filter(known).map(String::as_str).collect();
    Err(DiscoveryError::NoAlgorithm(if names.is_empty() { "others".to_owned() } else { names.join(", ") }))
}

/// Cuts text of a provider for a message.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
