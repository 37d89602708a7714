//! Failures of an outgoing request.

use std::net::IpAddr;

/// Reason why there is no response. The texts are for logs; they contain no part of a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Not a URL that this client fetches.
    #[error("{0}")]
    BadUrl(&'static str),
    /// The host has no public address, and the operator did not name it.
    #[error(
        "{host} has the address {address}, which is not public: doorward connects to it only if the configuration names the host"
    )]
    Refused {
        /// The host.
        host: String,
        /// An address that it resolves to.
        address: IpAddr,
    },
    /// The name does not resolve, or the server does not accept the connection or closes it early.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// No complete response in time.
    #[error("no complete response in time")]
    Timeout,
    /// The response is larger than the limit, in bytes.
    #[error("the response has more than {0} bytes")]
    TooLarge(usize),
    /// The response is not HTTP, or incomplete.
    #[error("malformed response: {0}")]
    Malformed(String),
    /// A status other than success. Redirects are not followed.
    #[error("status {0}")]
    Status(u16),
    /// The forward proxy refuses, or cannot be used.
    #[error("forward proxy (HTTPS_PROXY): {0}")]
    Proxy(String),
    /// The system trust store has no usable certificate.
    #[error("the system trust store cannot be read ({0}): install ca-certificates, or set ca_file")]
    TrustStore(String),
}

impl OutboundError {
    /// Returns whether another try may succeed without a change of the configuration.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Tls(_)
            | Self::Timeout
            | Self::Malformed(_)
            | Self::Proxy(_)
            | Self::TrustStore(_) => true,
            Self::Status(status) => *status >= 500 || *status == 429 || *status == 408,
            Self::BadUrl(_) | Self::Refused { .. } | Self::TooLarge(_) => false,
        }
    }
}
