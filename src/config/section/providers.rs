//! `[[providers]]`: identity providers that users sign in with.

mod claim;
mod key;
mod presets;
mod read;
mod values;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::certificate::Authorities;
use crate::identity::Role;
use crate::secret::Secret;

pub use claim::ClaimPath;
pub use key::PrivateKey;
pub(crate) use read::providers;

/// Name of a provider, of characters `a-z 0-9 -`: stands in URLs, logs and metrics, and is part of the key of an
/// external account. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Arc<str>);

/// The text is not the name of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a provider has a name of 1 to 32 characters from a-z 0-9 -")]
pub struct BadProviderId;

impl ProviderId {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderId {
    type Err = BadProviderId;
    fn from_str(text: &str) -> Result<Self, BadProviderId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(allowed) {
            return Err(BadProviderId);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderId({})", self.0)
    }
}

/// `[[providers]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Name in URLs, logs and metrics.
    pub id: ProviderId,
    /// Kind of provider, with its defaults and its deviations from OpenID Connect.
    pub preset: Preset,
    /// Issuer identifier, compared byte for byte. GitHub: the address of the server.
    pub issuer: String,
    /// Base address of GitHub's API, without `/` at its end; `None` for other presets.
    pub api_url: Option<String>,
    /// Client identifier that the provider assigned.
    pub client_id: String,
    /// Proof of the client at the token endpoint.
    pub authentication: ClientAuthentication,
    /// Text of the button.
    pub label: String,
    /// Policy for people without an account here.
    pub create_users: CreateUsers,
    /// Domains of verified addresses that may sign in, in lower case; empty = every one. Google: values of `hd`.
    pub allowed_domains: Vec<String>,
    /// GitHub organizations whose members may sign in, in lower case; empty = every one.
    pub allowed_orgs: Vec<String>,
    /// GitHub teams whose members may sign in, as `organization/team` in lower case; empty = every one.
    pub allowed_teams: Vec<String>,
    /// Entra ID tenants whose members may sign in, in lower case; empty = the tenant of the issuer.
    pub tenants: Vec<String>,
    /// True if a verified address of this provider may link to an account with the same verified address.
    pub trust_email: bool,
    /// Claim that proposes the login name of a new user.
    pub username: ClaimPath,
    /// Rules that give roles; empty = this provider decides no roles.
    pub roles: Vec<RoleRule>,
    /// Values of `amr` and `acr` with which the provider has checked a second factor itself; empty = none is believed.
    pub factor_values: Vec<String>,
    /// Interval after which a session's owner is checked with the provider again; zero = never.
    pub recheck: Duration,
    /// True if a sign-out here also signs out at the provider.
    pub logout: bool,
    /// Scopes of the authorization request.
    pub scopes: Vec<String>,
    /// Domains of addresses that choose this provider on an identifier-first page, in lower case.
    pub email_domains: Vec<String>,
    /// CAs of the provider's servers; `None` = the system trust store.
    pub authorities: Option<Authorities>,
    /// Hosts besides that of the issuer that may have private addresses.
    pub private_hosts: Vec<String>,
    /// Other audiences that ID tokens may name besides the client.
    pub audiences: Vec<String>,
    /// True if the provider asks for consent at every sign-in: some return a refresh token only then.
    pub consent: bool,
    /// Signature algorithms that are accepted in ID tokens and logout tokens.
    pub algorithms: Vec<SignatureAlgorithm>,
}

/// Kind of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Any provider of OpenID Connect.
    Oidc,
    /// Google Accounts and Google Workspace.
    Google,
    /// Microsoft Entra ID.
    Microsoft,
    /// GitHub and GitHub Enterprise Server: OAuth 2.0 without OpenID Connect.
    GitHub,
    /// GitLab.
    GitLab,
    /// Keycloak.
    Keycloak,
    /// Okta.
    Okta,
    /// authentik.
    Authentik,
}

/// Client authentication at the token endpoint (OpenID Connect Core section 9).
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAuthentication {
    /// `client_secret_basic`
    SecretBasic(Secret<String>),
    /// `client_secret_post`
    SecretPost(Secret<String>),
    /// `private_key_jwt`
    PrivateKeyJwt {
        /// Private key that signs the assertions.
        key: PrivateKey,
        /// `kid` of the assertions, if the provider needs one.
        key_id: Option<String>,
    },
}

/// Policy for people who sign in for the first time and have no account here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateUsers {
    /// Only people with a linked account may sign in.
    Never,
    /// An account is created at once.
    Always,
    /// An account is created that an operator must approve.
    Approve,
}

/// A rule that gives a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRule {
    /// Claim with one text or a list of texts.
    pub claim: ClaimPath,
    /// Exact text that must be among them.
    pub value: String,
    /// Role that it gives.
    pub role: Role,
}

/// Signature algorithm of a provider's tokens (RFC 7518 section 3.1, RFC 8037). Symmetric ones are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256.
    Es256,
    /// ECDSA with P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl SignatureAlgorithm {
    /// All algorithms, by their names in JOSE.
    pub const ALL: [(&'static str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// Returns the name in JOSE.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(name, _)| *name)
    }
}
