//! Errors of starting a gateway.

use std::io;
use std::path::PathBuf;

use super::FIRST_LOAD;
use crate::auth::keys::KeysError;
use crate::session::SessionStoreError;
use crate::snapshot::SnapshotError;
use crate::token::seal::MasterSecretError;
use crate::vault::VaultError;

/// Error of starting a gateway. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The settings of the session store are unusable.
    #[error(transparent)]
    Sessions(#[from] SessionStoreError),
    /// The master key is missing or unusable.
    #[error(transparent)]
    MasterSecret(#[from] MasterSecretError),
    /// The master key is missing and the vault has keys, so a new one would not decrypt them.
    #[error(
        "{missing}; no new one was created, since the vault has keys that were encrypted with the lost one"
    )]
    MasterSecretLost {
        /// The missing file.
        missing: MasterSecretError,
    },
    /// The master key is missing and the vault is shared, so every gateway needs the same one.
    #[error(
        "{}: for a new vault create it (`(umask 077; openssl rand -base64 32 | tr '+/' '-_' | tr -d = > FILE)`) and give \
         every gateway the same one; for a vault that has served already, restore it",
        missing_key(.0)
    )]
    MasterSecretNeeded(MasterSecretError),
    /// A certificate file cannot be read.
    #[error("{key}: `{}` cannot be read: {source}; name a PEM file that this user can read", file.display())]
    Certificates {
        /// The setting.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The configuration cannot be compiled.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A listen address cannot be used.
    #[error("{key}: cannot listen on {address} ({})", advice(address, source))]
    Listen {
        /// The setting.
        key: &'static str,
        /// The address, as in the configuration.
        address: String,
        /// The I/O error.
        source: io::Error,
    },
    /// A socket cannot be duplicated for a later handover.
    #[error("cannot duplicate the sockets: {0} (is the limit on open files too low?)")]
    Sockets(io::Error),
    /// The hashing threads cannot be started.
    #[error("cannot start the hashing threads: {0}")]
    Hasher(io::Error),
    /// Stored hashes need peppers that are not configured.
    #[error(
        "login.peppers: the passwords of {users} users were hashed with the pepper {peppers}, which is not configured: add it behind \
         the first one (`doorward vault passwords` counts the users of each); where its key is lost, set new passwords with \
         `doorward user passwd`"
    )]
    PepperMissing {
        /// The names.
        peppers: String,
        /// Number of users.
        users: u64,
    },
    /// The vault was opened but does not answer.
    #[error("the vault does not answer: the revocation list was not loaded within {} s", FIRST_LOAD.as_secs())]
    NotCurrent,
}

/// Describes the missing key without the advice for an embedded vault.
fn missing_key(missing: &MasterSecretError) -> String {
    match missing {
        MasterSecretError::Missing(path) => format!("there is no master key file {}", path.display()),
        other => other.to_string(),
    }
}

fn advice(address: &str, error: &io::Error) -> &'static str {
    match error.kind() {
        _ if address.starts_with("fd:") => {
            "the service manager passes no listening stream socket of this name: see packaging/doorward.socket, or \
             choose an address"
        }
        io::ErrorKind::PermissionDenied if address.starts_with("unix:") => {
            "this user may not write to the directory: choose one of its own, such as systemd's RuntimeDirectory="
        }
        io::ErrorKind::NotFound if address.starts_with("unix:") => {
            "the directory does not exist: create it, or choose another, such as systemd's RuntimeDirectory="
        }
        io::ErrorKind::AlreadyExists => {
            "a file that is not a socket is there: remove it, or choose another name"
        }
        // Linux: below net.ipv4.ip_unprivileged_port_start, which is 1024.
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: choose a higher one, or give the program CAP_NET_BIND_SERVICE, as \
             packaging/doorward.service does"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, or 0.0.0.0 for all"
        }
        _ => "is another process using it? choose another address",
    }
}
