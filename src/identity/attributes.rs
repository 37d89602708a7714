//! Attributes of a user: e-mail address and display name. Personal data: neither type prints its text in `Debug`, so
//! neither gets into a log by accident.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;

/// Maximum length of an e-mail address in bytes (RFC 5321 section 4.5.3.1.3, without the angle brackets).
const MAX_EMAIL: usize = 254;

/// Maximum length of a label of a domain name in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// Maximum length of a display name in characters.
const MAX_NAME: usize = 200;

/// Maximum length of a display name in bytes of UTF-8. The name travels in the access token, and with a longer one the
/// token of a user with many roles would not fit into a cookie.
const MAX_NAME_BYTES: usize = 400;

/// Length of text beyond which it is not normalised: nothing that long composes to [`MAX_NAME_BYTES`].
const MAX_NAME_INPUT: usize = 8 * MAX_NAME_BYTES;

/// An e-mail address in its canonical form: the domain in lower case, the local part as it was given. Two addresses are
/// the same if their texts are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(Arc<str>);

/// The text is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an e-mail address has at most 254 bytes: a local part without quotes, white space and ()<>[]:;,\\, one @, and a \
     domain of labels of a-z 0-9 - _ (an international domain is written as xn--…)"
)]
pub struct BadEmail;

impl Email {
    /// Returns the canonical text. Personal data: not for logs at `info`, metric labels or the session store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the domain, in lower case.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for Email {
    type Err = BadEmail;

    /// Accepts a dot-atom (RFC 5322 section 3.2.3; letters and digits beyond ASCII as in RFC 6531), `@` and a host name.
    /// Neither quoted local parts nor address literals: mail servers rarely take them, and apps misread them.
    fn from_str(text: &str) -> Result<Self, BadEmail> {
        if text.len() > MAX_EMAIL {
            return Err(BadEmail);
        }
        let (local, domain) = text.split_once('@').ok_or(BadEmail)?;
        let is_atom = |c: char| match c {
            '!' | '#'..='\'' | '*' | '+' | '-' | '.' | '/' | '=' | '?' | '^'..='`' | '{'..='~' => true,
            other => other.is_alphanumeric(),
        };
        let is_label = |label: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(allowed)
        };
        if local.is_empty() || !local.chars().all(is_atom) || !domain.split('.').all(is_label) {
            return Err(BadEmail);
        }
        Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase()).into()))
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// The name of a user for display, in Unicode Normalization Form C and without white space around it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(Arc<str>);

/// The text is not a display name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 200 characters (at most 400 bytes) without control characters, line separators and overrides of \
     the direction of text"
)]
pub struct BadDisplayName;

impl DisplayName {
    /// Returns the text. Personal data: not for logs at `info`, metric labels or the session store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = BadDisplayName;

    fn from_str(text: &str) -> Result<Self, BadDisplayName> {
        if text.len() > MAX_NAME_INPUT {
            return Err(BadDisplayName);
        }
        let name: String = text.trim().nfc().collect();
        let count = name.chars().count();
        if !(1..=MAX_NAME).contains(&count) || name.len() > MAX_NAME_BYTES || name.contains(is_unprintable) {
            return Err(BadDisplayName);
        }
        Ok(Self(name.into()))
    }
}

/// Returns whether a character would break a line, or show text in another order than it has.
fn is_unprintable(c: char) -> bool {
    // Line and paragraph separator; embeddings, overrides and isolates (UAX #9).
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DisplayName(..)")
    }
}

/// E-mail address and name of a user. Both are optional, and neither decides who somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    email: Option<Email>,
    email_verified: bool,
    name: Option<DisplayName>,
}

impl Attributes {
    /// No attributes.
    pub const NONE: Self = Self { email: None, email_verified: false, name: None };

    /// Combines attributes. Without an address nothing is verified.
    pub fn new(email: Option<Email>, email_verified: bool, name: Option<DisplayName>) -> Self {
        let email_verified = email_verified && email.is_some();
        Self { email, email_verified, name }
    }

    /// Returns the e-mail address.
    pub const fn email(&self) -> Option<&Email> {
        self.email.as_ref()
    }

    /// Returns whether the address is known to belong to the user. False without an address.
    pub const fn email_verified(&self) -> bool {
        self.email_verified
    }

