//! Assertions for apps: one signature per session, app and half minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;

use crate::auth::tokens::verified::Basis;
use crate::auth::{Auth, Settings};
use crate::clock::Monotonic;
use crate::id::SessionId;
use crate::identity::{Attributes, Identity, Login, Roles};
use crate::token::assertion;

/// Time for which an assertion is sent again: half its lifetime, so that each has as much left when the app gets it.
const KEPT: Duration = Duration::from_secs(30);

/// Number of parts with a lock of their own.
const SHARDS: usize = 16;

/// Maximum number of assertions of a generation in a shard, 16,384 altogether: about 30 MiB with long names and many roles. With more
/// sessions and apps at the same time, some assertions are signed more often.
const ENTRIES: usize = 512;

/// An assertion, and what it says beside session and app.
struct Made {
    value: HeaderValue,
    at: Monotonic,
    basis: Basis,
    login: Login,
    roles: Roles,
    attributes: Attributes,
}

impl Made {
    /// Returns whether it can be sent for this request.
    fn is_about(&self, identity: &Identity, now: Monotonic, basis: Basis) -> bool {
        now.since(self.at) < KEPT
            && self.basis == basis
            && self.login == *identity.login()
            && self.roles == *identity.roles()
            && self.attributes == *identity.attributes()
    }
}

type Generation = HashMap<(SessionId, Arc<str>), Made>;

/// Two generations, so that old entries are dropped without a search.
#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
    /// Time at which the young generation began.
    began: Option<Monotonic>,
}

impl Shard {
    fn find(&self, key: &(SessionId, Arc<str>)) -> Option<&Made> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn keep(&mut self, key: (SessionId, Arc<str>), made: Made) {
        let is_over = self.began.is_none_or(|began| made.at.since(began) >= KEPT);
        if is_over || self.young.len() >= ENTRIES {
            self.began = Some(made.at);
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, made);
    }
}

/// Assertions made lately.
#[derive(Default)]
pub(crate) struct Assertions([Mutex<Shard>; SHARDS]);

impl Assertions {
    /// Session ids are random, so their last byte spreads them.
    fn shard(&self, session_id: SessionId) -> &Mutex<Shard> {
        &self.0[usize::from(session_id.as_bytes()[15]) % SHARDS]
    }
}

impl Auth {
    /// Returns the assertion about `identity` for the app `audience`, as a header value. `None` while no key signs yet.
    pub fn assertion(
        &self,
        identity: &Identity,
        audience: &Arc<str>,
        settings: &Settings,
    ) -> Option<HeaderValue> {
        let keys = self.parts.keys.current();
        let (now, basis) = (self.parts.clock.monotonic(), Basis::of(&keys, settings));
        let key = (identity.session_id(), Arc::clone(audience));
        let shard = self.assertions.shard(key.0);
        {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(made) = shard.find(&key).filter(|made| made.is_about(identity, now, basis)) {
                return Some(made.value.clone());
            }
        }
        // Signed without the lock: two requests at the same time may both sign.
        let text = assertion::issue(&settings.profile.issuer, audience, identity, self.vault_now(), &keys)?;
        let value = HeaderValue::try_from(text).expect("base64url and dots are ASCII");
        let made = Made {
            value: value.clone(),
            at: now,
            basis,
            login: identity.login().clone(),
            roles: identity.roles().clone(),
            attributes: identity.attributes().clone(),
        };
        shard.lock().unwrap_or_else(PoisonError::into_inner).keep(key, made);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> (SessionId, Arc<str>) {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        (SessionId::from_bytes(id), Arc::from("app"))
    }

    fn made(seconds: u64) -> Made {
        Made {
            value: HeaderValue::from_static("a.b.c"),
            at: Monotonic::from_millis(seconds * 1000),
            basis: Basis::for_test(1),
            login: "ada".parse().unwrap(),
            roles: Roles::default(),
            attributes: Attributes::NONE,
        }
    }

    #[test]
    fn shard_is_bounded_and_drops_old_entries() {
        let mut shard = Shard::default();
        for number in 0..10_000 {
            shard.keep(key(number), made(0));
            assert!(shard.young.len() + shard.old.len() <= 2 * ENTRIES);
        }
        assert!(shard.find(&key(9_999)).is_some() && shard.find(&key(9_999 - ENTRIES as u64)).is_some());
        assert!(shard.find(&key(0)).is_none());
        // Entries of an earlier half minute stay for one more, and no longer.
        shard.keep(key(20_000), made(30));
        assert!(shard.find(&key(9_999)).is_some());
        shard.keep(key(20_001), made(60));
        assert!(shard.find(&key(9_999)).is_none() && shard.find(&key(20_000)).is_some());
    }
}
