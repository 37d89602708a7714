//! Requests, connections and streams.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::make::{Each, FAST, Maker, SLOW, label};

label! {
    /// Suspicious behaviour.
    Pattern "pattern" {
        /// Wrong passwords for one account beyond the limit.
        PasswordGuessingAccount "password_guessing_account",
        /// Wrong passwords from one address beyond the limit.
        PasswordGuessingAddress "password_guessing_address",
        /// Wrong codes of second factors beyond the limit.
        CodeGuessing "code_guessing",
        /// A refresh token was used again after its grace, or was older.
        RefreshReuse "refresh_reuse",
        /// A token in doorward's format that doorward did not issue.
        ForgedToken "forged_token",
        /// A client sent one of the identity headers.
        IdentityHeaderSent "identity_header_sent",
        /// A path with several possible readings.
        AmbiguousTarget "ambiguous_target",
        /// Two cookies with the same name of doorward's.
        PlantedCookie "planted_cookie",
    }
}

label! {
    /// An open response.
    Stream "kind" {
        /// A connection after a 101 response.
        WebSocket "websocket",
        /// `text/event-stream`.
        EventStream "event_stream",
        /// Any other response being written.
        Response "response",
    }
}

label! {
    /// Reason of a failed authentication or authorization.
    AuthenticationFailure "reason" {
        /// No credential.
        TokenMissing "token_missing",
        /// Not a token of doorward's.
        TokenInvalid "token_invalid",
        /// The token has expired, or has older rights.
        TokenExpired "token_expired",
        /// The session has ended.
        TokenRevoked "token_revoked",
        /// None of the roles that the route requires.
        RoleMissing "role_missing",
        /// Two different credentials.
        CredentialsConflict "credentials_conflict",
        /// The check could not be made.
        StoreUnavailable "store_unavailable",
    }
}

label! {
    /// A limit that a connection exceeded.
    ConnectionLimit "limit" {
        /// `server.limits.connections`
        Total "total",
        /// `server.limits.connections_per_ip`
        Address "address",
        /// `server.proxy_protocol_from`: the PROXY protocol header is missing or malformed.
        ProxyProtocol "proxy_protocol",
    }
}

label! {
    /// Result of a TLS handshake.
    Handshake "result" {
        /// An encrypted connection.
        Ok "ok",
        /// The handshake failed, or the client went away.
        Failed "failed",
        /// The handshake timed out.
        Late "late",
    }
}

/// Requests, connections and streams.
#[derive(Debug)]
pub struct Requests {
    /// Finished requests by route, outcome (a stable code, or `forwarded`, `answered`, `aborted`, `cut`) and status
    /// class.
    pub finished: IntCounterVec,
    /// Requests in progress.
    pub in_flight: IntGauge,
    /// Time from the request header to the end of the response, by route.
    pub seconds: HistogramVec,
    /// Latency added before forwarding: from the request header to the decision.
    pub decision_seconds: Histogram,
    /// Requests refused by authentication or authorization.
    pub authentication_failures: Each<AuthenticationFailure, IntCounter>,
    /// Requests cut because their session ended, by cause.
    pub cut: IntCounterVec,
    /// Open responses.
    pub streams: Each<Stream, IntGauge>,
    /// Open connections on the public listener.
    pub connections: IntGauge,
    /// Connections refused at a limit.
    pub connections_refused: Each<ConnectionLimit, IntCounter>,
    /// Idle connections closed to make room for new ones.
    pub connections_evicted: IntCounter,
    /// TLS handshakes on the public listener.
    pub tls_handshakes: Each<Handshake, IntCounter>,
    /// Suspicious behaviour.
    pub unusual: Each<Pattern, IntCounter>,
    /// Panics caught in a request or a job.
    pub panics: IntCounter,
}

impl Requests {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let cut = make.counters(
            "doorward_requests_cut_total",
            "Requests and streams cut short, by cause.",
            &["cause"],
        );
        for cause in [
            "revoked",
            "roles_changed",
            "expired",
            "stale_revocations",
            "draining",
            "slow",
            "stalled",
            "upstream_timeout",
        ] {
            cut.with_label_values(&[cause]);
        }
        Self {
            finished: make.counters(
                "doorward_requests_total",
                "Finished requests by route, outcome and status class.",
                &["route", "outcome", "class"],
            ),
            in_flight: make.gauge("doorward_requests_in_flight", "Requests in progress."),
            seconds: make.histograms(
                "doorward_request_seconds",
                "Seconds from the complete request header to the end of the response; streams are not counted.",
                "route",
                SLOW,
            ),
            decision_seconds: make.histogram(
                "doorward_decision_seconds",
                "Seconds added before a request was forwarded or refused.",
                FAST,
            ),
            authentication_failures: make.each(
                "doorward_authentication_failures_total",
                "Requests refused by authentication or authorization, by reason; if store_unavailable rises, check \
                 the vault.",
            ),
            cut,
            streams: make
                .each_gauge("doorward_live_streams", "Open WebSockets, event streams and other responses."),
            connections: make
                .gauge("doorward_connections_open", "Open connections on the public listener."),
            connections_refused: make.each(
                "doorward_connections_refused_total",
                "Connections refused at a limit (raise server.limits, or find the client) or without a valid PROXY \
                 protocol header.",
            ),
            connections_evicted: make.counter(
                "doorward_connections_evicted_total",
                "Idle connections closed to make room for new ones, at server.limits.connections.",
            ),
            tls_handshakes: make.each(
                "doorward_tls_handshakes_total",
                "TLS handshakes on the public listener, by result; the log has the cause of failures.",
            ),
            unusual: make.each(
                "doorward_security_events_total",
                "Suspicious events, by pattern; a rise suggests an attack.",
            ),
            panics: make.counter(
                "doorward_panics_total",
                "Panics in a request or a background job; each is a bug: report it.",
            ),
        }
    }
}
