//! The keys in use: built as a whole from the key table, and replaced as a whole when it changes.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::seal::MasterSecret;
pub use super::signing::DamagedKey;
use super::signing::{self, AccessKey};
use crate::clock::Timestamp;
use crate::config::Algorithm;
use crate::id::{Random, base64url};
use crate::secret::Secret;

/// Maximum time a JWKS may be cached. A new key is published [`PUBLISH_BEFORE_USE`] before it signs.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);

/// Time from publishing a key in the JWKS until it signs: twice the cache time of a JWKS, so that every verifier has
/// the key. A longer time only delays a rotation.
pub const PUBLISH_BEFORE_USE: Duration = Duration::from_secs(600);

/// Random bytes in the name of an access key: enough to be unique.
pub(super) const KID_BYTES: usize = 9;

/// Key material in clear text, with its validity.
pub struct OpenKey {
    /// Name of the key.
    pub kid: String,
    /// `EdDSA`, `ES256`, `RS256`, or `HS256` for refresh tokens.
    pub algorithm: String,
    /// The key material.
    pub material: Secret<Vec<u8>>,
    /// Time from which it signs.
    pub signs_from: Timestamp,
    /// Time until which it verifies; `None` while it has no successor.
    pub verifies_until: Option<Timestamp>,
}

impl OpenKey {
    /// Generates a key for access tokens.
    pub fn access(algorithm: Algorithm, random: &dyn Random) -> Self {
        Self::new_key(
            base64url(random.bytes::<KID_BYTES>()),
            signing::name(algorithm),
            signing::generate(algorithm),
        )
    }

    /// Generates a key for refresh tokens, named by the number stored in the token.
    pub fn refresh(kid: u8, random: &dyn Random) -> Self {
        Self::new_key(kid.to_string(), "HS256", Secret::new(random.bytes::<32>().to_vec()))
    }

    fn new_key(kid: String, algorithm: &str, material: Secret<Vec<u8>>) -> Self {
        let algorithm = algorithm.to_owned();
        Self { kid, algorithm, material, signs_from: Timestamp::EPOCH, verifies_until: None }
    }
}

/// A key and its validity.
struct Timed<K> {
    key: K,
    signs_from: Timestamp,
    verifies_until: Option<Timestamp>,
}

impl<K> Timed<K> {
    fn verifies(&self, now: Timestamp) -> bool {
        self.verifies_until.is_none_or(|until| now < until)
    }
}

/// A refresh-token key.
pub(super) struct RefreshKey {
    pub(super) kid: u8,
    pub(super) mac: hmac::Key,
}

/// State of one key, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// Name of the key, as in tokens.
    pub kid: String,
    /// Algorithm of its signatures.
    pub algorithm: String,
    /// `published` before it signs, `signing`, `verifying` after its successor signs, `retired`.
    pub stage: &'static str,
    /// Time from which it signs.
    pub signs_from: Timestamp,
    /// Time until which its tokens are accepted, once that is known.
    pub verifies_until: Option<Timestamp>,
}

/// The keys of one version of the key table; immutable.
pub struct KeySet {
    version: u64,
    access: Vec<Timed<AccessKey>>,
    refresh: Vec<Timed<RefreshKey>>,
}

