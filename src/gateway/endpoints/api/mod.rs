//! Endpoints for programs: JSON in, JSON out.

pub(crate) mod account;
pub(crate) mod body;
pub(crate) mod sign_in;
