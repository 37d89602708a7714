//! The session store and the vault.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::make::{Each, FAST, Maker, label};

label! {
    /// What is asked of the session store.
    Operation "operation" {
        /// What is known of a session.
        Check "check",
        /// A record put in.
        Fill "fill",
        /// A record kept for longer.
        Extend "extend",
        /// A tombstone.
        Revoke "revoke",
    }
}

label! {
    /// How a connection to the session store came about, or not.
    Connect "result" {
        /// It is there.
        Ok "ok",
        /// It is not.
        Failed "failed",
    }
}

label! {
    /// Why a connection to the session store was given up.
    Breaker "cause" {
        /// It was closed.
        Ended "ended",
        /// Commands in a row brought no answer.
        Unanswered "unanswered",
        /// A replica.
        ReadOnly "read_only",
        /// The password was changed.
        Credentials "credentials",
        /// Another server is the master now.
        Demoted "demoted",
    }
}

/// The session store.
#[derive(Debug)]
pub struct SessionStore {
    /// Operations by what they are and what they came to.
    pub operations: IntCounterVec,
    /// How long each took.
    pub seconds: Each<Operation, Histogram>,
    /// 1 while it can be asked.
    pub up: IntGauge,
    /// Attempts to connect.
    pub connects: Each<Connect, IntCounter>,
    /// Connections given up.
    pub breaker: Each<Breaker, IntCounter>,
    /// Revocations it could not be told yet.
    pub tombstones_waiting: IntGauge,
    /// Memory it uses; -1 unknown.
    pub memory: IntGauge,
    /// What it may use; 0 no limit, -1 unknown.
    pub memory_max: IntGauge,
}

impl SessionStore {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let operations = make.counters(
            "doorward_session_store_operations_total",
            "Operations on the session store, by what they came to.",
            &["operation", "result"],
        );
        for result in ["live", "absent", "tombstone", "error"] {
            operations.with_label_values(&["check", result]);
        }
        for operation in ["fill", "extend", "revoke"] {
            for result in ["ok", "error"] {
                operations.with_label_values(&[operation, result]);
            }
        }
        let made = Self {
            operations,
            seconds: make.each_histogram(
                "doorward_session_store_seconds",
                "Seconds that an operation on the session store took.",
                FAST,
            ),
            up: make.gauge(
                "doorward_session_store_up",
                "1 while the session store can be asked; at 0 look at Redis.",
            ),
            connects: make
                .each("doorward_session_store_connects_total", "Attempts to connect to the session store."),
            breaker: make.each(
                "doorward_session_store_breaker_opened_total",
                "Connections to the session store given up, by cause.",
            ),
            tombstones_waiting: make.gauge(
                "doorward_session_store_tombstones_waiting",
                "Revocations that the session store could not be told yet.",
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
    /// What is asked of the vault.
    Statement "statement" {
        /// A user, by name or id.
        FindUser "find_user",
        /// A page of users.
        ListUsers "list_users",
        /// A user made.
        CreateUser "create_user",
        /// A user changed or removed.
        ChangeUser "change_user",
        /// A session opened.
        OpenSession "open_session",
        /// A refresh.
        Rotate "rotate",
        /// A browser's access token renewed.
        Renew "renew",
        /// The uses of sessions written down.
        Touch "touch",
        /// A session, by id.
        FindSession "find_session",
        /// A user's sessions.
        ListSessions "list_sessions",
        /// Sessions ended.
        Revoke "revoke",
        /// The revocation log.
        ReadLog "read_log",
        /// The keys.
        LoadKeys "load_keys",
        /// Keys added.
        AddKeys "add_keys",
        /// What was done.
        Audit "audit",
        /// Old rows deleted.
        Sweep "sweep",
    }
}

label! {
    /// What a connection to the vault is doing.
    Pool "state" {
        /// Answering.
        InUse "in_use",
        /// Waiting to be needed.
        Idle "idle",
    }
}

/// The vault.
#[derive(Debug)]
pub struct Vault {
    /// How long each took, waiting for a connection included.
    pub seconds: Each<Statement, Histogram>,
    /// Those that were not answered.
    pub errors: Each<Statement, IntCounter>,
    /// Connections.
    pub pool: Each<Pool, IntGauge>,
    /// Connections there may be.
    pub pool_max: IntGauge,
    /// Questions waiting for one.
    pub pool_waiting: IntGauge,
}

impl Vault {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            seconds: make.each_histogram(
                "doorward_vault_statement_seconds",
                "Seconds that a question to the vault took, waiting for a connection included.",
                FAST,
            ),
            errors: make.each("doorward_vault_errors_total", "Questions the vault did not answer."),
            pool: make
                .each_gauge("doorward_vault_pool_connections", "Connections to the vault, by what they do."),
            pool_max: make
                .gauge("doorward_vault_pool_max_connections", "Connections to the vault there may be."),
            pool_waiting: make.gauge(
                "doorward_vault_pool_waiting",
                "Questions waiting for a connection to the vault: raise vault.pool_size when it stays up.",
            ),
        }
    }
}
