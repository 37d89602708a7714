//! Why a gateway does not start.

use std::io;
use std::path::PathBuf;

use super::FIRST_LOAD;
use crate::auth::keys::KeysError;
use crate::session::SessionStoreError;
use crate::snapshot::SnapshotError;
use crate::token::seal::MasterSecretError;
use crate::vault::VaultError;

/// Why a gateway does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The session store cannot even be tried.
    #[error(transparent)]
    Sessions(#[from] SessionStoreError),
    /// There is no usable master secret.
    #[error(transparent)]
    MasterSecret(#[from] MasterSecretError),
    /// The vault has keys, so a new master secret would be the wrong one.
    #[error("{missing}; it was not made anew, since the vault already holds keys sealed under the lost one")]
    MasterSecretLost {
        /// What is missing.
        missing: MasterSecretError,
    },
    /// A vault that several gateways share needs the same master secret at each of them.
    #[error(
        "{}: for a new vault make it (`(umask 077; openssl rand -base64 32 | tr '+/' '-_' | tr -d = > FILE)`) and give \
         every gateway the same one; for a vault that has served already, restore it",
        first_words(.0)
    )]
    MasterSecretNeeded(MasterSecretError),
    /// A file of certificates cannot be read.
    #[error("{key}: `{}` cannot be read: {source}; name a PEM file that this user can read", file.display())]
    Certificates {
        /// The setting.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the configuration names cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address} ({})", advice(address, source))]
    Listen {
        /// The setting.
        key: &'static str,
        /// The address, as the configuration has it.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No file for another handle of a socket.
    #[error("cannot keep the sockets at hand: {0} (is the limit on open files too low?)")]
    Sockets(io::Error),
    /// No thread for hashing passwords.
    #[error("cannot start the hashing threads: {0}")]
    Hasher(io::Error),
    /// The vault opened but does not answer.
    #[error("the vault does not answer: the revocation set was not loaded within {} s", FIRST_LOAD.as_secs())]
    NotCurrent,
}

/// What is missing, without the advice for an embedded vault.
fn first_words(missing: &MasterSecretError) -> String {
    match missing {
        MasterSecretError::Missing(path) => format!("there is no master key file {}", path.display()),
        other => other.to_string(),
    }
}

fn advice(address: &str, error: &io::Error) -> &'static str {
    match error.kind() {
        _ if address.starts_with("fd:") => {
            "the service manager hands over no listening stream socket of this name: see packaging/doorward.socket, or choose an address"
        }
        io::ErrorKind::PermissionDenied if address.starts_with("unix:") => {
            "this user may not write to the folder: choose one of its own, such as systemd's RuntimeDirectory="
        }
        io::ErrorKind::NotFound if address.starts_with("unix:") => {
            "there is no such folder: make it, or choose one that is there, such as systemd's RuntimeDirectory="
        }
        io::ErrorKind::AlreadyExists => {
            "a file that is no socket is there: remove it, or choose another name"
        }
        // Linux: below net.ipv4.ip_unprivileged_port_start, which is 1024.
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are not for every user: choose a higher one, or give the program CAP_NET_BIND_SERVICE, as \
             packaging/doorward.service does"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, or 0.0.0.0 for all"
        }
        _ => "is another process using it? choose another address",
    }
}
