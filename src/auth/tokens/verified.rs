//! Verified tokens: what a signature check (tens of microseconds) found, remembered under SHA-256 of the token.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use crate::auth::Settings;
use crate::auth::session::live::Slot;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::token::Digest;
use crate::token::access::Verified;
use crate::token::keyring::KeySet;

/// What a verification rests on beside the token: under other keys, or for another issuer or audience, it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    keys: u64,
    profile: u64,
}

impl Basis {
    pub(crate) fn of(keys: &KeySet, settings: &Settings) -> Self {
        Self { keys: keys.version(), profile: settings.profile_number }
    }
}

/// A token that was found good.
pub(crate) struct CachedToken {
    pub(crate) verified: Verified,
    pub(crate) basis: Basis,
    pub(crate) slot: Arc<Slot>,
    /// Made when the whole check was first passed, so that the next one costs no allocation.
    pub(crate) identity: std::sync::OnceLock<Arc<Identity>>,
}

/// The entry, its slot and identity with their texts, and the maps around them: 1,270 bytes of resident memory with one
/// role and a name of 21 letters (`cargo bench --bench local_memory`, 100,000 sessions), and a little for longer names.
const ENTRY_BYTES: u64 = 1275;
/// And for every role, in the token and in the identity.
const ROLE_BYTES: u64 = 64;

#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<CachedToken>> for Weight {
    fn weight(&self, _: &Digest, known: &Arc<CachedToken>) -> u64 {
        ENTRY_BYTES + ROLE_BYTES * known.verified.subject.roles.iter().len() as u64
    }
}

/// Counts what falls out.
#[derive(Clone)]
struct Evictions(Arc<Metrics>);

impl Lifecycle<Digest, Arc<CachedToken>> for Evictions {
    /// Dropped when no lock of the cache is held: the last handle of a slot takes another.
    type RequestState = Vec<Arc<CachedToken>>;

    fn on_evict(&self, evicted: &mut Vec<Arc<CachedToken>>, _: Digest, known: Arc<CachedToken>) {
        self.0.tokens.cache_evictions.inc();
        evicted.push(known);
    }
}

/// How many tokens of one role fit into so many bytes.
pub(crate) fn entries(bytes: u64) -> usize {
    usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX).max(16)
}

/// Bounded by weight; an entry that falls out only costs its token another signature check.
pub(crate) struct VerifiedTokens(Cache<Digest, Arc<CachedToken>, Weight, DefaultHashBuilder, Evictions>);

impl VerifiedTokens {
    pub(crate) fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        let (most, hasher) = (bytes.max(16 * ENTRY_BYTES), DefaultHashBuilder::default());
        Self(Cache::with(entries(bytes), most, Weight, hasher, Evictions(metrics)))
    }

    /// Tokens held, their weight, and what it may be.
    pub(crate) fn size(&self) -> (usize, u64, u64) {
        (self.0.len(), self.0.weight(), self.0.capacity())
    }

    pub(crate) fn find(&self, digest: &Digest) -> Option<Arc<CachedToken>> {
        self.0.get(digest)
    }

    pub(crate) fn keep(&self, digest: Digest, known: Arc<CachedToken>) {
        self.0.insert(digest, known);
    }

    pub(crate) fn forget(&self, digest: &Digest) {
        self.0.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::LiveSessions;
    use crate::clock::Timestamp;
    use crate::id::{Random, SessionId, SystemRandom, UserId};
    use crate::identity::{RightsVersion, Roles};
    use crate::token::access::Subject;

    /// How many of a thousand tokens with these roles are still remembered.
    fn remembered(bytes: u64, roles: &[&str]) -> usize {
        let (tokens, live) =
            (VerifiedTokens::new(bytes, Arc::new(Metrics::new())), Arc::new(LiveSessions::new()));
        let random: &dyn Random = &SystemRandom;
        let digests: Vec<Digest> = (0..1000).map(|_| random.bytes()).collect();
        for digest in &digests {
            let (session_id, user_id) = (SessionId::random(random), UserId::random(random));
            let roles = Roles::parse(roles.iter().copied()).unwrap();
            let subject = Subject { session_id, user_id, roles, rights: RightsVersion(0) };
            let verified = Verified { subject, expires_at: Timestamp::from_secs(4_000_000_000) };
            let basis = Basis { keys: 1, profile: 1 };
            let (slot, identity) = (live.slot(session_id), std::sync::OnceLock::new());
            tokens.keep(*digest, Arc::new(CachedToken { verified, basis, slot, identity }));
        }
        digests.iter().filter(|digest| tokens.find(digest).is_some()).count()
    }

    #[test]
    fn as_many_are_remembered_as_fit_into_the_memory_for_them() {
        let bytes = 500 * (ENTRY_BYTES + ROLE_BYTES);
        let of_one_role = remembered(bytes, &["staff"]);
        assert!((250..=500).contains(&of_one_role), "{of_one_role}");
        let names: Vec<String> = (0..20).map(|at| format!("role-{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let of_many_roles = remembered(bytes, &names);
        let of_twenty = 500 * (ENTRY_BYTES + ROLE_BYTES) / (ENTRY_BYTES + 20 * ROLE_BYTES);
        assert!(of_many_roles as u64 <= of_twenty, "{of_many_roles}: roles take memory, too");
        assert_eq!(remembered(1 << 30, &["staff"]), 1000);
    }
}
