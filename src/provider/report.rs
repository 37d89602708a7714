//! Report of a connection test, for `doorward provider test`.

use std::time::Duration;

use crate::config::{Preset, SignatureAlgorithm};

/// Endpoints, keys and abilities that the provider publishes, fetched and checked.
#[derive(Clone, Debug)]
pub struct Report {
    /// Kind of provider.
    pub preset: Preset,
    /// Issuer.
    pub issuer: String,
    /// Authorization endpoint.
    pub authorization_endpoint: String,
    /// Token endpoint.
    pub token_endpoint: String,
    /// UserInfo endpoint. GitHub: its API.
    pub userinfo_endpoint: Option<String>,
    /// Key set.
    pub jwks_uri: Option<String>,
    /// Endpoint for a sign-out at the provider.
    pub end_session_endpoint: Option<String>,
    /// True if the provider announces back-channel logout.
    pub has_backchannel_logout: bool,
    /// True if the provider announces PKCE with S256. doorward always sends it.
    pub announces_pkce: bool,
    /// True if the provider announces `iss` in its authorization responses (RFC 9207).
    pub announces_issuer: bool,
    /// Algorithms of ID tokens that the provider announces, as it names them; at most 16.
    pub announced_algorithms: Vec<String>,
    /// Algorithms that are accepted here.
    pub accepted_algorithms: Vec<SignatureAlgorithm>,
    /// Number of keys that can verify a token.
    pub usable_keys: usize,
    /// Scopes that are requested here and not announced there.
    pub unknown_scopes: Vec<String>,
    /// Difference between the clocks, if the provider sent a `Date`.
    pub clock: Option<ClockDifference>,
}

/// Difference between the clock here and the provider's, to a second. Above 60 s tokens are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockDifference {
    /// The provider's clock is ahead, or the same.
    Ahead(Duration),
    /// The provider's clock is behind.
    Behind(Duration),
}
