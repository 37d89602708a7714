//! The contract of every vault: one function per sentence of the traits' documentation.

pub(crate) mod attributes;
pub(crate) mod audit;
pub(crate) mod factors;
pub(crate) mod identities;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod provider_sessions;
pub(crate) mod races;
pub(crate) mod renewal;
pub(crate) mod revocation;
pub(crate) mod rotation;
pub(crate) mod sessions;
pub(crate) mod touch;
pub(crate) mod users;
pub(crate) mod world;

pub(crate) use audit::trail;
pub(crate) use users::{import, mail};
