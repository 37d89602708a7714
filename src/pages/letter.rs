//! Mails: texts from the templates of the pages, in their languages. Plain text and HTML say the same; nothing is loaded from
//! elsewhere.

use std::time::Duration;

use askama::Template;

use super::Language;
use super::text::Text;

/// Content of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// A link to set a new password.
    Reset {
        /// The link.
        url: &'a str,
        /// Login name.
        user: &'a str,
        /// Whether only the browser that asked for it can use it.
        is_bound: bool,
    },
    /// A link to verify the address.
    Verification {
        /// The link.
        url: &'a str,
        /// Login name.
        user: &'a str,
        /// Whether only the browser that asked for it can use it.
        is_bound: bool,
    },
    /// A link to set the first password.
    Invitation {
        /// The link.
        url: &'a str,
        /// Login name.
        user: &'a str,
        /// Time for which it can be used.
        life: Duration,
    },
    /// The password was changed.
    PasswordChanged {
        /// Login name.
        user: &'a str,
    },
    /// A mail that `doorward mail test` sends.
    Test,
}

/// Site that a mail comes from.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// Its name.
    pub brand: &'a str,
    /// Its URL.
    pub site: &'a str,
    /// Language of the mail.
    pub language: Language,
}

/// Texts of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterTexts {
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct PlainTemplate<'a> {
    brand: &'a str,
    site: &'a str,
    text: &'a str,
    link: Option<(&'a str, &'a str)>,
    rest: &'a [String],
}

#[derive(Template)]
#[template(path = "mail/letter.html")]
struct HtmlTemplate<'a> {
    language: Language,
    subject: &'a str,
    brand: &'a str,
    site: &'a str,
    text: &'a str,
    link: Option<(&'a str, &'a str)>,
    rest: &'a [String],
}

/// Renders a mail.
pub fn letter(notice: Notice<'_>, sender: Sender<'_>) -> LetterTexts {
    let Sender { brand, site, language } = sender;
    let texts = Text::of(language);
    let t = texts.links;
    let (subject, text, link, rest) = match notice {
        Notice::Reset { url, user, is_bound } => {
            let mut rest = vec![t.mail_reset_life.to_owned()];
            if is_bound {
                rest.push(t.mail_reset_bound.to_owned());
            }
            rest.push(t.mail_reset_not_you.to_owned());
            ((t.mail_reset)(brand), (t.mail_reset_text)(user, brand), Some((t.new_password, url)), rest)
        }
        Notice::Verification { url, user, is_bound } => {
            let mut rest = vec![t.mail_reset_life.to_owned()];
            if is_bound {
                rest.push(t.mail_reset_bound.to_owned());
            }
            rest.push(t.mail_verify_not_you.to_owned());
            ((t.mail_verify)(brand), (t.mail_verify_text)(user, brand), Some((t.verify, url)), rest)
        }
        Notice::Invitation { url, user, life } => {
            let rest = vec![(t.mail_invite_life)(&(texts.span)(life)), t.mail_invite_not_you.to_owned()];
            ((t.mail_invite)(brand), (t.mail_invite_text)(user, brand), Some((t.new_password, url)), rest)
        }
        Notice::PasswordChanged { user } => {
            let text = (t.mail_changed_text)(user, brand);
            ((t.mail_changed)(brand), text, None, vec![t.mail_changed_not_you.to_owned()])
        }
        Notice::Test => ((t.mail_test)(brand), (t.mail_test_text)(brand), None, Vec::new()),
    };
    let plain = PlainTemplate { brand, site, text: &text, link, rest: &rest }.render();
    let html =
        HtmlTemplate { language, subject: &subject, brand, site, text: &text, link, rest: &rest }.render();
    let written = "writing into a string does not fail";
    LetterTexts { text: plain.expect(written), html: html.expect(written), subject }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_says_the_same_in_both_forms_and_escapes_in_one() {
        for language in Language::ALL {
            let sender = Sender { brand: "A & B", site: "https://app.example.com", language };
            let url = "https://app.example.com/auth/reset/link?token=abc";
            let letter = letter(Notice::Reset { url, user: "ada", is_bound: true }, sender);
            assert!(letter.text.contains(url) && letter.html.contains(&format!("href=\"{url}\"")));
            assert!(letter.text.contains("A & B") && letter.html.contains("A &#38; B"), "{}", letter.html);
            assert!(letter.subject.contains("A & B") && !letter.html.contains("A & B"));
            assert!(letter.text.contains("15") && letter.text.contains("ada"), "{}", letter.text);
            assert!(!letter.html.contains("<img") && !letter.html.contains("<link"));
        }
    }

    #[test]
    fn languages_differ() {
        let of = |language| {
            letter(Notice::PasswordChanged { user: "ada" }, Sender { brand: "B", site: "s", language })
        };
        assert_ne!(of(Language::English).subject, of(Language::German).subject);
    }
}
