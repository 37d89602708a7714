//! User identity: login names, roles, attributes, and the identity of an authenticated request.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderValue;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};

mod attributes;
mod proof;

pub use attributes::{Attributes, BadDisplayName, BadEmail, DisplayName, Email};
pub use proof::{ACR_MULTI_FACTOR, ACR_SINGLE_FACTOR, Methods, Proof, RequiredProof};

/// A login name in its canonical form: lower-case ASCII, so that it is the same when checked, stored and sent in a
/// header.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Login(Arc<str>);

/// The text is not a login name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a login name has 1 to 128 characters from a-z 0-9 . _ @ + - (capitals are lowered)")]
pub struct BadLogin;

impl Login {
    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Login {
    type Err = BadLogin;
    fn from_str(text: &str) -> Result<Self, BadLogin> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._@+-".contains(&b);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(BadLogin);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.0)
    }
}

/// Kind of client a session belongs to. It decides the idle timeout and how the session is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ClientKind {
    /// A client that keeps its tokens itself: a program, a script, an app.
    Program = 1,
    /// A browser, signed in by form.
    Browser = 2,
    /// A browser, signed in by form with "Keep me signed in".
    RememberedBrowser = 3,
}

impl ClientKind {
    /// Returns the OAuth client id of its sessions in the vault.
    pub const fn client_id(self) -> &'static str {
        match self {
            Self::Program => "doorward",
            Self::Browser => "browser",
            Self::RememberedBrowser => "browser-remembered",
        }
    }

    /// Returns the kind of a client id; an unknown one is a program.
    pub fn of(client_id: &str) -> Self {
        let known = [Self::Browser, Self::RememberedBrowser];
        known.into_iter().find(|kind| kind.client_id() == client_id).unwrap_or(Self::Program)
    }

    /// Encodes the kind in a byte.
    pub const fn to_u8(self) -> u8 {
        self as u8
    }

    /// Decodes a stored byte.
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Program),
            2 => Some(Self::Browser),
            3 => Some(Self::RememberedBrowser),
            _ => None,
        }
    }
}

/// The name of a role.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(Arc<str>);

/// The text is not a role name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role has 1 to 64 characters from a-z 0-9 . _ : -")]
pub struct BadRole;

impl Role {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Role {
    type Err = BadRole;
    fn from_str(text: &str) -> Result<Self, BadRole> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._:-".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(BadRole);
        }
        Ok(Self(text.into()))
    }
}

impl Borrow<str> for Role {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({})", self.0)
    }
}

/// A user's roles: sorted, each once. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Roles(Arc<RoleList>);

struct RoleList {
    roles: Box<[Role]>,
    /// The roles as in the header. Built once for all tokens that share this list, not per request.
    header: HeaderValue,
}

impl PartialEq for RoleList {
    fn eq(&self, other: &Self) -> bool {
        self.roles == other.roles
    }
}

impl Eq for RoleList {}

impl Hash for RoleList {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.roles.hash(state);
    }
}

impl Roles {
    /// Sorts the roles and removes duplicates.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort();
        roles.dedup();
        let names: Vec<&str> = roles.iter().map(Role::as_str).collect();
        let header = header_value(names.join(","));
        Self(Arc::new(RoleList { roles: roles.into(), header }))
    }

    /// Returns the roles as a header value, sorted and joined by commas. `None` without roles.
    pub fn header(&self) -> Option<HeaderValue> {
        (!self.is_empty()).then(|| self.0.header.clone())
    }

    /// Returns whether another value shares this list's memory.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Parses role names from a token, a row or the command line.
    ///
    /// # Errors
    /// [`BadRole`] when a name is not a role.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, BadRole> {
        Ok(Self::new(names.into_iter().map(str::parse).collect::<Result<Vec<_>, _>>()?))
    }

    /// Iterates over the roles in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Role> {
        self.0.roles.iter()
    }

    /// Returns whether `role` is included.
    pub fn contains(&self, role: &Role) -> bool {
        self.0.roles.binary_search(role).is_ok()
    }

    /// Returns whether there are no roles.
    pub fn is_empty(&self) -> bool {
        self.0.roles.is_empty()
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self::new([])
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({self})")
    }
}

impl fmt::Display for Roles {
    /// Formats the roles sorted and joined by commas, as in the roles header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, role) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(role.as_str())?;
        }
        Ok(())
    }
}

/// The version of a user's rights; a token with an older one is refused until it is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct RightsVersion(pub u32);

/// Counter of a user's security changes. A login based on an older value fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch(pub u32);

/// An authenticated user with a session. Only `auth::authenticate` creates one (enforced by `tests/layers.rs`), so an
/// `Identity` means: verified, not revoked, confirmed.
#[derive(Clone, Debug)]
pub struct Identity {
    user_id: UserId,
    session_id: SessionId,
    login: Login,
    roles: Roles,
    /// `None` without attributes: then a request copies nothing for them.
    attributes: Option<Arc<Attributes>>,
    proof: Proof,
    expires_at: Timestamp,
}

/// Returns text of letters, digits and `. _ : - @ + ,` as a header value.
fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("logins, roles and ids are printable ASCII")
}

impl Identity {
    /// Creates an identity after the check. Only `auth::authenticate` may call it.
    pub(crate) fn attest(
        user_id: UserId,
        session_id: SessionId,
        (login, attributes): (Login, Option<Arc<Attributes>>),
        roles: Roles,
        proof: Proof,
        expires_at: Timestamp,
    ) -> Self {
        Self { user_id, session_id, login, roles, attributes, proof, expires_at }
    }

    /// Returns the `sub` claim.
    pub const fn user_id(&self) -> UserId {
        self.user_id
    }

    /// Returns the `sid` claim.
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// Returns the login name.
    pub const fn login(&self) -> &Login {
        &self.login
    }

    /// Returns the roles in the token.
    pub const fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Returns the e-mail address and the name in the token. A token of an earlier release has none.
    pub fn attributes(&self) -> &Attributes {
        self.attributes.as_deref().unwrap_or(&Attributes::NONE)
    }

    /// Returns the authentication methods of the session, and the time of the last one.
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// Returns the expiry of the access token.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_names_are_canonicalized() {
        assert_eq!("Ada@Example.ORG".parse::<Login>().map(|l| l.to_string()), Ok("ada@example.org".into()));
        for bad in ["", "a b", "ada\n", "ада", "a,b", "a\"b", &"x".repeat(129)] {
            assert_eq!(bad.parse::<Login>(), Err(BadLogin), "{bad:?}");
        }
    }

    #[test]
    fn roles_are_sorted_and_unique() {
        let roles = Roles::parse(["ops", "admin", "ops"]).expect("valid roles");
        assert_eq!(roles.to_string(), "admin,ops");
        assert!(roles.contains(&"ops".parse().expect("valid role")));
        assert_eq!(Roles::parse(["Admin"]), Err(BadRole));
    }
}
