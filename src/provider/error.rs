//! Failures of a sign-in at a provider. Each has a word for logs and metrics; none quotes the provider's text, a code, a
//! state or a token.

use std::fmt;

use crate::outbound::OutboundError;

/// Endpoint of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Discovery document (`/.well-known/openid-configuration`).
    Discovery,
    /// Key set (`jwks_uri`).
    Keys,
    /// Token endpoint.
    Token,
    /// UserInfo endpoint.
    UserInfo,
    /// GitHub's API.
    Api,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovery => "discovery document",
            Self::Keys => "key set",
            Self::Token => "token endpoint",
            Self::UserInfo => "UserInfo endpoint",
            Self::Api => "API",
        })
    }
}

/// Reason why a sign-in or a recheck failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider could not be reached, or gave no usable response.
    #[error("{0}: {1}")]
    Away(Endpoint, OutboundError),
    /// Too many sign-ins wait for this provider.
    #[error("too many sign-ins wait for the provider")]
    Busy,
    /// The response is not what the protocol asks for.
    #[error("{0}: {1}")]
    Malformed(Endpoint, &'static str),
    /// The provider refuses the request. The code is one of those that the specifications name, or `other`.
    #[error("the provider answers {0}")]
    Denied(&'static str),
    /// The provider ended the grant, or the code is void (`invalid_grant`).
    #[error("the provider answers invalid_grant")]
    InvalidGrant,
    /// The token endpoint refuses this client: its id, secret, key or redirect address.
    #[error("the token endpoint answers {0}: check client_id, its secret, and the redirect address")]
    ClientRefused(&'static str),
    /// The discovery document cannot be used.
    #[error("discovery document: {0}")]
    Discovery(DiscoveryError),
    /// The response came from another issuer than the request went to, or does not say which (RFC 9207).
    #[error("the response is not from the issuer that the browser was sent to")]
    MixUp,
    /// The flow is of another provider, or began before the provider's settings changed.
    #[error("the flow does not belong to this provider")]
    OtherProvider,
    /// The ID token or logout token is not valid.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// The person is another one than before.
    #[error("the response is about another subject")]
    OtherSubject,
    /// The provider did not grant a scope that the configuration needs.
    #[error("the provider did not grant the scope {0}")]
    ScopeMissing(&'static str),
}

/// Reason why a discovery document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Its issuer is not, byte for byte, the configured one.
    #[error("it is of the issuer {0:?}: write exactly that as issuer, or correct it at the provider")]
    OtherIssuer(String),
    /// It has no such endpoint.
    #[error("it has no {0}")]
    NoEndpoint(&'static str),
    /// An endpoint is not a URL that may be fetched.
    #[error("its {0} is not an https URL")]
    BadEndpoint(&'static str),
    /// No algorithm of its ID tokens is accepted here.
    #[error(
        "its ID tokens are signed with {0}: add one of them to algorithms, or choose another at the provider"
    )]
    NoAlgorithm(String),
    /// Its ID tokens are only signed with the client secret.
    #[error(
        "its ID tokens are signed with HS256 and the client secret: choose a signing key at the provider"
    )]
    Symmetric,
}

/// Reason why a signed token is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a signed JWT with the claims that it must have, each of its type.
    #[error("the token is malformed")]
    Malformed,
    /// Signed with an algorithm that is not accepted.
    #[error("the token is signed with an algorithm that is not in algorithms")]
    Algorithm,
    /// Signed with the client secret.
    #[error("the token is signed with HS256 and the client secret: choose a signing key at the provider")]
    Symmetric,
    /// A token of another kind (`typ`), such as an access token.
    #[error("the token is of another kind")]
    Kind,
    /// No key of the provider has this name and kind.
    #[error("no key of the provider fits the token")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Token of another issuer, or signed with a key of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// Token of a tenant that is not listed.
    #[error("the token is of a tenant that is not in tenants")]
    Tenant,
    /// Issued for another client.
    #[error("the token is for another client")]
    Audience,
    /// Expired.
    #[error("the token has expired; check the clocks")]
    Expired,
    /// Not valid yet, or issued in the future or long ago.
    #[error("the token is not of now; check the clocks")]
    Time,
    /// Without the flow's nonce, or a logout token with one.
    #[error("the token's nonce is wrong")]
    Nonce,
    /// `at_hash` is of another access token.
    #[error("the token is of another access token")]
    AccessTokenHash,
    /// Without the event of a back-channel logout.
    #[error("the token is not a logout token")]
    Event,
    /// The sign-in at the provider is older than was asked for (`max_age`).
    #[error("the sign-in at the provider is too old")]
    AuthTime,
}

impl ProviderError {
    /// Returns the word for logs and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Away(_, error) => match error {
                OutboundError::Timeout => "provider_timeout",
                OutboundError::Tls(_) => "provider_tls",
                OutboundError::Refused { .. } => "provider_address_refused",
                OutboundError::TooLarge(_) => "provider_response_too_large",
                OutboundError::Status(_) => "provider_status",
                _ => "provider_unreachable",
            },
            Self::Busy => "provider_busy",
            Self::Malformed(..) => "provider_response_malformed",
            Self::Denied(_) => "provider_denied",
            Self::InvalidGrant => "provider_invalid_grant",
            Self::ClientRefused(_) => "provider_client_refused",
            Self::Discovery(_) => "provider_discovery_invalid",
            Self::MixUp => "provider_mix_up",
            Self::OtherProvider => "provider_flow_other",
            Self::Token(error) => error.reason(),
            Self::OtherSubject => "provider_subject_changed",
            Self::ScopeMissing(_) => "provider_scope_missing",
        }
    }

    /// Returns whether the provider is away: another try may succeed, and nothing is wrong here.
    pub const fn is_away(&self) -> bool {
        match self {
            Self::Away(_, error) => error.is_temporary(),
            Self::Busy => true,
            Self::Denied(code) => matches!(code.as_bytes(), b"temporarily_unavailable" | b"server_error"),
            _ => false,
        }
    }
}

impl TokenError {
    /// Returns the word for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "provider_token_malformed",
            Self::Algorithm => "provider_token_algorithm",
            Self::Symmetric => "provider_token_symmetric",
            Self::Kind => "provider_token_kind",
            Self::UnknownKey => "provider_token_key_unknown",
            Self::Signature => "provider_token_signature",
            Self::Issuer => "provider_token_issuer",
            Self::Tenant => "provider_token_tenant",
            Self::Audience => "provider_token_audience",
            Self::Expired => "provider_token_expired",
            Self::Time => "provider_token_time",
            Self::Nonce => "provider_token_nonce",
            Self::AccessTokenHash => "provider_token_at_hash",
            Self::Event => "provider_token_event",
            Self::AuthTime => "provider_token_auth_time",
        }
    }
}
