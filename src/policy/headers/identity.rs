//! Values of the headers that carry the signed-in user to an app.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::config::{Encoding, Part, RequestHeaders, Template, Variable};
use crate::identity::{Identity, Proof};
use crate::text::push_percent_encoded;

/// Returns the headers about `identity` for an app. A value of which a part is absent is an absent header.
pub fn identity_headers<'a>(
    headers: &'a RequestHeaders,
    identity: &'a Identity,
) -> impl Iterator<Item = (&'a HeaderName, HeaderValue)> {
    let encoding = headers.encoding;
    headers
        .identity
        .iter()
        .filter_map(move |(name, template)| Some((name, value(template, identity, encoding)?)))
}

fn value(template: &Template, identity: &Identity, encoding: Encoding) -> Option<HeaderValue> {
    match template {
        // The same in every request with these roles, so it is not built again.
        Template::Variable(Variable::Roles) => identity.roles().header(),
        Template::Variable(variable) => header_value(text(*variable, identity, encoding)?),
        Template::Parts(parts) => {
            let mut whole = String::new();
            for part in parts {
                match part {
                    Part::Text(text) => whole += text,
                    Part::Variable(variable) => whole += &text(*variable, identity, encoding)?,
                }
            }
            header_value(whole)
        }
    }
}

/// Returns the text of a variable. `None` if the user has none.
fn text(variable: Variable, identity: &Identity, encoding: Encoding) -> Option<String> {
    let attributes = identity.attributes();
    let proof = Some(identity.proof()).filter(|proof| *proof != Proof::NONE);
    let encoded = |text: &str| match encoding {
        Encoding::Utf8 => text.to_owned(),
        Encoding::Percent => percent_encoded(text),
    };
    Some(match variable {
        Variable::Login => identity.login().to_string(),
        Variable::UserId => identity.user_id().to_string(),
        Variable::SessionId => identity.session_id().to_string(),
        Variable::Roles => Some(identity.roles()).filter(|roles| !roles.is_empty())?.to_string(),
        // Apps take an address in a header as proven.
        Variable::Email => encoded(attributes.email().filter(|_| attributes.email_verified())?.as_str()),
        Variable::Name => encoded(attributes.name()?.as_str()),
        Variable::Methods => proof?.methods.to_string(),
        Variable::ContextClass => proof?.methods.acr().to_owned(),
        Variable::ProvenAt => proof?.at.secs().to_string(),
    })
}

/// Percent-encodes `%` and every byte that is not printable ASCII, so that decoding returns the text.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    push_percent_encoded(&mut encoded, text.as_bytes(), |byte| matches!(byte, b' '..=b'~') && byte != b'%');
    encoded
}

/// Returns text as a header value, without a copy. `None` with a control character, which would end the field; none of the types
/// above can have one.
fn header_value(text: String) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn percent_encoded_text_is_printable_and_decodes_to_itself(text in any::<String>()) {
            let encoded = percent_encoded(&text);
            prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", encoded);
            let mut decoded = Vec::new();
            let mut rest = encoded.as_bytes();
            while let Some((&first, after)) = rest.split_first() {
                let (byte, after) = if first == b'%' {
                    let digits = std::str::from_utf8(&after[..2]).unwrap();
                    (u8::from_str_radix(digits, 16).unwrap(), &after[2..])
                } else {
                    (first, after)
                };
                decoded.push(byte);
                rest = after;
            }
            prop_assert_eq!(decoded, text.into_bytes());
        }

        #[test]
        fn no_value_ends_a_field(text in any::<String>()) {
            let ends = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
            if let Some(value) = header_value(text.clone()) {
                prop_assert_eq!(value.as_bytes(), text.as_bytes());
                prop_assert!(!value.as_bytes().iter().any(ends));
            } else {
                prop_assert!(text.bytes().any(|byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)));
            }
        }
    }
}
