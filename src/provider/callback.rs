//! Authorization response: the query with which the provider sends the browser back (RFC 6749 section 4.1.2, RFC 9207).

use std::fmt;

use crate::secret::Secret;
use crate::text::escaped_byte;

/// Maximum length of the query, in bytes. Entra ID's codes have some 2 KiB; a request header has 32 KiB by default.
const MAX_LENGTH: usize = 16 << 10;

/// The parameters of an authorization response. `error_description` and `error_uri` are dropped: they are text of
/// strangers.
pub struct Callback {
    state: String,
    issuer: Option<String>,
    outcome: Outcome,
}

/// The provider's answer.
pub(super) enum Outcome {
    /// An authorization code.
    Code(Secret<String>),
    /// An error code (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6).
    Error(String),
}

/// The query is not an authorization response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCallback {
    /// Too long, or not percent-encoded text.
    #[error("the query of the callback is malformed")]
    Malformed,
    /// A parameter stands twice (RFC 6749 section 3.1).
    #[error("the callback has a parameter twice")]
    Repeated,
    /// No `state`, or an empty one.
    #[error("the callback has no state")]
    NoState,
    /// Neither `code` nor `error`, or both.
    #[error("the callback has neither a code nor an error")]
    NoCode,
}

impl Callback {
    /// Parses the query of the callback URL, without its `?`. Unknown parameters are ignored.
    ///
    /// # Errors
    /// [`BadCallback`].
    pub fn parse(query: &str) -> Result<Self, BadCallback> {
        if query.len() > MAX_LENGTH {
            return Err(BadCallback::Malformed);
        }
        let [mut state, mut code, mut error, mut issuer] = [const { None }; 4];
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "state" => &mut state,
                "code" => &mut code,
                "error" => &mut error,
                "iss" => &mut issuer,
                _ => continue,
            };
            if slot.replace(decoded(value)?).is_some() {
                return Err(BadCallback::Repeated);
            }
        }
        let state = state.filter(|state| !state.is_empty()).ok_or(BadCallback::NoState)?;
        let outcome = match (code.filter(|code| !code.is_empty()), error) {
            (Some(code), None) => Outcome::Code(Secret::new(code)),
            (None, Some(error)) => Outcome::Error(error),
            (Some(_), Some(_)) | (None, None) => return Err(BadCallback::NoCode),
        };
        Ok(Self { state, issuer, outcome })
    }

    /// Returns `state`, which finds the flow's cookie.
    pub fn state(&self) -> &str {
        &self.state
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(super) const fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

impl fmt::Debug for Callback {
    /// Shows neither code nor state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

/// Decodes `application/x-www-form-urlencoded` text.
fn decoded(text: &str) -> Result<String, BadCallback> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let escaped = escaped_byte(&bytes[at..]).ok_or(BadCallback::Malformed)?;
                at += 2;
                escaped
            }
            plain => plain,
        });
    }
    String::from_utf8(out).map_err(|_| BadCallback::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(query: &str) -> Option<BadCallback> {
        Callback::parse(query).err()
    }

    #[test]
    fn callback_has_a_state_and_either_code_or_error() {
        let callback = Callback::parse("code=a%2Bb+c&state=s&iss=https%3A%2F%2Fid.example&scope=x").unwrap();
        assert!(matches!(callback.outcome(), Outcome::Code(code) if code.expose() == "a+b c"));
        assert_eq!((callback.state(), callback.issuer()), ("s", Some("https://id.example")));
        let denied = Callback::parse("error=access_denied&error_description=%3Cscript%3E&state=s").unwrap();
        assert!(matches!(denied.outcome(), Outcome::Error(error) if error == "access_denied"));
        assert_eq!(format!("{callback:?}"), "Callback");
    }

    #[test]
    fn incomplete_or_ambiguous_callback_is_refused() {
        for (query, error) in [
            ("", BadCallback::NoState),
            ("code=a", BadCallback::NoState),
            ("code=a&state=", BadCallback::NoState),
            ("code=a&state", BadCallback::NoState),
            ("state=s", BadCallback::NoCode),
            ("state=s&code=", BadCallback::NoCode),
            ("state=s&code=a&error=b", BadCallback::NoCode),
            ("state=s&state=s&code=a", BadCallback::Repeated),
            ("state=s&code=a&code=b", BadCallback::Repeated),
            ("state=s&code=a&iss=b&iss=b", BadCallback::Repeated),
            ("state=%zz&code=a", BadCallback::Malformed),
            ("state=%", BadCallback::Malformed),
            ("state=%ff&code=a", BadCallback::Malformed),
        ] {
            assert_eq!(error_of(query), Some(error), "{query}");
        }
        let long = format!("state=s&code={}", "a".repeat(MAX_LENGTH));
        assert_eq!(error_of(&long), Some(BadCallback::Malformed));
    }
}
