//! Authorization: from a request's target and credential to a `Permit`, an endpoint of the gateway, or a refusal.
//!
//! In: the header section of a request. Out: a decision, the form of its refusal, and cookies to set. Must not know: the upstream's
//! servers, the app's response.

pub(crate) mod authentication;
pub(crate) mod cors;
pub(crate) mod credential;
pub(crate) mod cross_origin;
pub(crate) mod cross_site_form;
pub(crate) mod form_encoding;
pub(crate) mod header_checks;
pub(crate) mod navigation;
pub(crate) mod path_routes;
pub(crate) mod pipeline;
pub(crate) mod set_cookies;
