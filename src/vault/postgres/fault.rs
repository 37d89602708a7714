//! Errors of the vault in Postgres: the remedy of each, and the message for people.

use std::error::Error;
use std::io::{self, ErrorKind};

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

use crate::error_chain::find;
use crate::vault::VaultError;

/// Error of a piece of work, before the server is named.
#[derive(Debug)]
pub(super) enum Fault {
    /// A result of the vault.
    Vault(VaultError),
    /// No connection could be made.
    Connect(tokio_postgres::Error),
    /// An error from Postgres or the connection.
    Postgres(tokio_postgres::Error),
    /// The same, and the work it was part of certainly did not run.
    NotRun(tokio_postgres::Error),
    /// A timeout or a lack of connections, as a message.
    Unavailable(String),
}

/// Whether the work may have run in spite of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// It certainly did not run.
    No,
    /// Unknown: the response was lost.
    Perhaps,
}

/// Possible remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Retry on another connection: this one, or its server, is unusable.
    Reconnect(Ran),
    /// Retry: Postgres aborted the statement in favour of another one.
    Repeat,
    /// No remedy.
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
    /// Converts an error of the pool.
    pub(super) fn pool(error: PoolError, size: usize) -> Self {
        match error {
            PoolError::Backend(error) => Self::Connect(error),
            PoolError::Timeout(TimeoutType::Wait) => Self::Unavailable(format!(
                "all {size} connections are busy: raise vault.pool_size, or find out why the database is slow"
            )),
            PoolError::Timeout(_) => Self::Unavailable("did not accept a new connection in time".into()),
            other => Self::Unavailable(format!("has no usable connection: {other}")),
        }
    }

    /// Marks that the interrupted work certainly did not run.
    pub(super) fn not_run(self) -> Self {
        match self {
            Self::Postgres(error) => Self::NotRun(error),
            other => other,
        }
    }

    /// Returns whether a statement failed because a row would have occurred twice in this unique index.
    pub(super) fn violates(&self, index: &str) -> bool {
        let (Self::Postgres(error) | Self::NotRun(error)) = self else { return false };
        error.as_db_error().is_some_and(|error| {
            *error.code() == SqlState::UNIQUE_VIOLATION && error.constraint() == Some(index)
        })
    }

    /// Returns the possible remedy.
    pub(super) fn remedy(&self) -> Remedy {
        let (error, ran) = match self {
            Self::Postgres(error) => (error, Ran::Perhaps),
            Self::NotRun(error) => (error, Ran::No),
            // Closed while connecting: the server is shutting down, or a pooler has lost one.
            Self::Connect(error) if error.is_closed() => return Remedy::Reconnect(Ran::No),
            Self::Vault(_) | Self::Connect(_) | Self::Unavailable(_) => return Remedy::None,
        };
        let Some(error) = error.as_db_error() else {
            return if is_broken(error) { Remedy::Reconnect(ran) } else { Remedy::None };
        };
        match error.code() {
            // The server rejected the statement, or aborted it before its commit.
            &SqlState::READ_ONLY_SQL_TRANSACTION
            | &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::CANNOT_CONNECT_NOW => Remedy::Reconnect(Ran::No),
            // A pooler reports this when the server went away during a statement.
            code if code.code().starts_with("08") => Remedy::Reconnect(ran),
            &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => Remedy::Repeat,
            _ => Remedy::None,
        }
    }

    /// Converts to the error for callers of the vault, with the server named.
    pub(super) fn at(self, server_names: &str) -> VaultError {
        match self {
            Self::Vault(error) => error,
            Self::Unavailable(text) => VaultError::Unavailable(format!("{server_names}: {text}")),
            Self::Connect(error) => VaultError::Unavailable(format!("{server_names}: {}", unreached(&error))),
            Self::Postgres(error) | Self::NotRun(error) => match error.as_db_error() {
                Some(error) => VaultError::Unavailable(format!("{server_names}: {}", refused(error))),
                None if is_broken(&error) => {
                    VaultError::Unavailable(format!("{server_names} closed the connection"))
                }
                // Only conversion errors are left: a value that doorward did not write.
                None => VaultError::Damaged(format!(
                    "{server_names} holds a value that doorward did not write ({}): restore a backup of it, then run \
                     `doorward vault restored`",
                    with_sources(&error)
                )),
            },
        }
    }
}

/// Returns whether the connection is lost, as opposed to an unexpected value.
fn is_broken(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || find::<io::Error>(error).is_some()
        || Untyped::of(error) == Some(Untyped::UnexpectedMessage)
}

/// Errors that tokio-postgres 0.7 tells apart only by their text: its kinds are private, and these have no source with
/// a type. Its texts are matched here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Untyped {
    UnexpectedMessage,
    NoTls,
    PasswordMissing,
    ReadOnly,
    UnknownHost,
}

impl Untyped {
    fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let text = with_sources(error);
        let texts = [
            ("unexpected message", Self::UnexpectedMessage),
            ("server does not support TLS", Self::NoTls),
            ("password missing", Self::PasswordMissing),
            ("database does not allow writes", Self::ReadOnly),
            ("lookup", Self::UnknownHost),
        ];
        texts.into_iter().find(|(known, _)| text.contains(known)).map(|(_, error)| error)
    }
}

