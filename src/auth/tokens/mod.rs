//! Tokens: grants, refresh, renewal, signing keys, cache of verified tokens.

pub(crate) mod assertions;
pub(crate) mod grant;
pub mod keys;
pub(crate) mod named;
pub(crate) mod refresh;
pub(crate) mod renew;
pub(crate) mod role_lists;
pub(crate) mod verified;
