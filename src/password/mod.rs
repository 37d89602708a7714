//! Passwords: what is acceptable, and their hashes on a bounded set of threads.
//!
//! [`pool`] owns the threads; nothing here knows users, stores or HTTP.

use unicode_normalization::UnicodeNormalization;

use crate::identity::Login;
use crate::secret::Secret;

mod argon;
pub mod pool;

pub use pool::{Hasher, HasherBusy, Verdict};

/// A password of this many bytes is refused before any work: NIST SP 800-63B asks for at least 64 characters;
/// beyond this only the cost of reading grows.
pub const MAX_BYTES: usize = 1024;

/// A password as typed, in the one form that is hashed: Unicode NFC, not trimmed, not cut (NIST SP 800-63B
/// 3.1.1.2).
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

/// Why a password cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRejected {
    /// Longer than [`MAX_BYTES`].
    #[error("the password is longer than {MAX_BYTES} bytes: choose a shorter one")]
    TooLong,
    /// Shorter than configured, in characters.
    #[error("the password has {has} characters: choose one of at least {needs}")]
    TooShort {
        /// How many it has.
        has: usize,
        /// How many it needs.
        needs: usize,
    },
    /// Easily guessed from the login name, or one character repeated.
    #[error(
        "the password is easily guessed: choose one that does not repeat one character or the login name"
    )]
    Guessable,
}

impl Password {
    /// As typed.
    ///
    /// # Errors
    /// [`PasswordRejected::TooLong`].
    pub fn new(typed: &str) -> Result<Self, PasswordRejected> {
        if typed.len() > MAX_BYTES {
            return Err(PasswordRejected::TooLong);
        }
        Ok(Self(Secret::new(typed.nfc().collect())))
    }

    /// Whether it may be set for `login`.
    ///
    /// # Errors
    /// Why not.
    pub fn acceptable(&self, login: &Login, min_length: usize) -> Result<(), PasswordRejected> {
        let text = self.0.expose();
        let has = text.chars().count();
        if has < min_length {
            return Err(PasswordRejected::TooShort { has, needs: min_length });
        }
        let lower = text.to_lowercase();
        // What is left without the login name must still be a password of half the length.
        let without_name = lower.replace(login.as_str(), "").chars().count();
        let mut characters = text.chars();
        let first = characters.next();
        if characters.all(|c| Some(c) == first) || (without_name < has && without_name * 2 < min_length) {
            return Err(PasswordRejected::Guessable);
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters_and_guessable_ones_are_named() {
        let login: Login = "ada.lovelace".parse().unwrap();
        let check = |text: &str| Password::new(text).unwrap().acceptable(&login, 15);
        assert_eq!(check("пароль-пароль-1"), Ok(()));
        assert_eq!(check("fourteen chars"), Err(PasswordRejected::TooShort { has: 14, needs: 15 }));
        assert_eq!(check("aaaaaaaaaaaaaaaaaaaa"), Err(PasswordRejected::Guessable));
        assert_eq!(check("Ada.Lovelace1234"), Err(PasswordRejected::Guessable));
        assert!(Password::new(&"x".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn two_ways_to_type_a_letter_are_one_password() {
        assert_eq!(Password::new("e\u{301}").unwrap().bytes(), Password::new("é").unwrap().bytes());
    }
}