/// Message for a failed connection.
fn unreached(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return refused(error);
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return untrusted(error);
    }
    let untyped = Untyped::of(error);
    match untyped {
        Some(Untyped::NoTls) => {
            return "the server does not encrypt: enable TLS there, or write sslmode=disable in vault.url if the \
                    network is trusted"
                .into();
        }
        Some(Untyped::PasswordMissing) => {
            return "the server asks for a password: write one in vault.url".into();
        }
        Some(Untyped::ReadOnly) => return "no server accepts writes: the vault needs the primary".into(),
        Some(Untyped::UnexpectedMessage | Untyped::UnknownHost) | None => {}
    }
    let text = with_sources(error);
    let Some(error) = find::<io::Error>(error) else { return text };
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens there: start Postgres, or correct the host and port in vault.url".into()
        }
        ErrorKind::TimedOut => "no answer: correct the host in vault.url, or open the firewall".into(),
        ErrorKind::NotFound => "there is no such socket: start Postgres, or correct vault.url".into(),
        _ if untyped == Some(Untyped::UnknownHost) => {
            "the host name is unknown: correct it in vault.url".into()
        }
        _ => text,
    }
}

fn untrusted(error: &rustls::Error) -> String {
    use rustls::CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "the server's certificate is for another name: write in vault.url the name that the certificate has".into()
        }
        // BadSignature means a CA of the same name with another key.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            "the server's certificate is not issued by a trusted CA: name the file of its CA as vault.ca_file"
                .into()
        }
        error => format!("TLS failed: {error}"),
    }
}

/// Message of the server, with advice where known.
fn refused(error: &DbError) -> String {
    let message = error.message();
    match error.code() {
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            format!("{message}: correct the user and password in vault.url, or pg_hba.conf on the server")
        }
        &SqlState::INVALID_CATALOG_NAME => format!("{message}: create it, or correct vault.url"),
        &SqlState::INSUFFICIENT_PRIVILEGE => {
            format!("{message}: let this role own its database, or grant it CREATE on its schema")
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            format!("{message}: this is a standby; the vault needs the primary")
        }
        &SqlState::TOO_MANY_CONNECTIONS => {
            format!("{message}: raise max_connections there, or lower vault.pool_size")
        }
        &SqlState::UNDEFINED_TABLE => format!("{message}: run `doorward vault migrate`"),
        &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT => {
            format!("{message}: behind a pooler in transaction mode, set vault.prepared = false")
        }
        // PgBouncer names the parameter that it does not support only in its message.
        &SqlState::PROTOCOL_VIOLATION if message.contains("options") => {
            format!("{message}: behind a pooler, set vault.prepared = false")
        }
        &SqlState::LOCK_NOT_AVAILABLE => {
            format!("{message}: end the transaction that holds the lock (pg_blocking_pids names it)")
        }
        &SqlState::DISK_FULL => format!("{message}: make room on the server"),
        code => format!("{message} ({})", code.code()),
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_postgres::config::{SslMode, TargetSessionAttrs};
    use tokio_postgres::{Config, NoTls};

    use super::*;

    /// `AuthenticationOk`, then `ReadyForQuery`.
    const SIGNED_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    /// The response to `SHOW transaction_read_only`: one row, `on`.
    const READ_ONLY: &[u8] = b"T\0\0\0\x1a\0\x01x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0\
        D\0\0\0\x0c\0\x01\0\0\0\x02onC\0\0\0\x09SHOW\0Z\0\0\0\x05I";

    /// Connects to a server that sends each of these after a message of the client.
    async fn error_of(sent: &[&[u8]], ssl_mode: SslMode) -> tokio_postgres::Error {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).user("doorward").ssl_mode(ssl_mode);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let serving = async {
            let mut socket = listener.accept().await.unwrap().0;
            let mut message = [0; 1024];
            for sent in sent {
                assert_ne!(socket.read(&mut message).await.unwrap(), 0, "the client has gone");
                socket.write_all(sent).await.unwrap();
            }
            // Kept open until the client has read everything.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            connected = config.connect(NoTls) => connected.err().expect("an error"),
            () = serving => unreachable!("it never ends"),
        }
    }

    #[tokio::test]
    async fn errors_without_a_type_are_recognised() {
        for (sent, ssl_mode, expected) in [
            (&[&b"Z\0\0\0\x05I"[..]][..], SslMode::Disable, Untyped::UnexpectedMessage),
            (&[b"N"], SslMode::Require, Untyped::NoTls),
            // `AuthenticationCleartextPassword`
            (&[b"R\0\0\0\x08\0\0\0\x03"], SslMode::Disable, Untyped::PasswordMissing),
            (&[SIGNED_IN, READ_ONLY], SslMode::Disable, Untyped::ReadOnly),
        ] {
            let error = error_of(sent, ssl_mode).await;
            assert_eq!(Untyped::of(&error), Some(expected), "{error:?}");
        }
    }
}
