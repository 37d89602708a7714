//! Statements of a provider about a person, after all checks.

use crate::clock::Timestamp;
use crate::config::ProviderId;
use crate::identity::{DisplayName, Email, Login, Roles};
use crate::provider::error::ProviderError;
use crate::secret::Secret;

/// Key of an external account. Issuer and subject are compared byte for byte; no e-mail address and no name is part of
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The configured provider.
    pub provider: ProviderId,
    /// Issuer of the tokens. Entra ID: that of the person's tenant.
    pub issuer: String,
    /// Subject: permanent at the issuer and never reused. GitHub: the numeric id.
    pub subject: String,
}

/// A person who has signed in at a provider.
#[derive(Clone, Debug)]
pub struct Person {
    /// Key of the external account.
    pub account: Account,
    /// Session at the provider (`sid`), which logout tokens name.
    pub sid: Option<String>,
    /// Proposed login name for a new user, from the configured claim; `None` if that has no usable text. It may be taken,
    /// and it identifies nobody.
    pub username: Option<Login>,
    /// Address, verified or not.
    pub email: Option<Email>,
    /// True if the provider states that the address is verified, and is an authority for that. A missing statement is
    /// false.
    pub is_email_verified: bool,
    /// Name to show.
    pub name: Option<DisplayName>,
    /// Roles from the configured rules.
    pub roles: MappedRoles,
    /// Result of the rules that say who may sign in.
    pub admission: Admission,
    /// Time of the last active sign-in at the provider (`auth_time`).
    pub auth_time: Option<Timestamp>,
    /// Methods of that sign-in (`amr`), and its context class (`acr`). They count only where the operator says so.
    pub amr: Vec<String>,
    /// Refresh token, to be sealed in the vault. After a recheck: the one to keep from now on.
    pub refresh_token: Option<Secret<String>>,
    /// ID token, for the sign-out at the provider.
    pub id_token: Option<Secret<String>>,
}

/// Roles from claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedRoles {
    /// The provider has no rules: roles are managed here.
    Unmanaged,
    /// The rules give exactly these roles, perhaps none.
    Decided(Roles),
    /// The provider did not state enough. Roles stay as they are until the recheck deadline; then the session ends.
    Undecided(UndecidedClaim),
}

/// Reason why the rules cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndecidedClaim {
    /// A claim of a rule is in neither the ID token nor the UserInfo response.
    Missing,
    /// Too many groups for a token: Entra ID names a place to fetch them from instead (`_claim_names`, `hasgroups`).
    Overage,
    /// The claim is neither a text nor a list of texts.
    Malformed,
    /// The provider's list is incomplete (GitHub: `X-GitHub-SSO: partial-results`, or more pages than are read).
    Partial,
    /// The request for them failed.
    Unavailable,
}

/// Result of `allowed_domains`, `allowed_orgs` and `allowed_teams`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The person may sign in.
    Admitted,
    /// The person may not sign in.
    Refused(NotAdmitted),
    /// The provider did not state enough. A sign-in is refused; a running session lives until the recheck deadline.
    Undecided(UndecidedClaim),
}

/// Rule that a person does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// No verified address in `allowed_domains`.
    Domain,
    /// In none of `allowed_orgs`.
    Organization,
    /// In none of `allowed_teams`.
    Team,
}

/// Result of [`Provider::recheck`](super::Provider::recheck).
#[derive(Debug)]
pub enum Recheck {
    /// The provider confirms the person. [`Person::admission`] may refuse them all the same.
    Confirmed(Box<Person>),
    /// The grant has ended (`invalid_grant`), or belongs to another account: the session ends.
    Ended(ProviderError),
    /// The provider could not be asked. The session lives until the recheck deadline.
    Undecided(ProviderError, RotatedToken),
    /// The provider refuses this client: the configuration here or there is wrong. The session lives until the recheck
    /// deadline.
    Misconfigured(ProviderError, RotatedToken),
}

/// Refresh token that replaces the one sent, if the provider had issued it before the recheck failed. It must be stored:
/// the old one may be void.
pub type RotatedToken = Option<Secret<String>>;

/// A verified logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4). At least one of subject and sid is
/// there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// The configured provider.
    pub provider: ProviderId,
    /// Issuer.
    pub issuer: String,
    /// All sessions of this subject; with a `sid`, its owner.
    pub subject: Option<String>,
    /// The one session at the provider that ended; `None` = all of the subject's.
    pub sid: Option<String>,
    /// Identifier that must not be accepted twice before `expires_at`.
    pub jti: String,
    /// Time from which the token is refused anyway, leeway included.
    pub expires_at: Timestamp,
}
