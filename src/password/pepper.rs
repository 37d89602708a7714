//! Peppers: secret keys that enter every hash, kept apart from the vault.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{Pepper, PepperId};
use crate::secret::Secret;

/// The configured peppers, newest first.
#[derive(Debug, Default)]
pub struct Peppers(Vec<(PepperId, Secret<Vec<u8>>)>);

impl Peppers {
    /// Takes the keys from a checked configuration.
    pub fn new(configured: &[Pepper]) -> Self {
        let decode = |pepper: &Pepper| {
            // The configuration has checked the text.
            let key = URL_SAFE_NO_PAD.decode(pepper.key.expose()).unwrap_or_default();
            (pepper.id.clone(), Secret::new(key))
        };
        Self(configured.iter().map(decode).collect())
    }

    /// Returns the pepper of new hashes, if there is one.
    pub(super) fn current(&self) -> Option<(&PepperId, &[u8])> {
        self.0.first().map(|(id, key)| (id, key.expose().as_slice()))
    }

    /// Returns the key of a pepper.
    pub(super) fn key(&self, id: &PepperId) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, key)| key.expose().as_slice())
    }

    /// Returns whether this pepper is configured.
    pub fn has(&self, id: &PepperId) -> bool {
        self.key(id).is_some()
    }
}
