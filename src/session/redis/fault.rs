//! What can go wrong with one command, told apart by what is to be done about it.

use redis::{ErrorKind, RedisError};

/// Why a command brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// There is no connection now.
    #[error("Redis is away")]
    Away,
    /// No answer in time, or from one node of a Cluster none at all.
    #[error("no answer from Redis: {0}")]
    Unanswered(String),
    /// The connection has ended.
    #[error("the connection to Redis has ended: {0}")]
    Ended(String),
    /// A replica: it takes no writes and may know less than its master.
    #[error("this Redis is a read-only replica")]
    ReadOnly,
    /// `maxmemory` is reached and nothing may be evicted.
    #[error("Redis has no memory left (maxmemory)")]
    Full,
    /// The user or password is wrong.
    #[error("Redis refused the user or the password")]
    Credentials,
    /// Redis answered with another error.
    #[error("Redis refused: {0}")]
    Refused(String),
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
            Self::Unanswered("timed out".to_owned())
        } else if error.is_unrecoverable_error() {
            Self::Ended(text(&error))
        } else if error.is_io_error() {
            Self::Unanswered(text(&error))
        } else {
            Self::Refused(text(&error))
        }
    }
}

/// The kind of an error, and the operating system's or TLS's words. Never a server's: they may repeat what was sent
/// (an old Redis repeats an unknown command with its arguments), and a password may be among it.
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
    fn no_word_of_a_server_is_repeated() {
        let error = make_extension_error("ERR".to_owned(), Some("unknown command AUTH hunter2".to_owned()));
        let fault = Fault::from(error);
        assert!(matches!(fault, Fault::Refused(_)), "{fault:?}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }

    #[test]
    fn a_full_and_a_read_only_server_are_recognised() {
        assert_eq!(Fault::from(make_extension_error("OOM".to_owned(), None)), Fault::Full);
        let error = make_extension_error("READONLY".to_owned(), None);
        assert_eq!(Fault::from(error), Fault::ReadOnly);
    }
}
