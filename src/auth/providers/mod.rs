//! Sign-in at identity providers: the use cases on top of `provider`, which speaks the protocol.
//!
//! ```text
//! sign-in:  code redeemed -> admitted? -> owner of the account, or a new user -> roles and attributes -> session
//! recheck:  refresh or renewal -> due, and claimed? -> provider asked -> roles and attributes, or end of the session
//! logout:   logout token verified -> not accepted before? -> sessions ended in the vault -> log -> everywhere
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::clock::Timestamp;
use crate::error::ProviderRefusal;
use crate::identity::{Attributes, Methods, Roles};
use crate::provider::{Admission, MappedRoles, Person, Provider};
use crate::secret::Secret;
use crate::vault::{ProviderAccount, Statement};

pub(crate) mod account;
pub(crate) mod logout;
pub(crate) mod recheck;
pub(crate) mod sign_in;

/// Time for which a session lives on while its provider cannot be asked, counted from the recheck that was due: longer
/// than most outages of a provider, shorter than a working day.
pub const RECHECK_GRACE: Duration = Duration::from_hours(4);

/// The configured providers, in the order of the file. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Providers(Arc<[Arc<Provider>]>);

impl Providers {
    /// Collects the providers.
    pub fn new(providers: impl IntoIterator<Item = Arc<Provider>>) -> Self {
        Self(providers.into_iter().collect())
    }

    /// Returns the provider of this name.
    pub fn find(&self, id: &str) -> Option<&Arc<Provider>> {
        self.0.iter().find(|provider| provider.id().as_str() == id)
    }

    /// Iterates over the providers, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Provider>> {
        self.0.iter()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether one of them is asked again about people who have signed in.
    fn rechecks(&self) -> bool {
        self.0.iter().any(|provider| !provider.settings().recheck.is_zero())
    }
}

/// Time until the next recheck; `None` = never.
fn interval(provider: &Provider) -> Option<Duration> {
    Some(provider.settings().recheck).filter(|interval| !interval.is_zero())
}

/// Returns the key of the account in the vault.
pub(crate) fn account_of(person: &Person) -> ProviderAccount {
    let account = &person.account;
    ProviderAccount {
        provider: account.provider.as_str().to_owned(),
        issuer: account.issuer.clone(),
        subject: account.subject.clone(),
    }
}

/// Returns what the vault stores of a person. Roles that could not be decided stay as they are, for as long as a session lives on
/// while its provider cannot be asked.
fn statement_of(provider: &Provider, person: &Person) -> Statement {
    let roles = match &person.roles {
        // Rules that were removed give no roles any more.
        MappedRoles::Unmanaged => Some(Roles::default()),
        MappedRoles::Decided(roles) => Some(roles.clone()),
        MappedRoles::Undecided(_) => None,
    };
    let attributes = Attributes::new(person.email.clone(), person.is_email_verified, person.name.clone());
    let roles_stay = Some(provider.settings().recheck + RECHECK_GRACE);
    Statement { roles, roles_stay, attributes }
}

/// Returns the refusal of a person that may not sign in.
fn refused(person: &Person) -> Option<ProviderRefusal> {
    match person.admission {
        Admission::Admitted => None,
        Admission::Refused(_) => Some(ProviderRefusal::NotAllowed),
        Admission::Undecided(_) => Some(ProviderRefusal::Failed),
    }
}

/// Returns the authentication methods of a person's sign-in, and the time since then. A second factor counts only by a
/// value of `amr` or `acr` that the operator believes.
pub(crate) fn proof_of(provider: &Provider, person: &Person, now: Timestamp) -> (Methods, Duration) {
    let believed = &provider.settings().factor_values;
    let has_factor = person.amr.iter().any(|value| believed.contains(value));
    let methods = if has_factor { Methods::PROVIDER.with(Methods::MULTI_FACTOR) } else { Methods::PROVIDER };
    // Without a statement the sign-in may be of any time; people who came back just now count as of now.
    (methods, person.auth_time.map_or(Duration::ZERO, |at| now.since(at)))
}

/// Kind of a sealed token of a provider.
#[derive(Clone, Copy)]
enum SealedToken {
    Refresh,
    Id,
}

/// Returns the name under which a token is sealed: it opens only for its account and kind.
fn sealed_name(kind: SealedToken, account: &ProviderAccount) -> String {
    let kind = match kind {
        SealedToken::Refresh => "provider refresh token",
        SealedToken::Id => "provider ID token",
    };
    [kind, &account.provider, &account.issuer, &account.subject].join("\n")
}

impl Auth {
    /// Seals a token of an account.
    fn seal_token(&self, kind: SealedToken, account: &ProviderAccount, token: &Secret<String>) -> Vec<u8> {
        let name = sealed_name(kind, account);
        self.parts.master.seal(token.expose().as_bytes(), &name, self.parts.random.as_ref())
    }

    /// Opens a sealed token of an account. `None` if the master secret was replaced since.
    fn open_token(
        &self,
        kind: SealedToken,
        account: &ProviderAccount,
        sealed: &[u8],
    ) -> Option<Secret<String>> {
        let plain = self.parts.master.open(sealed, &sealed_name(kind, account)).ok()?;
        String::from_utf8(plain.expose().clone()).ok().map(Secret::new)
    }
}
