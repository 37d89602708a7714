//! Tokens handed out and recognised: grants, refresh, renewal, signing keys, verified tokens.

pub(crate) mod grant;
pub mod keys;
pub(crate) mod last_token;
pub(crate) mod refresh;
pub(crate) mod renew;
pub(crate) mod verified;
