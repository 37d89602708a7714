//! Passwords: acceptance rules, look-ups of leaked ones, and hashing on a bounded set of threads.
//!
//! [`pool`] owns the threads. New hashes are argon2id with the newest pepper; hashes of other programs are verified and replaced.
//! Nothing here depends on users or stores.

use unicode_normalization::UnicodeNormalization;

use crate::error::PasswordFault;
use crate::id::Random;
use crate::secret::Secret;

mod argon;
pub mod breached;
mod budget;
mod census;
mod foreign;
mod keycloak;
mod notation;
mod pepper;
pub mod pool;
mod rules;
mod stored;

pub use breached::BreachedPasswords;
pub use census::{HashGroup, HashState};
pub use keycloak::read_keycloak_hash;
pub use notation::read_hash;
pub use pepper::Peppers;
pub use pool::{Hasher, HasherBusy, Verdict};
pub use rules::{Names, PasswordRules, Person};
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

impl Password {
    /// Normalizes a password as typed.
    ///
    /// # Errors
    /// [`PasswordFault::TooLong`].
    pub fn new(typed: &str) -> Result<Self, PasswordFault> {
        if typed.len() > MAX_BYTES {
            return Err(PasswordFault::TooLong { limit: MAX_BYTES });
        }
        let nfc: String = typed.nfc().collect();
        let typed = (nfc != typed).then(|| Secret::new(typed.to_owned()));
        Ok(Self { nfc: Secret::new(nfc), typed })
    }

    fn text(&self) -> &str {
        self.nfc.expose()
    }

    fn bytes(&self) -> &[u8] {
        self.text().as_bytes()
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
    fn length_is_limited_before_any_work() {
        assert!(Password::new(&"x".repeat(MAX_BYTES)).is_ok());
        let limit = MAX_BYTES;
        assert_eq!(Password::new(&"x".repeat(limit + 1)).unwrap_err(), PasswordFault::TooLong { limit });
    }

    #[test]
    fn equivalent_unicode_forms_are_one_password() {
        assert_eq!(Password::new("e\u{301}").unwrap().bytes(), Password::new("é").unwrap().bytes());
    }
}
