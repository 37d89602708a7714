//! Defaults of each kind of provider.

use std::time::Duration;

use super::{ClaimPath, Preset};

/// Scope that asks for a refresh token (OpenID Connect Core section 11).
const OFFLINE: &str = "offline_access";

/// Claims that GitHub's organizations and teams are given as, so that rules read like those of other providers.
pub(super) const GITHUB_ORGS: &str = "orgs";
pub(super) const GITHUB_TEAMS: &str = "teams";

/// Host of Entra ID for all tenants of the public cloud.
pub(super) const ENTRA: &str = "https://login.microsoftonline.com";

/// Tenant of personal Microsoft accounts.
pub(super) const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

impl Preset {
    /// All presets, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("oidc", Self::Oidc),
        ("google", Self::Google),
        ("microsoft", Self::Microsoft),
        ("github", Self::GitHub),
        ("gitlab", Self::GitLab),
        ("keycloak", Self::Keycloak),
        ("okta", Self::Okta),
        ("authentik", Self::Authentik),
    ];

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, preset)| *preset == self).map_or("", |(name, _)| *name)
    }

    /// Returns the issuer of a provider that has one address for all. For others, an example.
    pub(super) const fn issuer(self) -> Result<&'static str, &'static str> {
        match self {
            Self::Google => Ok("https://accounts.google.com"),
            Self::GitHub => Ok("https://github.com"),
            Self::GitLab => Ok("https://gitlab.com"),
            Self::Microsoft => Err("https://login.microsoftonline.com/<tenant id>/v2.0"),
            Self::Oidc => Err("https://sso.example.com"),
            Self::Keycloak => Err("https://sso.example.com/realms/main"),
            Self::Okta => Err("https://example.okta.com"),
            Self::Authentik => Err("https://sso.example.com/application/o/doorward/"),
        }
    }

    /// Returns the text of the button.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Oidc => "single sign-on",
            Self::Google => "Google",
            Self::Microsoft => "Microsoft",
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Keycloak => "Keycloak",
            Self::Okta => "Okta",
            Self::Authentik => "authentik",
        }
    }

    /// Returns the claim that proposes a login name.
    pub(super) fn username(self) -> ClaimPath {
        ClaimPath::name(match self {
            Self::Google => "email",
            Self::GitHub => "login",
            _ => "preferred_username",
        })
    }

    /// Returns the interval of rechecks. Google returns a refresh token only after another consent, so rechecks are
    /// switched on by the operator.
    pub(super) const fn recheck(self) -> Duration {
        match self {
            Self::Google => Duration::ZERO,
            _ => Duration::from_mins(15),
        }
    }

    /// Returns the scopes of the authorization request.
    pub(super) fn scopes(self, has_recheck: bool, needs_orgs: bool) -> Vec<String> {
        let mut scopes: Vec<&str> = match self {
            Self::GitHub => vec!["read:user", "user:email"],
            _ => vec!["openid", "profile", "email"],
        };
        match self {
            Self::GitHub if needs_orgs => scopes.push("read:org"),
            // Keycloak and GitLab return refresh tokens without it; Keycloak's would outlive the sign-out at the provider
            // with it. Google has a parameter of its own.
            Self::Oidc | Self::Microsoft | Self::Okta | Self::Authentik if has_recheck => {
                scopes.push(OFFLINE);
            }
            _ => {}
        }
        scopes.into_iter().map(str::to_owned).collect()
    }
}
