//! Verified tokens: what a signature check (tens of microseconds) found, remembered under SHA-256 of the token.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::live::Slot;
use crate::identity::Identity;
use crate::token::access::Verified;

/// The digest of a whole token.
pub(super) type Digest = [u8; 32];

/// A token that was found good, under a version of the keys.
pub(super) struct Known {
    pub(super) verified: Verified,
    pub(super) keys_version: u64,
    pub(super) slot: Arc<Slot>,
    /// Made when the whole check was first passed, so that the next one costs no allocation.
    pub(super) identity: std::sync::OnceLock<Arc<Identity>>,
}

/// The entry, its slot and identity with their texts, and the maps around them: 1,246 bytes of resident memory with one
/// role and a name of 21 letters (`cargo bench --bench local_memory`, 100,000 sessions), and a little for longer names.
const ENTRY_BYTES: u64 = 1250;
/// And for every role, in the token and in the identity.
const ROLE_BYTES: u64 = 64;

#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<Known>> for Weight {
    fn weight(&self, _: &Digest, known: &Arc<Known>) -> u64 {
        ENTRY_BYTES + ROLE_BYTES * known.verified.subject.roles.iter().len() as u64
    }
}

/// How many tokens of one role fit into so many bytes.
pub(super) fn entries(bytes: u64) -> usize {
    usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX).max(16)
}

/// Bounded by weight; an entry that falls out only costs its token another signature check.
pub(super) struct VerifiedTokens(Cache<Digest, Arc<Known>, Weight>);

impl VerifiedTokens {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Cache::with_weighter(entries(bytes), bytes.max(16 * ENTRY_BYTES), Weight))
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Arc<Known>> {
        self.0.get(digest)
    }

    pub(super) fn keep(&self, digest: Digest, known: Arc<Known>) {
        self.0.insert(digest, known);
    }

    pub(super) fn forget(&self, digest: &Digest) {
        self.0.remove(digest);
    }
}
