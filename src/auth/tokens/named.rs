//! Login name and attributes of a cached token's user.

use std::sync::Arc;

use crate::identity::{Attributes, Login};

/// Statement of a token about its user. As small as a login name alone: the cache has one for each session, and most
/// users have no attributes.
pub(crate) struct Named(Contents);

enum Contents {
    Login(Login),
    /// Login name and attributes; `None` for a token of release 0.1.0, which names nobody.
    Full(Option<Arc<(Login, Arc<Attributes>)>>),
}

impl Named {
    pub(crate) fn new(login: Option<Login>, attributes: Attributes) -> Self {
        Self(match login {
            Some(login) if attributes.is_empty() => Contents::Login(login),
            login => Contents::Full(login.map(|login| Arc::new((login, Arc::new(attributes))))),
        })
    }

    /// Returns the login name, if the token has one.
    pub(crate) fn login(&self) -> Option<&Login> {
        match &self.0 {
            Contents::Login(login) => Some(login),
            Contents::Full(full) => full.as_deref().map(|(login, _)| login),
        }
    }

    /// Returns the attributes; `None` without any.
    pub(crate) fn attributes(&self) -> Option<&Arc<Attributes>> {
        match &self.0 {
            Contents::Login(_) => None,
            Contents::Full(full) => full.as_deref().map(|(_, attributes)| attributes),
        }
    }

    /// Returns the number of bytes beyond those of a short login name.
    pub(crate) fn additional_bytes(&self) -> u64 {
        let Some(attributes) = self.attributes() else { return 0 };
        let email = attributes.email().map_or(0, |email| email.as_str().len());
        let name = attributes.name().map_or(0, |name| name.as_str().len());
        // Two blocks, and two texts with their counters.
        160 + email as u64 + name as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_without_attributes_takes_no_more_memory_than_a_login() {
        assert_eq!(size_of::<Named>(), size_of::<Login>());
    }

    #[test]
    fn login_and_attributes_are_returned_as_given() {
        let login: Login = "ada".parse().unwrap();
        let attributes = Attributes::new("ada@example.org".parse().ok(), true, None);
        let full = Named::new(Some(login.clone()), attributes.clone());
        assert_eq!((full.login(), full.attributes().map(AsRef::as_ref)), (Some(&login), Some(&attributes)));
        assert!(full.additional_bytes() > 15);
        let bare = Named::new(Some(login.clone()), Attributes::NONE);
        assert_eq!((bare.login(), bare.attributes(), bare.additional_bytes()), (Some(&login), None, 0));
        let nobody = Named::new(None, Attributes::NONE);
        assert_eq!((nobody.login(), nobody.attributes(), nobody.additional_bytes()), (None, None, 0));
    }
}
