//! Failure of sending a mail.

use std::error::Error;

/// Reason why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The text cannot be a message, or an address is not one that mail servers take.
    #[error("no message can be made of it: {0}")]
    Unusable(String),
    /// No connection, or it broke.
    #[error("the mail server cannot be reached: {0}")]
    Unreachable(String),
    /// TLS failed, or the server has no STARTTLS.
    #[error("no secure connection to the mail server: {0}")]
    Tls(String),
    /// No answer in time.
    #[error("the mail server did not answer in time")]
    Timeout,
    /// The server refused it. The text is the server's, and may have the recipient's address.
    #[error("the mail server refused it with {code}: {text}")]
    Refused {
        /// Reply code (RFC 5321 section 4.2).
        code: u16,
        /// Its text.
        text: String,
    },
    /// The file cannot be written.
    #[error("the mail cannot be written into the folder: {0}")]
    Folder(String),
}

impl MailError {
    /// Returns whether another attempt would fail too: the server refuses this recipient or this message (RFC 5321 section 4.2.3).
    /// Other refusals may be faults of the configuration, such as a wrong password, which somebody will correct.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Unusable(_) | Self::Refused { code: 550..=553, .. })
    }

    /// Returns the cause without the server's text, for the log.
    pub fn cause(&self) -> String {
        match self {
            Self::Refused { code, .. } => format!("the mail server refused it with {code}"),
            Self::Unusable(_) => "no message can be made of it".to_owned(),
            other => other.to_string(),
        }
    }
}

impl From<lettre::transport::smtp::Error> for MailError {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        if let Some(code) = error.status() {
            let text = with_sources(&error);
            return Self::Refused { code: u16::from(code), text };
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        let text = with_sources(&error);
        if error.is_tls() || error.is_client() { Self::Tls(text) } else { Self::Unreachable(text) }
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
