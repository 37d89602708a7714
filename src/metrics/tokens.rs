//! Logins, tokens and the local cache.

use prometheus::{GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::make::{AGES, Each, Maker, SLOW, label};

label! {
    /// Grant that an access token was issued for.
    GrantKind "grant" {
        /// A login.
        Login "login",
        /// A refresh.
        Refresh "refresh",
    }
}

label! {
    /// Cause of ending a session because of a reused refresh token.
    Reuse "cause" {
        /// The previous token, after the grace.
        AfterGrace "after_grace",
        /// An older token.
        Older "older",
    }
}

label! {
    /// Something unusual about a session.
    UnusualPattern "pattern" {
        /// It was refreshed far more often than its tokens expire.
        FrequentRefresh "frequent_refresh",
        /// It was refreshed from another network than it was opened from.
        OtherNetwork "other_network",
        /// It was refreshed by another kind of browser than opened it.
        OtherBrowser "other_browser",
        /// It was opened from an address that had failed at many accounts.
        ManyAccounts "many_accounts",
        /// It was opened from a part of the world in which the user had not signed in.
        NewNetwork "new_network",
    }
}

label! {
    /// Algorithm of a password hash.
    HashKind "kind" {
        /// argon2id, of doorward or of another program.
        Argon2id "argon2id",
        /// argon2i.
        Argon2i "argon2i",
        /// argon2d.
        Argon2d "argon2d",
        /// bcrypt.
        Bcrypt "bcrypt",
        /// scrypt.
        Scrypt "scrypt",
        /// PBKDF2.
        Pbkdf2 "pbkdf2",
    }
}

label! {
    /// Bucket that refused an attempt.
    ThrottleScope "scope" {
        /// One account, all unknown clients together.
        Account "account",
        /// One account, from one address.
        AccountFromAddress "account_from_address",
        /// A browser that has signed in to the account before.
        Device "device",
        /// A signed-in session that gives the password.
        Session "session",
        /// One address, or one IPv6 /64.
        Address "address",
        /// One IPv6 /48.
        Network "network",
        /// One address, at the lower limit while all addresses together are over theirs.
        Overall "overall",
        /// Codes of second factors.
        Code "code",
        /// Passkeys, recovery codes, and responses of identity providers, from one address.
        Response "response",
    }
}

label! {
    /// Source that confirmed a session.
    Source "source" {
        /// The local cache, without a query.
        Local "local",
        /// The session store.
        SessionStore "session_store",
        /// The vault.
        Vault "vault",
    }
}

label! {
    /// Result of a signature check.
    Verification "result" {
        /// Valid.
        Good "good",
        /// Invalid.
        Refused "refused",
    }
}

/// Logins, tokens and the local cache.
#[derive(Debug)]
pub struct Tokens {
    /// Logins by outcome: `ok` or a stable code.
    pub logins: IntCounterVec,
    /// Codes of second factors by kind and outcome: `ok`, `wrong` or `rate_limited`.
    pub factors: IntCounterVec,
    /// Attempts refused by the throttle.
    pub throttled: Each<ThrottleScope, IntCounter>,
    /// Attempts that this gateway counted alone, since the shared session store did not answer.
    pub throttled_alone: IntCounter,
    /// Logins waiting for a hashing thread.
    pub hash_queue: IntGauge,
    /// Duration of a hash, including the wait.
    pub hash_seconds: Histogram,
    /// Password hashes replaced after a correct password, by the algorithm of the old one.
    pub renewed_hashes: Each<HashKind, IntCounter>,
    /// Access tokens issued.
    pub issued: Each<GrantKind, IntCounter>,
    /// Refreshes by outcome: `rotated`, `repeated`, `repeated_late`, `renewed` or a stable code.
    pub refreshes: IntCounterVec,
    /// Sessions ended because of a reused refresh token.
    pub reuses: Each<Reuse, IntCounter>,
    /// Unusual patterns of sessions.
    pub unusual: Each<UnusualPattern, IntCounter>,
    /// Age of a session's tokens when they were refreshed.
    pub refresh_age: Histogram,
    /// Sessions ended by this gateway, by reason.
    pub ended: IntCounterVec,
    /// Sessions confirmed alive.
    pub confirmations: Each<Source, IntCounter>,
    /// Checked signatures.
    pub verifications: Each<Verification, IntCounter>,
    /// Cache hits of verified tokens.
    pub cache_hits: IntCounter,
    /// Cache misses of tokens.
    pub cache_misses: IntCounter,
    /// Cached verified tokens.
    pub cache_entries: IntGauge,
    /// Memory of the cached tokens, in bytes.
    pub cache_bytes: IntGauge,
    /// Maximum memory of the cached tokens, in bytes.
    pub cache_max_bytes: IntGauge,
    /// Verified tokens evicted for lack of space.
    pub cache_evictions: IntCounter,
    /// Time since which the newest key of each use signs.
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
                &[
                    "ok",
                    "factor_required",
                    "credentials_wrong",
                    "rate_limited",
                    "overloaded",
                    "store_unavailable",
                    "internal",
                ],
            ),
            factors: {
                let help = "Second factors and passkeys checked, by kind and outcome.";
                let all = make.counters("doorward_factor_checks_total", help, &["kind", "outcome"]);
                for kind in ["totp", "recovery_code", "passkey"] {
                    for outcome in ["ok", "wrong", "rate_limited"] {
                        all.with_label_values(&[kind, outcome]);
                    }
                }
                all
            },
            throttled: make.each(
                "doorward_throttled_attempts_total",
                "Attempts to sign in or to prove a factor that the throttle refused, by the bucket that was full.",
            ),
            throttled_alone: make.counter(
                "doorward_throttle_alone_total",
                "Attempts that this gateway counted alone, since Redis did not count them; check Redis and its ACL.",
            ),
            hash_queue: make.gauge(
                "doorward_hash_queue_logins",
                "Logins waiting for a hashing thread: raise login.hash_threads if it stays high.",
            ),
            hash_seconds: make.histogram(
                "doorward_hash_seconds",
                "Duration of a password hash, including the wait for a thread, in seconds.",
                SLOW,
            ),
            renewed_hashes: make.each(
                "doorward_password_hashes_renewed_total",
                "Password hashes replaced after a correct password, by the algorithm of the old one.",
            ),
            issued: make.each("doorward_access_tokens_issued_total", "Access tokens issued."),
            refreshes: filled(
                make.counters("doorward_refreshes_total", "Refreshes by outcome.", &["outcome"]),
                &[
                    "rotated",
                    "repeated",
                    "repeated_late",
                    "renewed",
                    "refresh_invalid",
                    "refresh_reused",
                    "store_unavailable",
                    "overloaded",
                    "internal",
                ],
            ),
            reuses: make.each(
                "doorward_refresh_reuses_total",
                "Sessions ended because of refresh token reuse: a theft, or a client that lost its state.",
            ),
            unusual: make.each(
                "doorward_unusual_patterns_total",
                "Sessions of which something unusual was seen; [unusual] says what happens then.",
            ),
            refresh_age: make.histogram(
                "doorward_refresh_age_seconds",
                "Age of a session's tokens when they were refreshed, in seconds.",
                AGES,
            ),
            ended: filled(
                make.counters(
                    "doorward_sessions_ended_total",
                    "Sessions ended through this gateway, by reason.",
                    &["reason"],
                ),
                &[
                    "logout", "user", "password", "disabled", "reuse", "admin", "provider", "factor",
                    "replaced", "unusual",
                ],
            ),
            confirmations: make
                .each("doorward_session_confirmations_total", "Confirmed sessions, by source."),
            verifications: make.each("doorward_token_verifications_total", "Signatures checked, by result."),
            cache_hits: make.counter("doorward_local_cache_hits_total", "Cache hits of verified tokens."),
            cache_misses: make.counter("doorward_local_cache_misses_total", "Cache misses of tokens."),
            cache_entries: make.gauge("doorward_local_cache_entries", "Cached verified tokens."),
            cache_bytes: make
                .gauge("doorward_local_cache_bytes", "Estimated memory of the cached tokens, in bytes."),
            cache_max_bytes: make.gauge(
                "doorward_local_cache_max_bytes",
                "Maximum memory of the cached tokens: sessions.local_cache_bytes.",
            ),
            cache_evictions: make.counter(
                "doorward_local_cache_evictions_total",
                "Verified tokens evicted for lack of space: raise sessions.local_cache_bytes.",
            ),
            key_active: make.reals(
                "doorward_signing_key_active_timestamp_seconds",
                "Start of signing of the newest key, seconds since the epoch.",
                &["use"],
            ),
        }
    }
}
