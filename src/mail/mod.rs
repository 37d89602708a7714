//! Mails: the format of a message (RFC 5322), and its way to the server (SMTP, RFC 5321) or into a folder.
//!
//! Must not know: the vault, texts, what a mail is about.

mod error;
mod message;
mod transport;

pub use error::MailError;
pub use message::{Letter, Message};
pub(crate) use transport::ATTEMPT;
pub use transport::Mailer;
