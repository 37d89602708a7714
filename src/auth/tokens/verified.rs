//! Cache of verified tokens, by a fingerprint of the token. It saves the signature check (tens of microseconds).

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};
use siphasher::sip128::{Hash128, SipHasher24};

use crate::auth::Settings;
use crate::auth::session::live::Slot;
use crate::auth::tokens::named::Named;
use crate::clock::Timestamp;
use crate::id::{Random, UserId};
use crate::identity::{Proof, RightsVersion, Roles};
use crate::metrics::Metrics;
#[cfg(doc)]
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

    /// Any basis, for tests of what keeps one.
    #[cfg(test)]
    pub(crate) const fn for_test(keys: u64) -> Self {
        Self { keys, profile: 0 }
    }
}

/// A verified token: what is needed of [`Verified`], without the session's id, which its slot has.
pub(crate) struct CachedToken {
    pub(crate) user_id: UserId,
    pub(crate) named: Named,
    pub(crate) roles: Roles,
    pub(crate) rights: RightsVersion,
    pub(crate) generation: u32,
    pub(crate) proof: Proof,
    pub(crate) expires_at: Timestamp,
    pub(crate) basis: Basis,
    pub(crate) slot: Arc<Slot>,
}

/// Memory of an entry with its slot, its name and the maps around them: 399 bytes resident with a short name (`cargo bench
/// --bench local_memory`, 100,000 sessions). Longer names take a little more.
const ENTRY_BYTES: u64 = 400;
/// Additional memory of each role, if no other token has the same roles.
const ROLE_BYTES: u64 = 64;

/// SipHash-2-4 of a token, 128 bits, under a key of this process. Nobody outside can tell whether two tokens share one; a
/// guess succeeds with a chance of the number of cached tokens in 2^128. SHA-256 takes 17,000 instructions on a processor without
/// SHA instructions (docs/benchmarks.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u64; 2]);

#[derive(Clone)]
struct Weight;

impl Weighter<Fingerprint, Arc<CachedToken>> for Weight {
    fn weight(&self, _: &Fingerprint, cached: &Arc<CachedToken>) -> u64 {
        ENTRY_BYTES + cached.named.additional_bytes() + ROLE_BYTES * cached.roles.iter().len() as u64
    }
}

/// Counts evictions.
#[derive(Clone)]
struct Evictions(Arc<Metrics>);

impl Lifecycle<Fingerprint, Arc<CachedToken>> for Evictions {
    /// Dropped when no lock of the cache is held: dropping the last handle of a slot takes a lock.
    type RequestState = Vec<Arc<CachedToken>>;

    fn on_evict(&self, evicted: &mut Vec<Arc<CachedToken>>, _: Fingerprint, cached: Arc<CachedToken>) {
        self.0.tokens.cache_evictions.inc();
        evicted.push(cached);
    }
}

/// Returns the number of tokens with one role that fit into `bytes`.
pub(crate) fn entries(bytes: u64) -> usize {
    usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX).max(16)
}

/// Bounded by weight. An evicted token only costs another signature check.
pub(crate) struct VerifiedTokens {
    hasher: SipHasher24,
    cache: Cache<Fingerprint, Arc<CachedToken>, Weight, DefaultHashBuilder, Evictions>,
}

impl VerifiedTokens {
    pub(crate) fn new(bytes: u64, random: &dyn Random, metrics: Arc<Metrics>) -> Self {
        let (max_bytes, hasher) = (bytes.max(16 * ENTRY_BYTES), DefaultHashBuilder::default());
        let cache = Cache::with(entries(bytes), max_bytes, Weight, hasher, Evictions(metrics));
        Self { hasher: SipHasher24::new_with_key(&random.bytes()), cache }
    }

    pub(crate) fn fingerprint(&self, token: &str) -> Fingerprint {
        let Hash128 { h1, h2 } = self.hasher.hash(token.as_bytes());
        Fingerprint([h1, h2])
    }

    /// Returns the number of tokens, their weight, and the maximum weight.
    pub(crate) fn size(&self) -> (usize, u64, u64) {
        (self.cache.len(), self.cache.weight(), self.cache.capacity())
    }

    pub(crate) fn find(&self, token: Fingerprint) -> Option<Arc<CachedToken>> {
        self.cache.get(&token)
    }

    pub(crate) fn keep(&self, token: Fingerprint, cached: Arc<CachedToken>) {
        self.cache.insert(token, cached);
    }

    pub(crate) fn forget(&self, token: Fingerprint) {
        self.cache.remove(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::LiveSessions;
    use crate::id::{SessionId, SystemRandom};
    use crate::identity::Attributes;

    /// Returns the number of tokens with these roles, of a thousand, that are still cached.
    fn still_cached(bytes: u64, roles: &[&str]) -> usize {
        let random: &dyn Random = &SystemRandom;
        let (tokens, live) =
            (VerifiedTokens::new(bytes, random, Arc::new(Metrics::new())), Arc::new(LiveSessions::new()));
        let fingerprints: Vec<_> = (0..1000).map(|at| tokens.fingerprint(&format!("token {at}"))).collect();
        for fingerprint in &fingerprints {
            let cached = CachedToken {
                user_id: UserId::random(random),
                named: Named::new(None, Attributes::NONE),
                roles: Roles::parse(roles.iter().copied()).unwrap(),
                rights: RightsVersion(0),
                generation: 0,
                proof: Proof::NONE,
                expires_at: Timestamp::from_secs(4_000_000_000),
                basis: Basis { keys: 1, profile: 1 },
                slot: live.slot(SessionId::random(random)),
            };
            tokens.keep(*fingerprint, Arc::new(cached));
        }
        fingerprints.iter().filter(|token| tokens.find(**token).is_some()).count()
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

    #[test]
    fn similar_tokens_have_different_fingerprints_and_each_process_its_own() {
        let new = || VerifiedTokens::new(0, &SystemRandom, Arc::new(Metrics::new()));
        let (one, other) = (new(), new());
        let token = "header.claims.signature";
        assert_eq!(one.fingerprint(token), one.fingerprint(token));
        assert_ne!(one.fingerprint(token), other.fingerprint(token));
        for at in 0..token.len() {
            let mut similar = token.to_owned();
            similar.replace_range(at..=at, "~");
            assert_ne!(one.fingerprint(&similar), one.fingerprint(token), "{at}");
            assert_ne!(one.fingerprint(&token[..at]), one.fingerprint(token), "{at}");
        }
    }
}
