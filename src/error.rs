//! Why a request is refused: one enum with a stable code each, known to every layer above.
//!
//! The client learns the code; the log learns the rest. Status codes and bodies live in `gateway::respond` alone.

use std::time::Duration;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential where one is needed.
    TokenMissing,
    /// Not a token of ours: garbage, forged, foreign, of the wrong type.
    TokenInvalid,
    /// Was good, is past its end, or the rights of its user have changed since: refresh it.
    TokenExpired,
    /// Its session has ended.
    TokenRevoked,
    /// Two different credentials in one request.
    CredentialsConflict,
    /// Signed in, but without any role the route asks for.
    RoleMissing,
    /// The user name or the password is wrong; which one is not said.
    CredentialsWrong,
    /// The refresh token is not one of ours, or no live session answers to it.
    RefreshInvalid,
    /// The refresh token was used before: its session has been ended.
    RefreshReused,
    /// The new password is not acceptable, and why.
    PasswordRejected(String),
    /// Too many attempts; how long to wait.
    RateLimited(Duration),
    /// Cannot be decided now: a store does not answer.
    StoreUnavailable,
    /// Too many are waiting for the same scarce thing.
    Overloaded,
    /// No route answers to this host and path.
    RouteUnknown,
    /// The route does not answer to this method; those it does.
    MethodNotAllowed(String),
    /// The request target can be read in more than one way.
    TargetAmbiguous,
    /// The request names or acts on another resource that it may not; what, and what to do.
    OtherResource(&'static str),
    /// The request target is longer than any of ours.
    TargetTooLong,
    /// The request is malformed; the field, and what is wrong with it.
    RequestInvalid(String),
    /// Not the media type the endpoint reads.
    MediaTypeUnsupported,
    /// The request body is larger than allowed.
    BodyTooLarge,
    /// The body came more slowly than allowed.
    RequestTimeout,
    /// The header section is larger than allowed.
    HeaderTooLarge,
    /// Not allowed for scripts of that origin.
    OriginNotAllowed,
    /// Sent in clear to an address that only sends on to https.
    HttpsRequired,
    /// What the client proved when it connected counts no more.
    ConnectionOutdated,
    /// A form that is not ours, of another browser, or open for too long.
    FormInvalid,
    /// The tokens of a user with so many roles do not fit into a cookie.
    CookieTooLarge,
    /// The session to be ended is not one of the caller's.
    SessionUnknown,
    /// No server of the upstream could be reached, or it broke off.
    UpstreamUnavailable,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// A defect of ours.
    Internal,
}

impl Refusal {
    /// The stable code: in problem documents, logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::CredentialsConflict => "credentials_conflict",
            Self::RoleMissing => "role_missing",
            Self::CredentialsWrong => "credentials_wrong",
            Self::RefreshInvalid => "refresh_invalid",
            Self::RefreshReused => "refresh_reused",
            Self::PasswordRejected(_) => "password_rejected",
            Self::RateLimited(_) => "rate_limited",
            Self::StoreUnavailable => "store_unavailable",
            Self::Overloaded => "overloaded",
            Self::RouteUnknown => "route_unknown",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::TargetAmbiguous => "target_ambiguous",
            Self::OtherResource(_) => "other_resource",
            Self::TargetTooLong => "target_too_long",
            Self::RequestInvalid(_) => "request_invalid",
            Self::MediaTypeUnsupported => "media_type_unsupported",
            Self::BodyTooLarge => "body_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::HeaderTooLarge => "header_too_large",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::HttpsRequired => "https_required",
            Self::ConnectionOutdated => "connection_outdated",
            Self::FormInvalid => "form_invalid",
            Self::CookieTooLarge => "cookie_too_large",
            Self::SessionUnknown => "session_unknown",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Internal => "internal",
        }
    }
}
