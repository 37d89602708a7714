//! Passwords: acceptance rules, and hashing on a bounded set of threads.
//!
//! [`pool`] owns the threads. New hashes are argon2id with the newest pepper; hashes of other programs are verified and replaced.
//! Nothing here depends on users, stores or HTTP.

use unicode_normalization::UnicodeNormalization;

use crate::id::Random;
use crate::identity::Login;
use crate::secret::Secret;

mod argon;
mod budget;
mod census;
mod common;
mod common_list;
mod composition;
mod foreign;
mod keycloak;
mod notation;
mod pepper;
pub mod pool;
mod stored;

pub use census::{HashGroup, HashState};
pub use keycloak::read_keycloak_hash;
pub use notation::read_hash;
pub use pepper::Peppers;
pub use pool::{Hasher, HasherBusy, Verdict};
pub use stored::{BadHash, StoredHash};

/// Maximum length in bytes. A longer password is refused before any work. NIST SP 800-63B asks for at least 64
/// characters; a higher limit only raises the cost of reading.
pub const MAX_BYTES: usize = 1024;

/// A password in the form that is hashed: Unicode NFC, neither trimmed nor truncated (NIST SP 800-63B 3.1.1.2).
#[derive(Clone, Debug)]
pub struct Password {
    nfc: Secret<String>,
    /// The text as typed, if it is another one.
    typed: Option<Secret<String>>,
}

/// Reason why a password cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRejected {
    /// Longer than [`MAX_BYTES`].
    #[error("the password is longer than {MAX_BYTES} bytes: choose a shorter one")]
    TooLong,
    /// Shorter than configured, in characters.
    #[error("the password has {has} characters: choose one of at least {needs}")]
    TooShort {
        /// Length of the password.
        has: usize,
        /// Required length.
        needs: usize,
    },
    /// On the list of common passwords, or derived from one, from the login name or from the name of the app.
    #[error(
        "the password is easily guessed: choose one that is not a common password, a run of characters, or composed of these, the \
         login name or the name of the app"
    )]
    Guessable,
}

impl Password {
    /// Normalizes a password as typed.
    ///
    /// # Errors
    /// [`PasswordRejected::TooLong`].
    pub fn new(typed: &str) -> Result<Self, PasswordRejected> {
        if typed.len() > MAX_BYTES {
            return Err(PasswordRejected::TooLong);
        }
        let nfc: String = typed.nfc().collect();
        let typed = (nfc != typed).then(|| Secret::new(typed.to_owned()));
        Ok(Self { nfc: Secret::new(nfc), typed })
    }

    /// Checks whether it may be set for `login`, at an app called `brand` (NIST SP 800-63B section 3.1.1.2).
    ///
    /// # Errors
    /// The reason why it is not acceptable.
    pub fn acceptable(&self, login: &Login, brand: &str, min_length: usize) -> Result<(), PasswordRejected> {
        let text = self.nfc.expose();
        let has = text.chars().count();
        if has < min_length {
            return Err(PasswordRejected::TooShort { has, needs: min_length });
        }
        // Without these names the rest must still have half the required length and must not be common. Spaces and
        // punctuation are ignored in the comparison.
        let letters =
            |text: &str| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let whole = letters(text);
        let names = [letters(login.as_str()), letters(brand)];
        let without = names.iter().fold(whole.clone(), |left, name| left.replace(name, ""));
        let left = without.chars().count();
        let is_named = without.len() < whole.len();
        let made_of_names = is_named && (left * 2 < min_length || common::is_common(&without, &[]));
        if made_of_names || common::is_common(text, &names.each_ref().map(String::as_str)) {
            return Err(PasswordRejected::Guessable);
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.nfc.expose().as_bytes()
    }

    /// The forms that another program may have hashed, each once: NFC, and as typed.
    fn forms(&self) -> impl Iterator<Item = &[u8]> {
        [Some(&self.nfc), self.typed.as_ref()].into_iter().flatten().map(|text| text.expose().as_bytes())
    }
}

/// Returns a hash that no password matches: for users who have none. Comparing with it takes as long as with any other.
pub fn unusable_hash(random: &dyn Random) -> Secret<String> {
    argon::unusable(random)
}

/// Returns whether a stored hash is one that no password matches.
pub fn is_unusable_hash(stored: &Secret<String>) -> bool {
    StoredHash::parse(stored.expose()).is_ok_and(|hash| hash.is_no_password())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_guessable_passwords_are_rejected() {
        let login: Login = "ada.lovelace".parse().unwrap();
        let check = |text: &str| Password::new(text).unwrap().acceptable(&login, "Tower Clinic", 15);
        assert_eq!(check("пароль-пароль-1"), Ok(()));
        assert_eq!(check("fourteen chars"), Err(PasswordRejected::TooShort { has: 14, needs: 15 }));
        assert_eq!(check("aaaaaaaaaaaaaaaaaaaa"), Err(PasswordRejected::Guessable));
        assert_eq!(check("Ada.Lovelace1234"), Err(PasswordRejected::Guessable));
        for named in
            ["tower clinic 2024", "TowerClinic-2024", "ada_lovelace_2024", "AdaLovelace @ Tower-Clinic"]
        {
            assert_eq!(check(named), Err(PasswordRejected::Guessable), "{named}");
        }
        assert_eq!(check("Ada.Lovelace123456789"), Err(PasswordRejected::Guessable));
        assert_eq!(check("Password1234567"), Err(PasswordRejected::Guessable));
        for composed in ["tower clinic password", "password1password", "footballfootball1"] {
            assert_eq!(check(composed), Err(PasswordRejected::Guessable), "{composed}");
        }
        assert_eq!(check("a tower, a clinic, a bridge"), Ok(()));
        assert!(Password::new(&"x".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn equivalent_unicode_forms_are_one_password() {
        assert_eq!(Password::new("e\u{301}").unwrap().bytes(), Password::new("é").unwrap().bytes());
    }
}
