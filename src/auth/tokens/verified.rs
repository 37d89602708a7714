//! Cache of verified tokens, keyed by SHA-256 of the token. It saves the signature check (tens of microseconds).

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use crate::auth::Settings;
use crate::auth::session::live::Slot;
use crate::metrics::Metrics;
use crate::token::Digest;
use crate::token::access::Verified;
use crate::token::keyring::KeySet;

/// Keys and profile under which a token was verified. With other keys, issuer or audience it is verified again.
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

/// A verified token.
pub(crate) struct CachedToken {
    pub(crate) verified: Verified,
    pub(crate) basis: Basis,
    pub(crate) slot: Arc<Slot>,
}

/// Memory of an entry with its slot, its identity, their texts and the maps around them: 1,270 bytes resident with one
/// role and a name of 21 letters (`cargo bench --bench local_memory`, 100,000 sessions). Longer names take a little
/// more.
const ENTRY_BYTES: u64 = 1275;
/// Additional memory of each role, in the token and in the identity.
const ROLE_BYTES: u64 = 64;

#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<CachedToken>> for Weight {
    fn weight(&self, _: &Digest, cached: &Arc<CachedToken>) -> u64 {
        ENTRY_BYTES + ROLE_BYTES * cached.verified.subject.roles.iter().len() as u64
    }
}

/// Counts evictions.
#[derive(Clone)]
struct Evictions(Arc<Metrics>);

impl Lifecycle<Digest, Arc<CachedToken>> for Evictions {
    /// Dropped when no lock of the cache is held: dropping the last handle of a slot takes a lock.
    type RequestState = Vec<Arc<CachedToken>>;

    fn on_evict(&self, evicted: &mut Vec<Arc<CachedToken>>, _: Digest, cached: Arc<CachedToken>) {
        self.0.tokens.cache_evictions.inc();
        evicted.push(cached);
    }
}

/// Returns the number of tokens with one role that fit into `bytes`.
pub(crate) fn entries(bytes: u64) -> usize {
    usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX).max(16)
}

/// Bounded by weight. An evicted token only costs another signature check.
pub(crate) struct VerifiedTokens(Cache<Digest, Arc<CachedToken>, Weight, DefaultHashBuilder, Evictions>);

impl VerifiedTokens {
    pub(crate) fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        let (max_bytes, hasher) = (bytes.max(16 * ENTRY_BYTES), DefaultHashBuilder::default());
        Self(Cache::with(entries(bytes), max_bytes, Weight, hasher, Evictions(metrics)))
    }

    /// Returns the number of tokens, their weight, and the maximum weight.
    pub(crate) fn size(&self) -> (usize, u64, u64) {
        (self.0.len(), self.0.weight(), self.0.capacity())
    }

    pub(crate) fn find(&self, digest: &Digest) -> Option<Arc<CachedToken>> {
        self.0.get(digest)
    }

    pub(crate) fn keep(&self, digest: Digest, cached: Arc<CachedToken>) {
        self.0.insert(digest, cached);
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

    /// Returns the number of tokens with these roles, of a thousand, that are still cached.
    fn still_cached(bytes: u64, roles: &[&str]) -> usize {
        let (tokens, live) =
            (VerifiedTokens::new(bytes, Arc::new(Metrics::new())), Arc::new(LiveSessions::new()));
        let random: &dyn Random = &SystemRandom;
        let digests: Vec<Digest> = (0..1000).map(|_| random.bytes()).collect();
        for digest in &digests {
            let (session_id, user_id) = (SessionId::random(random), UserId::random(random));
            let roles = Roles::parse(roles.iter().copied()).unwrap();
            let subject =
                Subject { session_id, user_id, roles, rights: RightsVersion(0), generation: 0, login: None };
            let verified = Verified { subject, expires_at: Timestamp::from_secs(4_000_000_000) };
            let basis = Basis { keys: 1, profile: 1 };
            let slot = live.slot(session_id);
            tokens.keep(*digest, Arc::new(CachedToken { verified, basis, slot }));
        }
        digests.iter().filter(|digest| tokens.find(digest).is_some()).count()
    }

    #[test]
    fn cache_keeps_as_many_tokens_as_fit() {
        let bytes = 500 * (ENTRY_BYTES + ROLE_BYTES);
        let with_one_role = still_cached(bytes, &["staff"]);
        assert!((250..=500).contains(&with_one_role), "{with_one_role}");
        let names: Vec<String> = (0..20).map(|at| format!("role-{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let with_many_roles = still_cached(bytes, &names);
        let max_with_twenty = 500 * (ENTRY_BYTES + ROLE_BYTES) / (ENTRY_BYTES + 20 * ROLE_BYTES);
        assert!(with_many_roles as u64 <= max_with_twenty, "{with_many_roles}: roles take memory, too");
        assert_eq!(still_cached(1 << 30, &["staff"]), 1000);
    }
}
