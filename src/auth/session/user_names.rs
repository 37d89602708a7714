//! Whose user id is whose login name, as far as this replica has seen them.
//!
//! A session store keeps no names. A name belongs to its id for life, so what was seen once stays true: a session
//! that the session store vouches for is then served without a question to the vault.

use quick_cache::sync::Cache;

use crate::id::UserId;
use crate::identity::Login;

/// Bounded by count: a name that falls out costs one question to the vault.
pub(crate) struct Logins(Cache<UserId, Login>);

impl Logins {
    pub(crate) fn new(most: usize) -> Self {
        Self(Cache::new(most))
    }

    pub(crate) fn of(&self, user: UserId) -> Option<Login> {
        self.0.get(&user)
    }

    pub(crate) fn keep(&self, user: UserId, login: Login) {
        self.0.insert(user, login);
    }
}
