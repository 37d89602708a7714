//! Accounts at providers: who they belong to, and what a session keeps of the provider that opened it.
//!
//! An account is the key of a link, by provider, issuer and subject (OpenID Connect Core section 2), byte for byte. An
//! e-mail address is never part of it. Roles that a provider gives are stored with the link, so that they can be taken
//! away again without touching those that an operator gave.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{Ended, Grant, NewSession, User, VaultError};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::{Attributes, Login, Roles};
use crate::secret::Secret;

/// Time for which a provider's logout is remembered, so that a sign-in that was in progress then is not completed
/// after it. Longer than a sign-in lasts: ten minutes until the browser is back, the exchange of its code, and ten for the
/// second factor.
pub const LOGOUT_LIFE: Duration = Duration::from_mins(25);

/// A person's account at a provider.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProviderAccount {
    /// Id of the provider in the configuration.
    pub provider: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `sub`: the account's name there, which is never given to another person.
    pub subject: String,
}

impl fmt::Debug for ProviderAccount {
    /// Leaves the subject out: it is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderAccount({})", self.provider)
    }
}

/// An account that belongs to a user.
#[derive(Clone, Debug)]
pub struct AccountLink {
    /// The account.
    pub account: ProviderAccount,
    /// True if the account created the user, so that its e-mail address and name are the user's.
    pub is_origin: bool,
    /// Time of linking.
    pub created_at: Timestamp,
    /// Time of the last sign-in or recheck that left no roles undecided.
    pub used_at: Timestamp,
}

/// A provider's statement about a person, at a sign-in or a recheck.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// Roles by its mapping; `None` if they could not be decided, and then they stay as they are.
    pub roles: Option<Roles>,
    /// Time for which undecided roles stay, from the last statement that decided them. Later they are taken away. `None` = for ever.
    pub roles_stay: Option<Duration>,
    /// E-mail address and name. They replace the user's if the account created the user.
    pub attributes: Attributes,
}

/// A user to be created for an account.
#[derive(Clone, Debug)]
pub struct NewAccountUser {
    /// New random id.
    pub id: UserId,
    /// The login name.
    pub login: Login,
    /// A PHC string that no password matches.
    pub password: Secret<String>,
    /// True if the user cannot sign in until an operator has enabled it.
    pub waits_for_approval: bool,
}

/// Other ways to sign in, of which one must be left when a user unlinks an account.
#[derive(Clone, Debug)]
pub struct OtherWays {
    /// True if the user has a password that counts.
    pub password: bool,
    /// Ids of the configured providers. Accounts of others open nothing.
    pub providers: Vec<String>,
}

impl OtherWays {
    /// Returns whether one is left without this account.
    pub(super) fn are_left(&self, account: &ProviderAccount, links: &[AccountLink]) -> bool {
        let opens =
            |link: &AccountLink| link.account != *account && self.providers.contains(&link.account.provider);
        self.password || links.iter().any(opens)
    }
}

/// Provider's part of a session to be opened.
#[derive(Clone, Debug)]
pub struct NewProviderSession {
    /// Account that signed in.
    pub account: ProviderAccount,
    /// `sid`: the session at the provider, if it names one.
    pub sid: Option<String>,
    /// Time at which the browser left for the provider. What the provider states since then is newer than any logout
    /// before it.
    pub began_at: Timestamp,
    /// The provider's refresh token, sealed.
    pub refresh: Option<Vec<u8>>,
    /// The ID token, sealed, as a hint for a sign-out at the provider.
    pub id_token: Option<Vec<u8>>,
    /// Time until the provider is asked again; `None` = never.
    pub recheck: Option<Duration>,
}

/// A recheck of a session that the caller makes, and nobody else meanwhile.
#[derive(Clone, Debug)]
pub struct Recheck {
    /// Owner of the session.
    pub user_id: UserId,
    /// Account that opened it.
    pub account: ProviderAccount,
    /// The provider's refresh token, sealed.
    pub refresh: Option<Vec<u8>>,
    /// Time since the provider last confirmed the account.
    pub unconfirmed: Duration,
}

/// Outcome of a recheck.
#[derive(Clone, Debug)]
pub enum Rechecked {
    /// The provider confirmed the account.
    Confirmed {
        /// New refresh token, sealed; `None` = the old one stays.
        refresh: Option<Vec<u8>>,
        /// Time until the next recheck; `None` = never.
        next: Option<Duration>,
    },
    /// The provider could not be asked. The next attempt is made after this time.
    Undecided {
        /// New refresh token, sealed, if the provider replaced it all the same; `None` = the old one stays.
        refresh: Option<Vec<u8>>,
        /// Time until the next attempt.
        retry: Duration,
    },
}

