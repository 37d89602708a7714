//! Faults of a command, by their consequence.

use std::fmt;

use redis::{ErrorKind, RedisError};

use crate::error_chain;

/// Reason why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// There is no connection.
    #[error("Redis is away")]
    Away,
    /// No reply in time, or none at all from one node of a Cluster.
    #[error("no reply from Redis: {0}")]
    Unanswered(Cause),
    /// The connection has ended.
    #[error("the connection to Redis has ended: {0}")]
    Ended(Cause),
    /// The server is a replica: it accepts no writes and may lag behind its master.
    #[error("this Redis is a read-only replica")]
    ReadOnly,
    /// `maxmemory` is reached and nothing may be evicted.
    #[error("Redis has no memory left (maxmemory)")]
    Full,
    /// The user or password is wrong.
    #[error("Redis refused the user or the password")]
    Credentials,
    /// Redis returned another error.
    #[error("Redis refused: {0}")]
    Refused(String),
}

/// Why a connection does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    text: String,
    /// True if the certificate of the server is not accepted.
    pub(super) is_untrusted: bool,
}

impl Cause {
    fn of(error: &RedisError) -> Self {
        use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
        let tls = error_chain::find::<rustls::Error>(error);
        let is_untrusted =
            tls.is_some_and(|error| matches!(error, InvalidCertificate(_) | NoCertificatesPresented));
        Self { text: text(error), is_untrusted }
    }
}

impl<T: Into<String>> From<T> for Cause {
    fn from(text: T) -> Self {
        Self { text: text.into(), is_untrusted: false }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let codes = error.clone().into_server_errors();
        let has = |code: &str| codes.iter().flat_map(|all| all.iter()).any(|(_, error)| error.code() == code);
        if has("OOM") {
            Self::Full
        } else if has("READONLY") {
            Self::ReadOnly
        } else if error.kind() == ErrorKind::AuthenticationFailed || has("NOAUTH") || has("WRONGPASS") {
            Self::Credentials
        } else if error.is_timeout() {
            Self::Unanswered("timed out".into())
        } else if error.is_unrecoverable_error() {
            Self::Ended(Cause::of(&error))
        } else if error.is_io_error() {
            Self::Unanswered(Cause::of(&error))
        } else {
            Self::Refused(text(&error))
        }
    }
}

/// Returns the kind of an error, and the message of the operating system or TLS. A server's message is never included:
/// it may repeat the command (an old Redis repeats an unknown command with its arguments), which may contain a
/// password.
fn text(error: &RedisError) -> String {
    if error.is_io_error() {
        return error.to_string();
    }
    match (error.category(), error.code()) {
        (_, Some("NOPERM")) => "an ACL forbids a command (NOPERM)".to_owned(),
        (category, Some(code)) => format!("{category} ({code})"),
        (category, None) => category.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn server_messages_are_not_repeated() {
        let error = make_extension_error("ERR".to_owned(), Some("unknown command AUTH hunter2".to_owned()));
        let fault = Fault::from(error);
        assert!(matches!(fault, Fault::Refused(_)), "{fault:?}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }

    #[test]
    fn full_and_read_only_servers_are_recognised() {
        assert_eq!(Fault::from(make_extension_error("OOM".to_owned(), None)), Fault::Full);
        let error = make_extension_error("READONLY".to_owned(), None);
        assert_eq!(Fault::from(error), Fault::ReadOnly);
    }
}
