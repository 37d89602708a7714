//! Rules for new passwords (NIST SP 800-63B-4 section 3.1.1.2): a minimum length, a list, and no rules about kinds of characters.
//!
//! The list alone refuses next to nothing at 15 characters, so the password is judged as a whole: [`counted`] leaves out what
//! is guessed at once, and [`common`] finds common words with something beside them.

use super::Password;
use crate::error::PasswordFault;
use crate::identity::{Attributes, DisplayName, Email, Identity, Login};

mod common;
mod common_list;
mod composition;
mod counted;
mod folded;
mod names;
mod runs;

use folded::folded;
pub use names::Names;

/// Rules for the passwords of a site.
#[derive(Clone, Debug)]
pub struct PasswordRules {
    /// Minimum length in characters where the password is the only factor.
    pub min_length: usize,
    /// Names of the site.
    site: Vec<String>,
}

/// A person who sets a password.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The login name.
    pub login: &'a str,
    /// The name for display.
    pub name: Option<&'a str>,
    /// The e-mail address.
    pub email: Option<&'a str>,
}

impl<'a> Person<'a> {
    /// Returns the person of a signed-in request.
    pub fn of(identity: &'a Identity) -> Self {
        Self::with(identity.login(), identity.attributes())
    }

    /// Returns the person with these attributes.
    pub fn with(login: &'a Login, attributes: &'a Attributes) -> Self {
        let (name, email) = (attributes.name(), attributes.email());
        Self { login: login.as_str(), name: name.map(DisplayName::as_str), email: email.map(Email::as_str) }
    }
}

impl PasswordRules {
    /// Makes the rules of a site with this name and these hosts.
    pub fn new<'a>(min_length: usize, brand: &'a str, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        Self { min_length, site: Names::of_site(brand, hosts) }
    }

    /// Returns the names that do not count in this person's password.
    pub fn names(&self, person: Person<'_>) -> Names {
        Names { site: self.site.clone(), ..Names::of_person(person.login, person.name, person.email) }
    }

    /// Checks whether a password may be set. `min_length` is in characters: [`Self::min_length`] where the password is the only
    /// factor, and less where sign-ins need a second one. The work is linear in the length of the password.
    ///
    /// # Errors
    /// The first reason why it may not, in the order of [`PasswordFault`].
    pub fn check(
        &self,
        password: &Password,
        person: Person<'_>,
        min_length: usize,
    ) -> Result<(), PasswordFault> {
        let typed = password.text();
        let length = typed.chars().count();
        if length < min_length {
            return Err(PasswordFault::TooShort { has: length, needs: min_length });
        }
        let (text, names) = (folded(typed), self.names(person));
        counted::check(&text, length, &names, min_length)?;
        common::check(&text, &names)
    }
}

#[cfg(test)]
mod tests;
