//! Relying party of OpenID Connect 1.0, and OAuth 2.0 client of GitHub.
//!
//! A sign-in has two halves. [`Provider::authorization_url`] sends the browser to the provider, with a [`Flow`] sealed
//! into a cookie of that browser. The provider sends the browser back with a [`Callback`]; [`FlowKey::open`] finds the
//! flow that belongs to it, and [`Provider::redeem`] exchanges the code for a [`Person`]. Later [`Provider::recheck`]
//! asks the provider again, and [`Provider::verify_logout_token`] reads its logout tokens.
//!
//! This module knows nothing of users, sessions, cookies and pages. It returns what the provider states, after every
//! check that can be made without them.

mod authorization;
mod cache;
mod callback;
mod claims;
mod error;
mod flow;
mod github;
mod oidc;
mod person;
mod relying_party;
mod report;
mod token_endpoint;

pub use authorization::{AuthorizationRequest, EndSession, Prompt, SignOutThere};
pub use callback::{BadCallback, Callback};
pub use error::{DiscoveryError, Endpoint, ProviderError, TokenError};
pub use flow::{FLOW_LIFETIME, Flow, FlowError, FlowKey, FlowPurpose, FlowStart, cookie_suffix};
pub use person::{
    Account, Admission, LogoutToken, MappedRoles, NotAdmitted, Person, Recheck, RotatedToken, UndecidedClaim,
};
pub use relying_party::Provider;
pub use report::{ClockDifference, Report};

#[cfg(test)]
mod tests;
