//! Logins, tokens and what is remembered of them.

use prometheus::{GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::make::{AGES, Each, Maker, SLOW, label};

label! {
    /// What an access token was issued for.
    GrantKind "grant" {
        /// A login.
        Login "login",
        /// A refresh.
        Refresh "refresh",
    }
}

label! {
    /// Why a session was ended over a refresh token that came again.
    Reuse "cause" {
        /// The one before the current, after the grace.
        AfterGrace "after_grace",
        /// From further back.
        Older "older",
    }
}

label! {
    /// Whose word a session was found alive by.
    Source "source" {
        /// Remembered here: no question was asked.
        Local "local",
        /// The session store.
        SessionStore "session_store",
        /// The vault.
        Vault "vault",
    }
}

label! {
    /// What a signature check came to.
    Verification "result" {
        /// Good.
        Good "good",
        /// Not good.
        Refused "refused",
    }
}

/// Logins, tokens and what is remembered of them.
#[derive(Debug)]
pub struct Tokens {
    /// Logins by outcome: `ok` or a stable code.
    pub logins: IntCounterVec,
    /// Logins waiting for a hashing thread.
    pub hash_queue: IntGauge,
    /// One hash, waiting included.
    pub hash_seconds: Histogram,
    /// Access tokens issued.
    pub issued: Each<GrantKind, IntCounter>,
    /// Refreshes by outcome: `rotated`, `repeated` or a stable code.
    pub refreshes: IntCounterVec,
    /// Sessions ended over a refresh token that came again.
    pub reuses: Each<Reuse, IntCounter>,
    /// How old a session's tokens were when they were refreshed.
    pub refresh_age: Histogram,
    /// Sessions ended through this replica, by reason.
    pub ended: IntCounterVec,
    /// Sessions found alive.
    pub confirmations: Each<Source, IntCounter>,
    /// Signatures checked.
    pub verifications: Each<Verification, IntCounter>,
    /// Verified tokens found again.
    pub cache_hits: IntCounter,
    /// Tokens not found among the verified.
    pub cache_misses: IntCounter,
    /// Verified tokens at hand.
    pub cache_entries: IntGauge,
    /// Their memory.
    pub cache_bytes: IntGauge,
    /// What it may be.
    pub cache_max_bytes: IntGauge,
    /// Verified tokens dropped for want of room.
    pub cache_evictions: IntCounter,
    /// Since when the newest key of each use signs.
    pub key_active: GaugeVec,
}

impl Tokens {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let filled = |all: IntCounterVec, values: &[&str]| {
            for value in values {
                all.with_label_values(&[*value]);
            }
            all
        };
        Self {
            logins: filled(
                make.counters("doorward_logins_total", "Logins by outcome.", &["outcome"]),
                &["ok", "credentials_wrong", "rate_limited", "overloaded", "store_unavailable", "internal"],
            ),
            hash_queue: make.gauge(
                "doorward_hash_queue_logins",
                "Logins waiting for a hashing thread: raise login.hash_threads when it stays up.",
            ),
            hash_seconds: make.histogram(
                "doorward_hash_seconds",
                "Seconds that hashing a password took, waiting for a thread included.",
                SLOW,
            ),
            issued: make.each("doorward_access_tokens_issued_total", "Access tokens issued."),
            refreshes: filled(
                make.counters("doorward_refreshes_total", "Refreshes by outcome.", &["outcome"]),
                &["rotated", "repeated", "renewed", "refresh_invalid", "refresh_reused", "store_unavailable", "overloaded", "internal"],
            ),
            reuses: make.each(
                "doorward_refresh_reuses_total",
                "Sessions ended because a refresh token came again: a theft, or a client that lost its state.",
            ),
            refresh_age: make.histogram(
                "doorward_refresh_age_seconds",
                "Seconds since a session's tokens were made, when they were refreshed.",
                AGES,
            ),
            ended: filled(
                make.counters(
                    "doorward_sessions_ended_total",
                    "Sessions ended through this gateway, by reason.",
                    &["reason"],
                ),
                &["logout", "user", "password", "disabled", "reuse", "admin"],
            ),
            confirmations: make.each(
                "doorward_session_confirmations_total",
                "Sessions found alive, by whose word.",
            ),
            verifications: make.each("doorward_token_verifications_total", "Signatures checked, by result."),
            cache_hits: make.counter("doorward_local_cache_hits_total", "Verified tokens found again."),
            cache_misses: make
                .counter("doorward_local_cache_misses_total", "Tokens not found among the verified ones."),
            cache_entries: make.gauge("doorward_local_cache_entries", "Verified tokens at hand."),
            cache_bytes: make.gauge("doorward_local_cache_bytes", "Memory of the verified tokens, as weighed."),
            cache_max_bytes: make
                .gauge("doorward_local_cache_max_bytes", "What that memory may be: sessions.local_cache_bytes."),
            cache_evictions: make.counter(
                "doorward_local_cache_evictions_total",
                "Verified tokens dropped for want of room: raise sessions.local_cache_bytes.",
            ),
            key_active: make.reals(
                "doorward_signing_key_active_timestamp_seconds",
                "Since when the newest key signs, seconds since the epoch.",
                &["use"],
            ),
        }
    }
}
