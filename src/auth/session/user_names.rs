//! Login names by user id, for tokens of release 0.1.0, which do not carry them.
//!
//! The session store keeps no names. A name belongs to its id for life, so a cached one stays true. A session that the
//! session store confirms is then served without a vault lookup.

use quick_cache::sync::Cache;

use crate::id::UserId;
use crate::identity::Login;

/// Bounded by count. An evicted name costs one vault lookup.
pub(crate) struct Logins(Cache<UserId, Login>);

impl Logins {
    pub(crate) fn new(max: usize) -> Self {
        Self(Cache::new(max))
    }

    pub(crate) fn of(&self, user: UserId) -> Option<Login> {
        self.0.get(&user)
    }

    pub(crate) fn keep(&self, user: UserId, login: Login) {
        self.0.insert(user, login);
    }
}
