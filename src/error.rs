//! Refusals of requests: one enum with a stable code per variant, used by every layer.
//!
//! The client receives the code; the log has the details. Status codes and bodies are defined in `gateway::respond`
//! only.

use std::time::Duration;

mod password_fault;

pub use password_fault::PasswordFault;

/// Reason why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential where one is needed.
    TokenMissing,
    /// Not a token of this gateway: malformed, forged, foreign, or of the wrong type.
    TokenInvalid,
    /// The token has expired, or the user's rights have changed since: refresh it.
    TokenExpired,
    /// The token's session has ended.
    TokenRevoked,
    /// Two different credentials in one request.
    CredentialsConflict,
    /// Signed in, but without any role that the route requires.
    RoleMissing,
    /// Signed in, but the route needs a second factor, or a more recent proof (RFC 9470).
    ProofMissing {
        /// Whether two factors are needed.
        multi_factor: bool,
        /// Maximum time since the last active proof.
        max_age: Option<Duration>,
    },
    /// A link of a mail cannot be used.
    Link(LinkRefusal),
    /// A sign-in or an action needs a second factor, or one is wrong.
    Factor(FactorRefusal),
    /// The user name or the password is wrong; which one is not revealed.
    CredentialsWrong,
    /// The refresh token is not one of this gateway, or has no live session.
    RefreshInvalid,
    /// The refresh token was used before: its session was ended.
    RefreshReused,
    /// The password is not changed, with the reason.
    PasswordRejected(PasswordFault),
    /// Too many attempts, with the time to wait.
    RateLimited(Duration),
    /// Cannot be decided now: a store is unavailable.
    StoreUnavailable,
    /// Too many requests wait for a limited resource.
    Overloaded,
    /// No route matches this host and path.
    RouteUnknown,
    /// The route does not allow this method, with the allowed methods.
    MethodNotAllowed(String),
    /// The request target has conflicting readings.
    TargetAmbiguous,
    /// The request names or affects another resource without access to it, with a hint.
    OtherResource(&'static str),
    /// The request target exceeds the maximum length.
    TargetTooLong,
    /// The request is malformed, with the field and the fault.
    RequestInvalid(String),
    /// The endpoint does not accept the media type.
    MediaTypeUnsupported,
    /// The request body is larger than allowed.
    BodyTooLarge,
    /// The request body arrived more slowly than allowed.
    RequestTimeout,
    /// The header section is larger than allowed.
    HeaderTooLarge,
    /// The origin of the script is not allowed.
    OriginNotAllowed,
    /// Sent without TLS to an address that only redirects to https.
    HttpsRequired,
    /// The client certificate of the connection is no longer valid.
    ConnectionOutdated,
    /// The form token is invalid, belongs to another browser, or has expired.
    FormInvalid,
    /// The tokens of a user with this many roles do not fit into a cookie.
    CookieTooLarge,
    /// The session to be ended does not belong to the caller.
    SessionUnknown,
    /// No server of the upstream could be reached, or the connection broke.
    UpstreamUnavailable,
    /// The upstream did not respond in time.
    UpstreamTimeout,
    /// A sign-in at a provider, or a change of accounts there, failed.
    Provider(ProviderRefusal),
    /// A defect in doorward.
    Internal,
}

/// Reason why a sign-in at a provider, or a change of accounts there, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderRefusal {
    /// The person, or the provider for them, refused.
    Denied,
    /// The sign-in took too long, was begun in another browser, or the browser lost its cookie.
    FlowLost,
    /// The rules of the provider (domains, organizations, teams) do not admit the person.
    NotAllowed,
    /// The account belongs to nobody here, and users are not created.
    NoAccount,
    /// The name that a new user would have belongs to another user.
    LoginTaken,
    /// The provider gives no name that a new user could have.
    NoUsername,
    /// The user waits for an operator's approval.
    ApprovalPending,
    /// The user is disabled.
    AccountDisabled,
    /// The provider cannot be reached.
    Away,
    /// The provider's answer is not valid, or it refuses this gateway.
    Failed,
    /// Only providers sign people in.
    PasswordsOff,
    /// The account belongs to another user.
    AccountTaken,
    /// Without the account the user could not sign in any more.
    LastWay,
    /// A logout token is not valid.
    LogoutTokenInvalid,
}

