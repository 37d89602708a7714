//! OpenID Connect: what a provider publishes, and its signed tokens.

pub(super) mod discovery;
pub(super) mod id_token;
pub(super) mod issuer;
pub(super) mod jws;
pub(super) mod keys;
pub(super) mod logout_token;
