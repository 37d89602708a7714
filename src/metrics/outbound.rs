//! Requests to other people's servers.

use prometheus::{Histogram, IntCounterVec};

use super::make::{Each, Label as _, Maker, SLOW, label};

label! {
    /// Reason for an outgoing request.
    Purpose "purpose" {
        /// Discovery document of a provider.
        Discovery "discovery",
        /// Key set of a provider.
        Keys "keys",
        /// Exchange of an authorization code.
        Code "code",
        /// Exchange of a refresh token.
        Refresh "refresh",
        /// Claims of a person.
        UserInfo "userinfo",
        /// Revocation of a refresh token.
        Revocation "revocation",
    }
}

label! {
    /// Result of an outgoing request.
    Outcome "outcome" {
        /// Status 2xx.
        Ok "ok",
        /// Status 3xx; redirects are not followed.
        Redirect "redirect",
        /// Status 4xx.
        ClientError "client_error",
        /// Status 5xx.
        ServerError "server_error",
        /// No complete response in time.
        Timeout "timeout",
        /// No connection, or closed early.
        Unreachable "unreachable",
        /// The TLS handshake failed.
        Tls "tls",
        /// The response is larger than the limit.
        TooLarge "too_large",
        /// The response is not HTTP, or incomplete.
        Malformed "malformed",
        /// The address is private, or the URL is not one that is fetched.
        Refused "refused",
    }
}

/// Outgoing requests.
#[derive(Debug)]
pub struct OutboundRequests {
    requests: IntCounterVec,
    seconds: Each<Purpose, Histogram>,
}

impl OutboundRequests {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let requests = make.counters(
            "doorward_outbound_requests_total",
            "Requests to identity providers, by purpose and outcome.",
            &[Purpose::NAME, Outcome::NAME],
        );
        for purpose in Purpose::ALL {
            for outcome in Outcome::ALL {
                requests.with_label_values(&[purpose.as_str(), outcome.as_str()]);
            }
        }
        let seconds = make.each_histogram(
            "doorward_outbound_seconds",
            "Seconds of a request to an identity provider, connecting included.",
            SLOW,
        );
        Self { requests, seconds }
    }

    /// Counts a finished request.
    pub fn finished(&self, purpose: Purpose, outcome: Outcome, seconds: f64) {
        self.requests.with_label_values(&[purpose.as_str(), outcome.as_str()]).inc();
        self.seconds.of(purpose).observe(seconds);
    }
}
