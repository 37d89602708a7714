//! Requests, connections and streams.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::make::{Each, FAST, Maker, SLOW, label};

label! {
    /// What ordinary use does not do.
    Pattern "pattern" {
        /// Wrong passwords for one account beyond what is allowed.
        PasswordGuessingAccount "password_guessing_account",
        /// Wrong passwords from one address beyond what is allowed.
        PasswordGuessingAddress "password_guessing_address",
        /// A refresh token came again after its grace, or from further back.
        RefreshReuse "refresh_reuse",
        /// A token of our form that we did not make.
        ForgedToken "forged_token",
        /// A client sent one of the identity headers.
        IdentityHeaderSent "identity_header_sent",
        /// A path that can be read in several ways.
        AmbiguousTarget "ambiguous_target",
        /// Two cookies of one of our names.
        PlantedCookie "planted_cookie",
    }
}

label! {
    /// An answer that is still open.
    Stream "kind" {
        /// After a 101.
        WebSocket "websocket",
        /// `text/event-stream`.
        EventStream "event_stream",
        /// Any other that is being written.
        Response "response",
    }
}

label! {
    /// Who somebody is was the reason to refuse.
    AuthenticationFailure "reason" {
        /// No credential.
        TokenMissing "token_missing",
        /// Not one of ours.
        TokenInvalid "token_invalid",
        /// Past its end, or of older rights.
        TokenExpired "token_expired",
        /// Its session has ended.
        TokenRevoked "token_revoked",
        /// No role the route asks for.
        RoleMissing "role_missing",
        /// Two different ones.
        CredentialsConflict "credentials_conflict",
        /// Could not be decided.
        StoreUnavailable "store_unavailable",
    }
}

label! {
    /// A limit that a connection met.
    ConnectionLimit "limit" {
        /// `server.limits.connections`
        Total "total",
        /// `server.limits.connections_per_ip`
        Address "address",
        /// `server.proxy_protocol_from`: no header of the PROXY protocol, or a malformed one.
        ProxyProtocol "proxy_protocol",
    }
}

label! {
    /// What a TLS handshake came to.
    Handshake "result" {
        /// An encrypted connection.
        Ok "ok",
        /// None: the two could not agree, or the client went away.
        Failed "failed",
        /// It took too long.
        Late "late",
    }
}

/// Requests, connections and streams.
#[derive(Debug)]
pub struct Requests {
    /// Finished ones by route, outcome (a stable code, or `forwarded`, `answered`, `aborted`, `cut`) and status class.
    pub finished: IntCounterVec,
    /// Being handled.
    pub in_flight: IntGauge,
    /// From the header read to the end of the answer, by route.
    pub seconds: HistogramVec,
    /// What was added before forwarding: from the header read to the decision.
    pub decision_seconds: Histogram,
    /// Refused for who they are.
    pub authentication_failures: Each<AuthenticationFailure, IntCounter>,
    /// Cut because their session ended, by cause.
    pub cut: IntCounterVec,
    /// Answers that are still open.
    pub streams: Each<Stream, IntGauge>,
    /// Connections open on the public listener.
    pub connections: IntGauge,
    /// Connections refused at a limit.
    pub connections_refused: Each<ConnectionLimit, IntCounter>,
    /// Connections closed while they waited for a request, since others wanted their places.
    pub connections_evicted: IntCounter,
    /// TLS handshakes on the public listener.
    pub tls_handshakes: Each<Handshake, IntCounter>,
    /// What ordinary use does not do.
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
            in_flight: make.gauge("doorward_requests_in_flight", "Requests being handled."),
            seconds: make.histograms(
                "doorward_request_seconds",
                "Seconds from a request's header being read to the end of its answer; streams are not counted.",
                "route",
                SLOW,
            ),
            decision_seconds: make.histogram(
                "doorward_decision_seconds",
                "Seconds that the check added before a request was forwarded or refused.",
                FAST,
            ),
            authentication_failures: make.each(
                "doorward_authentication_failures_total",
                "Requests refused for who they are, by reason; a rise of store_unavailable: look at the vault.",
            ),
            cut,
            streams: make
                .each_gauge("doorward_live_streams", "WebSockets, event streams and other answers still open."),
            connections: make
                .gauge("doorward_connections_open", "Connections open on the public listener."),
            connections_refused: make.each(
                "doorward_connections_refused_total",
                "Connections refused at a limit (raise server.limits, or look who it is) or for want of a PROXY protocol header.",
            ),
            connections_evicted: make.counter(
                "doorward_connections_evicted_total",
                "Connections without a request closed to make room for new ones, at server.limits.connections.",
            ),
            tls_handshakes: make.each(
                "doorward_tls_handshakes_total",
                "TLS handshakes on the public listener, by result; the log has the cause of those that failed.",
            ),
            unusual: make.each(
                "doorward_security_events_total",
                "What ordinary use does not do, by pattern; a rise is somebody trying.",
            ),
            panics: make.counter(
                "doorward_panics_total",
                "Panics caught in a request or a background job; each is a defect: report it.",
            ),
        }
    }
}