/// A logout that a provider announced (OpenID Connect Back-Channel Logout 1.0 section 2.4).
#[derive(Clone, Debug)]
pub struct ProviderLogout {
    /// Id of the provider in the configuration.
    pub provider: String,
    /// `iss` of the logout token.
    pub issuer: String,
    /// `sid`: the session at the provider.
    pub sid: Option<String>,
    /// `sub`: the account, whose every session ends if there is no `sid`.
    pub subject: Option<String>,
    /// `jti`: number of the token.
    pub jti: String,
    /// Time for which the token must not be accepted again.
    pub token_life: Duration,
}

/// Facts of a session for the sign-out at its provider.
#[derive(Clone, Debug)]
pub struct SignOutHint {
    /// Account that opened it.
    pub account: ProviderAccount,
    /// The ID token, sealed.
    pub id_token: Option<Vec<u8>>,
}

/// A refresh token of a provider that no session needs any more.
#[derive(Clone, Debug)]
pub struct SpentToken {
    /// Account that the token belongs to.
    pub account: ProviderAccount,
    /// The refresh token, sealed.
    pub refresh: Vec<u8>,
}

impl ProviderLogout {
    /// Returns the name under which the token is remembered.
    pub(super) fn token_name(&self) -> String {
        name(JTI, &self.provider, &self.issuer, &self.jti)
    }

    /// Returns the names under which the logout is remembered.
    pub(super) fn names(&self) -> Vec<String> {
        let of_sid = self.sid.as_deref().map(|sid| name(SID, &self.provider, &self.issuer, sid));
        let kind = if self.sid.is_some() { UNNAMED } else { SUBJECT };
        let of_subject =
            self.subject.as_deref().map(|subject| name(kind, &self.provider, &self.issuer, subject));
        of_sid.into_iter().chain(of_subject).collect()
    }
}

impl NewProviderSession {
    /// Returns the name of a logout of the session at the provider. It ends the sign-in whenever that began: the
    /// provider does not open the same session again.
    pub(super) fn sid_name(&self) -> Option<String> {
        let ProviderAccount { provider, issuer, .. } = &self.account;
        self.sid.as_deref().map(|sid| name(SID, provider, issuer, sid))
    }

    /// Returns the names of logouts that end the sign-in if it began before them.
    pub(super) fn account_names(&self) -> Vec<String> {
        let ProviderAccount { provider, issuer, subject } = &self.account;
        // A sign-in without a session id may belong to any session of the subject.
        let unnamed = self.sid.is_none().then(|| name(UNNAMED, provider, issuer, subject));
        unnamed.into_iter().chain([name(SUBJECT, provider, issuer, subject)]).collect()
    }

    /// Returns the earliest end of the memory of a logout that came after the sign-in began.
    pub(super) fn forgotten_after(&self) -> Timestamp {
        self.began_at + LOGOUT_LIFE
    }
}

/// Kinds of remembered names: a logout token, the session it names, every session of its subject, and of a subject those
/// sessions whose id at the provider is unknown.
const JTI: &str = "jti";
const SID: &str = "sid";
const SUBJECT: &str = "sub";
const UNNAMED: &str = "sub without sid";

/// Returns the roles of a user after a provider's statement. Those that it gave before are taken away, unless another
/// linked account gives them too.
pub(super) fn merged(current: &Roles, before: &Roles, now: &Roles, of_others: &Roles) -> Roles {
    let kept = current.iter().filter(|role| !before.contains(role) || of_others.contains(role));
    Roles::new(kept.chain(now.iter()).cloned())
}

impl Statement {
    /// Returns the roles that the account gives, after it has given `before` at its last statement, so long ago.
    pub(super) fn granted(&self, before: &Roles, since: Duration) -> Roles {
        match &self.roles {
            Some(roles) => roles.clone(),
            None if self.roles_stay.is_some_and(|limit| since > limit) => Roles::default(),
            None => before.clone(),
        }
    }
}

fn name(kind: &str, provider: &str, issuer: &str, id: &str) -> String {
    [kind, provider, issuer, id].join("\n")
}

