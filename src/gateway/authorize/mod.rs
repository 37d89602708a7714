//! The decision on a request: from its target and its credential to a `Permit`, an endpoint of ours or a refusal.
//!
//! In: the header section of a request. Out: a decision. Sends nothing and does not know the upstream's servers.

pub(crate) mod cors;
pub(crate) mod credential;
pub(crate) mod cross_origin;
pub(crate) mod cross_site_form;
pub(crate) mod decision;
pub(crate) mod navigation;
pub(crate) mod silent_renewal;
