//! JSON API of the endpoints, for programs.
//!
//! In: a call with a JSON object. Out: JSON or a refusal. Must not know: pages, forms.

pub(crate) mod account;
pub(crate) mod body;
pub(crate) mod sign_in;