/// Accounts at providers.
#[async_trait]
pub trait Identities: Send + Sync {
    /// Returns the owner of an account, or `None` if it certainly has none.
    async fn owner(&self, account: &ProviderAccount) -> Result<Option<User>, VaultError>;
    /// Creates a user and links the account. An e-mail address that another user has is left out.
    ///
    /// # Errors
    /// [`VaultError::LoginTaken`]; [`VaultError::AccountTaken`] if the account has an owner meanwhile.
    async fn create(
        &self,
        account: &ProviderAccount,
        user: &NewAccountUser,
        statement: &Statement,
    ) -> Result<(), VaultError>;
    /// Applies a provider's statement to the owner of the account, in one transaction. A change raises the version of
    /// rights and writes its row, as [`super::UserChange::Roles`] does. An e-mail address that another user has is left
    /// out.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`] if the account has no owner.
    async fn apply(&self, account: &ProviderAccount, statement: &Statement) -> Result<Ended, VaultError>;
    /// Links an account to a user. Nothing changes if it is linked to that user already.
    ///
    /// # Errors
    /// [`VaultError::AccountTaken`] if it belongs to another user; [`VaultError::UserUnknown`].
    async fn link(&self, account: &ProviderAccount, user: UserId) -> Result<(), VaultError>;
    /// Removes the link, the roles that came with it, and every session that the account opened, except `keep`.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`] if the account does not belong to that user.
    async fn unlink(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: Option<SessionId>,
    ) -> Result<Ended, VaultError>;
    /// As [`Identities::unlink`], for the user, whose session stays.
    ///
    /// # Errors
    /// [`VaultError::LastWay`] if no other way to sign in is left; [`VaultError::UserUnknown`].
    async fn unlink_own(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: SessionId,
        others: &OtherWays,
    ) -> Result<Ended, VaultError>;
    /// Returns the accounts of a user, in order of linking.
    async fn of_user(&self, user: UserId) -> Result<Vec<AccountLink>, VaultError>;
    /// Opens a session as [`super::Sessions::open`], with the provider's part.
    ///
    /// # Errors
    /// [`VaultError::Superseded`] if the user was changed, the account was unlinked from the user, or the provider has
    /// announced a logout of that session, or of the account since the sign-in began.
    async fn open(&self, session: &NewSession, part: &NewProviderSession) -> Result<Grant, VaultError>;
    /// Returns whether any session is rechecked.
    async fn has_rechecks(&self) -> Result<bool, VaultError>;
    /// Takes the recheck of a session for `hold`, if it is due and nobody else has it.
    async fn claim(&self, session: SessionId, hold: Duration) -> Result<Option<Recheck>, VaultError>;
    /// Stores the outcome of a recheck, and gives it back.
    async fn settle(&self, session: SessionId, outcome: &Rechecked) -> Result<(), VaultError>;
    /// Ends the sessions of a provider's logout; `None` if the same logout token was accepted before. A logout of one
    /// session of a subject ends those whose id at the provider is unknown, too: it may be any of them.
    async fn log_out(&self, logout: &ProviderLogout) -> Result<Option<Ended>, VaultError>;
    /// Takes the refresh tokens of these sessions, `limit` at most, so that they can be revoked at the provider. Sessions that
    /// have not ended keep theirs. The token of an account that another session needs is deleted but not returned: for
    /// some providers all sessions of a person have one grant, which a revocation ends.
    async fn take_refresh(&self, ended: &[SessionId], limit: u32) -> Result<Vec<SpentToken>, VaultError>;
    /// Returns what the sign-out at the provider needs; `None` for a session that no provider opened.
    async fn hint(&self, session: SessionId) -> Result<Option<SignOutHint>, VaultError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(names: &[&str]) -> Roles {
        Roles::parse(names.iter().copied()).expect("roles")
    }

    #[test]
    fn provider_takes_away_only_what_it_gave() {
        let merge = |current: &[&str], before: &[&str], now: &[&str], others: &[&str]| {
            merged(&roles(current), &roles(before), &roles(now), &roles(others)).to_string()
        };
        assert_eq!(merge(&["staff"], &[], &["admin"], &[]), "admin,staff");
        assert_eq!(merge(&["admin", "staff"], &["admin"], &[], &[]), "staff", "staff is of an operator");
        assert_eq!(merge(&["admin", "staff"], &["admin"], &[], &["admin"]), "admin,staff");
        assert_eq!(merge(&["admin"], &["admin"], &["admin", "ops"], &[]), "admin,ops");
    }

    #[test]
    fn names_of_logouts_do_not_meet() {
        let logout = |sid: Option<&str>, subject: Option<&str>| ProviderLogout {
            provider: "a".into(),
            issuer: "https://b".into(),
            sid: sid.map(str::to_owned),
            subject: subject.map(str::to_owned),
            jti: "c".into(),
            token_life: LOGOUT_LIFE,
        };
        let session = |sid: Option<&str>| NewProviderSession {
            account: ProviderAccount {
                provider: "a".into(),
                issuer: "https://b".into(),
                subject: "c".into(),
            },
            sid: sid.map(str::to_owned),
            began_at: Timestamp::EPOCH,
            refresh: None,
            id_token: None,
            recheck: None,
        };
        let of_sid = logout(Some("c"), None);
        assert_eq!(of_sid.names(), session(Some("c")).sid_name().into_iter().collect::<Vec<_>>());
        assert!(!of_sid.names().contains(&of_sid.token_name()));
        let meets = |logout: &ProviderLogout, session: &NewProviderSession| {
            session.account_names().iter().any(|name| logout.names().contains(name))
        };
        let of_all = logout(None, Some("c"));
        assert!(meets(&of_all, &session(None)) && meets(&of_all, &session(Some("c"))));
        let of_one = logout(Some("d"), Some("c"));
        assert!(meets(&of_one, &session(None)), "it may be that session");
        assert!(!meets(&of_one, &session(Some("c"))), "it is another one");
        assert!(!meets(&of_sid, &session(Some("c"))) && !meets(&logout(None, Some("d")), &session(None)));
    }
}
