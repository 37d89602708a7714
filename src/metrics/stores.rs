//! The session store and the vault.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::make::{Each, FAST, Maker, label};

label! {
    /// Operation on the session store.
    Operation "operation" {
        /// Check of a session.
        Check "check",
        /// Write of a record.
        Fill "fill",
        /// Extension of a record's lifetime.
        Extend "extend",
        /// Write of a tombstone.
        Revoke "revoke",
        /// Charge of an attempt to sign in.
        Charge "charge",
        /// Refund of an attempt.
        Refund "refund",
        /// Reset of failed attempts.
        Forget "forget",
    }
}

label! {
    /// Result of connecting to the session store.
    Connect "result" {
        /// Connected.
        Ok "ok",
        /// Not connected.
        Failed "failed",
    }
}

label! {
    /// Reason for closing a connection to the session store.
    Breaker "cause" {
        /// The connection was closed.
        Ended "ended",
        /// Consecutive commands got no reply.
        Unanswered "unanswered",
        /// The server is a replica.
        ReadOnly "read_only",
        /// The password has changed.
        Credentials "credentials",
        /// Another server is the master now.
        Demoted "demoted",
    }
}

/// The session store.
#[derive(Debug)]
pub struct SessionStore {
    /// Operations by kind and result.
    pub operations: IntCounterVec,
    /// Duration of each operation.
    pub seconds: Each<Operation, Histogram>,
    /// 1 while the session store is reachable.
    pub up: IntGauge,
    /// Connection attempts.
    pub connects: Each<Connect, IntCounter>,
    /// Closed connections.
    pub breaker: Each<Breaker, IntCounter>,
    /// Revocations not yet written to the session store.
    pub tombstones_waiting: IntGauge,
    /// Memory in use, in bytes; -1 unknown.
    pub memory: IntGauge,
    /// Maximum memory, in bytes; 0 no limit, -1 unknown.
    pub memory_max: IntGauge,
}

impl SessionStore {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let operations = make.counters(
            "doorward_session_store_operations_total",
            "Operations on the session store, by operation and result.",
            &["operation", "result"],
        );
        for result in ["live", "absent", "tombstone", "error"] {
            operations.with_label_values(&["check", result]);
        }
        for operation in ["fill", "extend", "revoke", "charge", "refund", "forget"] {
            for result in ["ok", "error"] {
                operations.with_label_values(&[operation, result]);
            }
        }
        operations.with_label_values(&["charge", "full"]);
        let made = Self {
            operations,
            seconds: make.each_histogram(
                "doorward_session_store_seconds",
                "Duration of an operation on the session store, in seconds.",
                FAST,
            ),
            up: make.gauge(
                "doorward_session_store_up",
                "1 while the session store is reachable; at 0 check Redis.",
            ),
            connects: make
                .each("doorward_session_store_connects_total", "Attempts to connect to the session store."),
            breaker: make.each(
                "doorward_session_store_breaker_opened_total",
                "Connections to the session store closed after a failure, by cause.",
            ),
            tombstones_waiting: make.gauge(
                "doorward_session_store_tombstones_waiting",
                "Revocations not yet written to the session store.",
            ),
            memory: make.gauge(
                "doorward_session_store_memory_bytes",
                "Bytes of memory the session store uses; -1 unknown.",
            ),
            memory_max: make.gauge(
                "doorward_session_store_memory_max_bytes",
                "Bytes of memory the session store may use; 0 no limit, -1 unknown.",
            ),
        };
        made.memory.set(-1);
        made.memory_max.set(-1);
        made
    }
}

label! {
    /// Operation on the vault.
    Statement "statement" {
        /// Lookup of a user by name or id.
        FindUser "find_user",
        /// Page of users.
        ListUsers "list_users",
        /// Creation of a user.
        CreateUser "create_user",
        /// Creation of many users.
        ImportUsers "import_users",
        /// Count of users by their password hashes.
        CountPasswords "count_passwords",
        /// Change or removal of a user.
        ChangeUser "change_user",
        /// Lookup of a user's second factors.
        FindFactors "find_factors",
        /// Enrolment or removal of a second factor.
        ChangeFactor "change_factor",
        /// Use of a code or a passkey.
        UseFactor "use_factor",
        /// Beginning or end of the wait for a second factor.
        PendingSignIn "pending_sign_in",
        /// Creation or lookup of a link in a mail.
        MailLink "mail_link",
        /// Addition, claim or result of a mail.
        Outbox "outbox",
        /// Lookup of a user by an account at a provider.
        FindIdentity "find_identity",
        /// List of a user's accounts at providers.
        ListIdentities "list_identities",
        /// Creation, link, removal or update of an account at a provider.
        ChangeIdentity "change_identity",
        /// Beginning or end of a recheck at a provider.
        Recheck "recheck",
        /// Creation of a session.
        OpenSession "open_session",
        /// Refresh.
        Rotate "rotate",
        /// Renewal of a browser's access token.
        Renew "renew",
        /// Write of session use.
        Touch "touch",
        /// Lookup of a session by id.
        FindSession "find_session",
        /// List of a user's sessions.
        ListSessions "list_sessions",
        /// End of sessions.
        Revoke "revoke",
        /// Read of the revocation log.
        ReadLog "read_log",
        /// Read of the keys.
        LoadKeys "load_keys",
        /// Addition of keys.
        AddKeys "add_keys",
        /// Write of audit events that change nothing else.
        RecordAudit "record_audit",
        /// Linking or deletion of audit events.
        LinkAudit "link_audit",
        /// Read of audit events or the schema version.
        Audit "audit",
        /// Deletion of obsolete rows.
        Sweep "sweep",
    }
}

label! {
    /// State of a connection to the vault.
    Pool "state" {
        /// A query is in progress.
        InUse "in_use",
        /// No query is in progress.
        Idle "idle",
    }
}

/// The vault.
#[derive(Debug)]
pub struct Vault {
    /// Duration of each query, including the wait for a connection.
    pub seconds: Each<Statement, Histogram>,
    /// Failed queries.
    pub errors: Each<Statement, IntCounter>,
    /// Connections.
    pub pool: Each<Pool, IntGauge>,
    /// Maximum number of connections.
    pub pool_max: IntGauge,
    /// Queries waiting for a connection.
    pub pool_waiting: IntGauge,
}

impl Vault {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            seconds: make.each_histogram(
                "doorward_vault_statement_seconds",
                "Duration of a query to the vault, including the wait for a connection, in seconds.",
                FAST,
            ),
            errors: make.each("doorward_vault_errors_total", "Failed queries to the vault."),
            pool: make.each_gauge("doorward_vault_pool_connections", "Connections to the vault, by state."),
            pool_max: make
                .gauge("doorward_vault_pool_max_connections", "Maximum number of connections to the vault."),
            pool_waiting: make.gauge(
                "doorward_vault_pool_waiting",
                "Queries waiting for a connection to the vault: raise vault.pool_size if it stays high.",
            ),
        }
    }
}
