//! What can go wrong under the vault, what may be done about it, and the one line that tells a person.

use std::error::Error;
use std::io::{self, ErrorKind};

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

use crate::vault::VaultError;

/// Why a piece of work failed, before the server is named.
#[derive(Debug)]
pub(super) enum Fault {
    /// The answer itself.
    Vault(VaultError),
    /// There was no connection.
    Unreached(tokio_postgres::Error),
    /// Postgres' own complaint, or that of the connection.
    Postgres(tokio_postgres::Error),
    /// The same, and whatever it was part of certainly was not done.
    NotRun(tokio_postgres::Error),
    /// What to tell about waiting in vain.
    Late(String),
}

/// Whether it may have been done all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// Certainly not.
    No,
    /// The answer was lost.
    Perhaps,
}

/// What may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Asking again elsewhere: the connection, or its server, is no good.
    Reconnect(Ran),
    /// Asking again: Postgres broke it off in favour of another.
    Repeat,
    /// Nothing here.
    None,
}

impl From<VaultError> for Fault {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl Fault {
    /// What the pool says.
    pub(super) fn pool(error: PoolError, size: usize) -> Self {
        match error {
            PoolError::Backend(error) => Self::Unreached(error),
            PoolError::Timeout(TimeoutType::Wait) => Self::Late(format!(
                "all {size} connections are busy: raise vault.pool_size, or look for what keeps the database"
            )),
            PoolError::Timeout(_) => Self::Late("does not answer a new connection in time".into()),
            other => Self::Late(format!("has no connection to give: {other}")),
        }
    }

    /// The same, when what it interrupted was certainly not done.
    pub(super) fn not_run(self) -> Self {
        match self {
            Self::Postgres(error) => Self::NotRun(error),
            other => other,
        }
    }

    /// What may help.
    pub(super) fn remedy(&self) -> Remedy {
        let (error, ran) = match self {
            Self::Postgres(error) => (error, Ran::Perhaps),
            Self::NotRun(error) => (error, Ran::No),
            // Hung up on in the middle of connecting: by a server that is just going, or a pooler that lost one.
            Self::Unreached(error) if error.is_closed() => return Remedy::Reconnect(Ran::No),
            Self::Vault(_) | Self::Unreached(_) | Self::Late(_) => return Remedy::None,
        };
        let Some(error) = error.as_db_error() else {
            return if is_broken(error) { Remedy::Reconnect(ran) } else { Remedy::None };
        };
        match error.code() {
            // The server refused it, or broke it off before its commit.
            &SqlState::READ_ONLY_SQL_TRANSACTION
            | &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::CANNOT_CONNECT_NOW => Remedy::Reconnect(Ran::No),
            // A pooler says this of a server that went away under a statement.
            code if code.code().starts_with("08") => Remedy::Reconnect(ran),
            &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => Remedy::Repeat,
            _ => Remedy::None,
        }
    }

    /// As the callers of the vault see it, with the server named.
    pub(super) fn at(self, place: &str) -> VaultError {
        match self {
            Self::Vault(error) => error,
            Self::Late(text) => VaultError::Unavailable(format!("{place}: {text}")),
            Self::Unreached(error) => VaultError::Unavailable(format!("{place}: {}", unreached(&error))),
            Self::Postgres(error) | Self::NotRun(error) => match error.as_db_error() {
                Some(error) => VaultError::Unavailable(format!("{place}: {}", refused(error))),
                None if is_broken(&error) => {
                    VaultError::Unavailable(format!("{place} closed the connection"))
                }
                // Only conversions are left: a value that is none of ours.
                None => VaultError::Damaged(format!(
                    "{place} holds a value that doorward did not write ({}): restore a backup of it, then run \
                     `doorward vault restored`",
                    with_sources(&error)
                )),
            },
        }
    }
}

/// Whether the connection is gone rather than an answer strange.
fn is_broken(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || source::<io::Error>(error).is_some()
        || error.to_string().contains("unexpected message")
}

/// Why there is no connection.
fn unreached(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return refused(error);
    }
    if let Some(error) = source::<rustls::Error>(error) {
        return untrusted(error);
    }
    let text = with_sources(error);
    if text.contains("server does not support TLS") {
        return "the server does not encrypt: turn TLS on there, or write sslmode=disable in vault.url if the network \
                between is trusted"
            .into();
    }
    if text.contains("password missing") {
        return "the server asks for a password: write one in vault.url".into();
    }
    if text.contains("database does not allow writes") {
        return "no server accepts writes: the vault needs the primary".into();
    }
    let Some(error) = source::<io::Error>(error) else { return text };
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens there: start Postgres, or correct the host and port in vault.url".into()
        }
        ErrorKind::TimedOut => "no answer: correct the host in vault.url, or let the firewall pass".into(),
        ErrorKind::NotFound => "there is no such socket: start Postgres, or correct vault.url".into(),
        _ if text.contains("lookup") => "the host name is unknown: correct it in vault.url".into(),
        _ => text,
    }
}

fn untrusted(error: &rustls::Error) -> String {
    use rustls::CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "the server's certificate is for another name: write in vault.url the name that the certificate has".into()
        }
        // The second is an authority of the same name with another key.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            "the server's certificate is signed by nobody known here: name the file of who signed it as vault.ca_file"
                .into()
        }
        error => format!("TLS failed: {error}"),
    }
}

/// What the server says, with what to do where that is known.
fn refused(error: &DbError) -> String {
    let said = error.message();
    match error.code() {
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            format!("{said}: correct the user and password in vault.url, or pg_hba.conf on the server")
        }
        &SqlState::INVALID_CATALOG_NAME => format!("{said}: create it, or correct vault.url"),
        &SqlState::INSUFFICIENT_PRIVILEGE => {
            format!("{said}: let this role own its database, or grant it CREATE on its schema")
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            format!("{said}: this is a standby; the vault needs the primary")
        }
        &SqlState::TOO_MANY_CONNECTIONS => {
            format!("{said}: raise max_connections there, or lower vault.pool_size")
        }
        &SqlState::UNDEFINED_TABLE => format!("{said}: run `doorward vault migrate`"),
        &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT => {
            format!("{said}: with a pooler in transaction mode between, set vault.prepared = false")
        }
        &SqlState::PROTOCOL_VIOLATION if said.contains("options") => {
            format!("{said}: with a pooler between, set vault.prepared = false")
        }
        &SqlState::DISK_FULL => format!("{said}: make room on the server"),
        code => format!("{said} ({})", code.code()),
    }
}

/// The first cause of this kind.
fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error does not give the error it wraps as its source, only that one's.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
