//! Requests to other people's servers.

use prometheus::{Histogram, IntCounter, IntCounterVec};

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
        /// Look-up in a collection of leaked passwords.
        BreachedPasswords "breached_passwords",
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

label! {
    /// Result of a look-up in a collection of leaked passwords.
    BreachedLookup "result" {
        /// The collection has the password.
        Found "found",
        /// It does not have it.
        NotFound "not_found",
        /// No list: the password was accepted without one.
        Unavailable "unavailable",
    }
}

/// Outgoing requests.
#[derive(Debug)]
pub struct OutboundRequests {
    requests: IntCounterVec,
    seconds: Each<Purpose, Histogram>,
    /// Look-ups in a collection of leaked passwords.
    pub breached_passwords: Each<BreachedLookup, IntCounter>,
}

impl OutboundRequests {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let requests = make.counters(
            "doorward_outbound_requests_total",
            "Requests to other people's servers, by purpose and outcome.",
            &[Purpose::NAME, Outcome::NAME],
        );
        for purpose in Purpose::ALL {
            for outcome in Outcome::ALL {
                requests.with_label_values(&[purpose.as_str(), outcome.as_str()]);
            }
        }
        let seconds = make.each_histogram(
            "doorward_outbound_seconds",
            "Seconds of a request to another server, connecting included.",
            SLOW,
        );
        let breached_passwords = make.each(
            "doorward_breached_password_lookups_total",
            "Look-ups of new passwords in a collection of leaked ones.",
        );
        Self { requests, seconds, breached_passwords }
    }

    /// Counts a finished request.
    pub fn finished(&self, purpose: Purpose, outcome: Outcome, seconds: f64) {
        self.requests.with_label_values(&[purpose.as_str(), outcome.as_str()]).inc();
        self.seconds.of(purpose).observe(seconds);
    }
}