impl ProviderRefusal {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::Denied,
        Self::FlowLost,
        Self::NotAllowed,
        Self::NoAccount,
        Self::LoginTaken,
        Self::NoUsername,
        Self::ApprovalPending,
        Self::AccountDisabled,
        Self::Away,
        Self::Failed,
        Self::PasswordsOff,
        Self::AccountTaken,
        Self::LastWay,
        Self::LogoutTokenInvalid,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Denied => "provider_denied",
            Self::FlowLost => "provider_flow_lost",
            Self::NotAllowed => "provider_not_allowed",
            Self::NoAccount => "provider_no_account",
            Self::LoginTaken => "provider_login_taken",
            Self::NoUsername => "provider_no_username",
            Self::ApprovalPending => "approval_pending",
            Self::AccountDisabled => "account_disabled",
            Self::Away => "provider_away",
            Self::Failed => "provider_failed",
            Self::PasswordsOff => "passwords_off",
            Self::AccountTaken => "account_taken",
            Self::LastWay => "last_way_to_sign_in",
            Self::LogoutTokenInvalid => "logout_token_invalid",
        }
    }
}

/// Refusal about a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorRefusal {
    /// The password is right, and a code is needed too.
    CodeMissing,
    /// The code is wrong, or was used before.
    CodeWrong,
    /// A second factor is needed, and the user has none. It is enrolled in a browser.
    NotEnrolled,
    /// The sign-in took too long, has ended, or the browser lost its cookie.
    SignInLost,
    /// No more factors of this kind.
    TooMany,
    /// The user has no such factor.
    Unknown,
    /// The response of a passkey does not verify, or was sent before.
    PasskeyWrong,
    /// The passkey is not, or no longer, enrolled here.
    PasskeyUnknown,
    /// The request to the passkey is too old, or is one of another browser.
    PasskeyExpired,
    /// A provider signs this user in; the passkey is the second factor only.
    PasskeyNotAlone,
    /// The passkey is enrolled already.
    Taken,
    /// The last factor cannot be removed: `login.factor` needs one.
    Last,
}

impl FactorRefusal {
    /// All reasons.
    pub const ALL: [Self; 12] = [
        Self::CodeMissing,
        Self::CodeWrong,
        Self::NotEnrolled,
        Self::SignInLost,
        Self::TooMany,
        Self::Unknown,
        Self::PasskeyWrong,
        Self::PasskeyUnknown,
        Self::PasskeyExpired,
        Self::PasskeyNotAlone,
        Self::Taken,
        Self::Last,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CodeMissing => "factor_required",
            Self::CodeWrong => "factor_wrong",
            Self::NotEnrolled => "factor_not_enrolled",
            Self::SignInLost => "sign_in_lost",
            Self::TooMany => "factors_too_many",
            Self::Unknown => "factor_unknown",
            Self::PasskeyWrong => "passkey_wrong",
            Self::PasskeyUnknown => "passkey_unknown",
            Self::PasskeyExpired => "passkey_expired",
            Self::PasskeyNotAlone => "passkey_not_alone",
            Self::Taken => "factor_taken",
            Self::Last => "factor_last",
        }
    }
}

/// Reason why a link of a mail cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkRefusal {
    /// It was used, has expired, or is void since the password was changed.
    Invalid,
    /// Another browser asked for it.
    OtherBrowser,
}

impl LinkRefusal {
    /// All reasons.
    pub const ALL: [Self; 2] = [Self::Invalid, Self::OtherBrowser];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "link_invalid",
            Self::OtherBrowser => "link_other_browser",
        }
    }
}

impl From<LinkRefusal> for Refusal {
    fn from(refusal: LinkRefusal) -> Self {
        Self::Link(refusal)
    }
}

impl From<FactorRefusal> for Refusal {
    fn from(refusal: FactorRefusal) -> Self {
        Self::Factor(refusal)
    }
}

impl From<ProviderRefusal> for Refusal {
    fn from(refusal: ProviderRefusal) -> Self {
        Self::Provider(refusal)
    }
}

impl Refusal {
    /// Returns the stable code, for problem documents, logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::CredentialsConflict => "credentials_conflict",
            Self::RoleMissing => "role_missing",
            Self::ProofMissing { .. } => "proof_missing",
            Self::Link(why) => why.code(),
            Self::Factor(why) => why.code(),
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
            Self::Provider(why) => why.code(),
            Self::Internal => "internal",
        }
    }
}
