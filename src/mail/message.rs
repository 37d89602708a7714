//! The format of a message.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use serde::{Deserialize, Serialize};

use super::MailError;
use crate::clock::Timestamp;
use crate::id::MailId;
use crate::identity::Email;

/// Content of a mail.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Display name of the sender.
    pub sender: &'a str,
    /// Subject.
    pub subject: &'a str,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// A whole message. It is made once: a repeat is the same to the last byte, and so has the same `Message-ID`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Address of the sender.
    pub(super) from: String,
    /// Address of the recipient.
    pub(super) to: String,
    /// Header and body.
    pub(super) content: String,
}

impl Message {
    /// Makes a message. Line breaks in the values stay in the values.
    ///
    /// # Errors
    /// [`MailError::Unusable`]: an address is not one that mail servers take.
    pub fn new(
        id: MailId,
        at: Timestamp,
        from: &Email,
        to: &Email,
        letter: Letter<'_>,
    ) -> Result<Self, MailError> {
        let unusable = |error: &dyn std::error::Error| MailError::Unusable(error.to_string());
        let address = |email: &Email| email.as_str().parse().map_err(|error| unusable(&error));
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let date = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.millis()).unwrap_or(0));
        let part =
            |content_type: ContentType, body: String| SinglePart::builder().header(content_type).body(body);
        let message = lettre::Message::builder()
            .from(Mailbox::new(Some(one_line(letter.sender)), address(from)?))
            .to(Mailbox::new(None, address(to)?))
            .subject(one_line(letter.subject))
            .date(date)
            // With the sender's domain: the name of this machine is nobody's business.
            .message_id(Some(format!("<{id}@{}>", from.domain())))
            .multipart(
                MultiPart::alternative()
                    .singlepart(part(ContentType::TEXT_PLAIN, letter.text))
                    .singlepart(part(ContentType::TEXT_HTML, letter.html)),
            );
        let mut message = message.map_err(|error| unusable(&error))?;
        // RFC 3834 section 5: nobody's holiday note answers.
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        let content = String::from_utf8(message.formatted()).map_err(|error| unusable(&error))?;
        Ok(Self { from: from.as_str().to_owned(), to: to.as_str().to_owned(), content })
    }

    /// Returns header and body.
    pub fn content(&self) -> &str {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, to: &str) -> Result<Message, MailError> {
        let letter = Letter {
            sender: "Accounts\r\nBcc: eve@example.com",
            subject,
            text: "Open https://app.example.com/auth/reset/link?token=abc\n".to_owned(),
            html: "<p>Grüße</p>".to_owned(),
        };
        let (from, to) = ("noreply@example.com".parse().unwrap(), to.parse().unwrap());
        Message::new(MailId::from_bytes([1; 16]), Timestamp::from_secs(1_790_000_000), &from, &to, letter)
    }

    #[test]
    fn message_has_the_headers_of_an_automatic_mail() {
        let message = message("Passwort zurücksetzen", "ada@example.org").unwrap();
        let (head, body) = message.content().split_once("\r\n\r\n").unwrap();
        let id = MailId::from_bytes([1; 16]);
        for line in [
            "To: ada@example.org".to_owned(),
            format!("Message-ID: <{id}@example.com>"),
            "Auto-Submitted: auto-generated".to_owned(),
            "MIME-Version: 1.0".to_owned(),
            "Date: Mon, 21 Sep 2026 14:13:20 +0000".to_owned(),
        ] {
            assert!(head.lines().any(|known| known == line), "{line} in\n{head}");
        }
        assert!(head.contains("multipart/alternative"), "{head}");
        assert!(body.contains("text/plain") && body.contains("text/html"), "{body}");
    }

    #[test]
    fn line_breaks_add_no_header() {
        let message = message("Hello\r\nBcc: eve@example.com\r\n\r\nbody", "ada@example.org").unwrap();
        let (head, _) = message.content().split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    }

    #[test]
    fn same_message_is_made_once() {
        let [one, other] = [(); 2].map(|()| message("Hello", "ada@example.org").unwrap());
        let id = |message: &Message| {
            let line = message.content().lines().find(|line| line.starts_with("Message-ID"));
            line.map(str::to_owned)
        };
        assert_eq!(id(&one), id(&other));
    }
}