    /// Returns the display name.
    pub const fn name(&self) -> Option<&DisplayName> {
        self.name.as_ref()
    }

    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.email.is_none() && self.name.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_is_canonical_after_case_folding_of_its_domain() {
        for (text, canonical, domain) in [
            ("Ada@Example.ORG", "Ada@example.org", "example.org"),
            ("a+b.c_d'e@localhost", "a+b.c_d'e@localhost", "localhost"),
            ("grüße@xn--Strae-oqa.example", "grüße@xn--strae-oqa.example", "xn--strae-oqa.example"),
        ] {
            let email: Email = text.parse().unwrap();
            assert_eq!((email.as_str(), email.domain()), (canonical, domain));
        }
        let parse = |text: &str| text.parse::<Email>().unwrap();
        assert_eq!(parse("ada@EXAMPLE.org"), parse("ada@example.org"));
        assert_ne!(parse("Ada@example.org"), parse("ada@example.org"), "a local part may differ by case");
    }

    #[test]
    fn text_that_is_no_address_is_refused() {
        // N15.
        let long_label = format!("a@{}.org", "x".repeat(64));
        let long = format!("{}@example.org", "x".repeat(243));
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a@b@c",
            "ada@@example.org",
            "a da@example.org",
            "ada@exam ple.org",
            "ada@example.org ",
            "\tada@example.org",
            "ada\n@example.org",
            "ada@example.org\r\nBcc: b@c",
            "ada\0@a",
            "ada@.example.org",
            "ada@example.org.",
            "ada@example..org",
            "ada@exämple.org",
            "ada@[127.0.0.1]",
            "\"ada\"@example.org",
            "Ada <ada@example.org>",
            "a,b@example.org",
            "a;b@example.org",
            "a\\b@example.org",
            "a\u{202e}b@example.org",
            "a\u{200b}b@example.org",
            "a\u{a0}b@example.org",
            "a\u{85}b@example.org",
            "ada@ⅇxample.org",
            "ada@example。org",
            &long_label,
            &long,
        ] {
            assert_eq!(bad.parse::<Email>(), Err(BadEmail), "{bad:?}");
        }
        assert!(format!("{}@example.org", "x".repeat(242)).parse::<Email>().is_ok(), "254 bytes");
        assert!(format!("a@{}.org", "x".repeat(63)).parse::<Email>().is_ok());
    }

    #[test]
    fn name_is_trimmed_and_composed() {
        let name: DisplayName = " \u{3000}Ame\u{301}lie  Poulain\u{a0}".parse().unwrap();
        assert_eq!(name.as_str(), "Am\u{e9}lie  Poulain");
        for good in ["x", "محمد", "李小龍", "O'Brien-\"Q\" <3>", "👩🏽\u{200d}🚀"] {
            assert_eq!(good.parse::<DisplayName>().unwrap().as_str(), good);
        }
        for (letter, longest) in [("x", 200), ("é", 200), ("李", 133), ("e\u{301}", 200), ("🚀", 100)] {
            assert!(letter.repeat(longest).parse::<DisplayName>().is_ok(), "{letter} {longest}");
            assert!(letter.repeat(longest + 1).parse::<DisplayName>().is_err(), "{letter} {longest}");
        }
    }

    #[test]
    fn name_with_unprintable_characters_is_refused() {
        for bad in ["", " ", "\u{3000}", "a\nb", "a\rb", "a\0b", "a\x1bb", "a\x7fb", "a\u{85}b", "a\u{9f}b"] {
            assert_eq!(bad.parse::<DisplayName>(), Err(BadDisplayName), "{bad:?}");
        }
        for bad in ["\u{2028}", "\u{2029}", "\u{202a}", "\u{202e}", "\u{2066}", "\u{2069}"] {
            assert_eq!(format!("a{bad}b").parse::<DisplayName>(), Err(BadDisplayName), "{bad:?}");
        }
        assert!("x".repeat(1 << 20).parse::<DisplayName>().is_err());
    }

    #[test]
    fn debug_prints_no_personal_data() {
        let email = "ada@example.org".parse().ok();
        let attributes = Attributes::new(email, true, "Ada Lovelace".parse().ok());
        assert_eq!(
            format!("{attributes:?}"),
            "Attributes { email: Some(Email(..)), email_verified: true, name: Some(DisplayName(..)) }"
        );
    }

    #[test]
    fn nothing_is_verified_without_an_address() {
        let attributes = Attributes::new(None, true, None);
        assert!(!attributes.email_verified() && attributes.is_empty());
        assert_eq!(attributes, Attributes::NONE);
        assert_eq!(attributes, Attributes::default());
    }
}