impl KeySet {
    /// Loads every key. `master` is the secret from which the keys of sealed identities are derived.
    ///
    /// # Errors
    /// [`DamagedKey`] when a key does not match its stated algorithm.
    pub fn new(
        version: u64,
        access: &[OpenKey],
        refresh: &[OpenKey],
        master: &MasterSecret,
    ) -> Result<Self, DamagedKey> {
        let timed = |key: &OpenKey| (key.signs_from, key.verifies_until);
        let access = access.iter().map(|open| {
            let key = AccessKey::new(&open.kid, &open.algorithm, open.material.expose(), master)?;
            let (signs_from, verifies_until) = timed(open);
            Ok(Timed { key, signs_from, verifies_until })
        });
        let refresh = refresh.iter().map(|open| {
            let kid = open.kid.parse().map_err(|_| DamagedKey)?;
            let key = RefreshKey { kid, mac: hmac::Key::new(hmac::HMAC_SHA256, open.material.expose()) };
            let (signs_from, verifies_until) = timed(open);
            Ok(Timed { key, signs_from, verifies_until })
        });
        Ok(Self {
            version,
            access: access.collect::<Result<_, _>>()?,
            refresh: refresh.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the version of the key table, which cached verifications are bound to.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns the key that signs access tokens now: the one that started signing last.
    pub(super) fn access_signer(&self, now: Timestamp) -> Option<&AccessKey> {
        signer(&self.access, now)
    }

    /// Returns the access key with this header segment.
    pub(super) fn access_by_header(&self, header: &str, now: Timestamp) -> Option<&AccessKey> {
        self.access.iter().find(|k| k.key.header == header && k.verifies(now)).map(|k| &k.key)
    }

    /// Returns whether an access key of that name exists, even if it no longer verifies.
    pub(super) fn has_access_kid(&self, kid: &str) -> bool {
        self.access.iter().any(|k| k.key.jwk.get("kid").is_some_and(|known| known == kid))
    }

    /// Returns the number of the key that authenticates refresh tokens now.
    pub fn refresh_kid(&self, now: Timestamp) -> Option<u8> {
        signer(&self.refresh, now).map(|key| key.kid)
    }

    /// Returns the times since which the current access key and refresh key have signed.
    pub fn active_since(&self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        (signing(&self.access, now).map(|k| k.signs_from), signing(&self.refresh, now).map(|k| k.signs_from))
    }

    /// Returns the state of every key at `now`, the oldest first.
    pub fn list(&self, now: Timestamp) -> Vec<KeyState> {
        fn states<K>(
            keys: &[Timed<K>],
            now: Timestamp,
            name: impl Fn(&K) -> (String, String),
        ) -> Vec<KeyState> {
            let current = signing(keys, now).map(|key| key.signs_from);
            let state = |key: &Timed<K>| {
                let (kid, algorithm) = name(&key.key);
                let stage = match () {
                    () if !key.verifies(now) => "retired",
                    () if key.signs_from > now => "published",
                    () if Some(key.signs_from) == current => "signing",
                    () => "verifying",
                };
                KeyState {
                    kid,
                    algorithm,
                    stage,
                    signs_from: key.signs_from,
                    verifies_until: key.verifies_until,
                }
            };
            let mut states: Vec<_> = keys.iter().map(state).collect();
            states.sort_by_key(|state| state.signs_from);
            states
        }
        let member = |key: &AccessKey, name: &str| {
            key.jwk.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut all = states(&self.access, now, |key| (member(key, "kid"), member(key, "alg")));
        all.extend(states(&self.refresh, now, |key| (format!("refresh-{}", key.kid), "HS256".to_owned())));
        all
    }

    /// Returns a refresh key that still verifies.
    pub(super) fn refresh_by_kid(&self, kid: u8, now: Timestamp) -> Option<&RefreshKey> {
        self.refresh.iter().find(|k| k.key.kid == kid && k.verifies(now)).map(|k| &k.key)
    }

    /// Returns the public keys (RFC 7517), including those that do not sign yet.
    pub fn jwks(&self, now: Timestamp) -> Value {
        let keys: Vec<_> = self
            .access
            .iter()
            .filter(|k| k.verifies(now))
            .map(|k| Value::Object(k.key.jwk.clone()))
            .collect();
        json!({ "keys": keys })
    }
}

fn signer<K>(keys: &[Timed<K>], now: Timestamp) -> Option<&K> {
    signing(keys, now).map(|k| &k.key)
}

fn signing<K>(keys: &[Timed<K>], now: Timestamp) -> Option<&Timed<K>> {
    keys.iter().filter(|k| k.signs_from <= now && k.verifies(now)).max_by_key(|k| k.signs_from)
}

/// The current [`KeySet`], readable without a lock.
pub struct KeyRing(ArcSwap<KeySet>);

impl KeyRing {
    /// Creates a key ring with a set.
    pub fn new(keys: KeySet) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    /// Returns the current set.
    pub fn current(&self) -> Guard<Arc<KeySet>> {
        self.0.load()
    }

    /// Replaces the set, unless a newer one is in use.
    pub fn replace(&self, keys: KeySet) {
        let keys = Arc::new(keys);
        self.0.rcu(|now| if now.version > keys.version { Arc::clone(now) } else { Arc::clone(&keys) });
    }
}
