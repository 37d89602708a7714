//! Credential of a request: a bearer token of the gateway's issuer, or the gateway's cookie.

use http::{HeaderMap, header};

use crate::error::Refusal;
use crate::policy::cookies::{self, Found, Names};
use crate::token::access;
use crate::token::refresh::RefreshToken;

/// Credential of a request. It holds a token, so it has no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    /// Access token to verify.
    pub(crate) token: Option<&'a str>,
    /// Whether the token was sent only in a cookie.
    pub(crate) by_cookie: bool,
    /// Whether there are several cookies of the gateway's name: one was planted, and none is used.
    pub(crate) planted: bool,
    authorization: Authorization<'a>,
}

/// Owner of the `Authorization` field: the gateway or the app.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Authorization<'a> {
    /// Whether it is the gateway's.
    Known(bool),
    /// Not decoded yet: a bearer that passes verification is the gateway's anyway, and decoding costs as much as verification.
    Bearer(&'a str),
}

impl Credential<'_> {
    /// Whether the credential is a bearer token of the gateway, not a cookie.
    pub(crate) fn is_bearer_of(&self, issuer: &str) -> bool {
        self.token.is_some() && !self.by_cookie && self.authorization_is_ours(issuer)
    }

    /// Whether `Authorization` holds a token of the gateway, which the app must not see.
    pub(crate) fn authorization_is_ours(&self, issuer: &str) -> bool {
        match self.authorization {
            Authorization::Known(ours) => ours,
            Authorization::Bearer(token) => access::claims_issuer(token, issuer),
        }
    }
}

/// Reads `Authorization` and the access cookie. A foreign `Authorization` beside the cookie belongs to the app.
///
/// # Errors
/// `CredentialsConflict` for several `Authorization` fields, or a bearer of the gateway that differs from its cookie.
pub(crate) fn read<'a>(
    headers: &'a HeaderMap,
    issuer: &str,
    names: &Names,
) -> Result<Credential<'a>, Refusal> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = fields.next();
    if fields.next().is_some() {
        return Err(Refusal::CredentialsConflict);
    }
    let bearer = authorization.and_then(|value| bearer(value.as_bytes()));
    let found = cookies::find(cookie_fields(headers), names.access);
    let cookie = if let Found::One(token) = found { Some(token) } else { None };
    let (token, by_cookie, authorization) = match (bearer, cookie) {
        (None, cookie) => {
            let ours = authorization.is_some_and(|value| mentions_ours(value.as_bytes(), issuer));
            (cookie, cookie.is_some(), Authorization::Known(ours))
        }
        (Some(bearer), None) => (Some(bearer), false, Authorization::Bearer(bearer)),
        (Some(bearer), Some(cookie)) => match access::claims_issuer(bearer, issuer) {
            true if bearer != cookie => return Err(Refusal::CredentialsConflict),
            // If both are equal, the header counts: its sender knows the token, so it is no CSRF.
            ours => (Some(cookie), !ours, Authorization::Known(ours)),
        },
    };
    Ok(Credential { token, by_cookie, planted: found == Found::Several, authorization })
}

/// Returns the values of all `Cookie` fields.
pub(crate) fn cookie_fields(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::COOKIE).iter().map(http::HeaderValue::as_bytes)
}

/// Whether a field that is not a well-formed bearer credential still holds a token of the gateway. Such a field is no credential,
/// and the app must not see it either.
///
/// Only words with a dot are decoded. A field with more than [`MAX_WORDS`] of them counts as the gateway's without a check: a
/// possible token is never forwarded.
fn mentions_ours(value: &[u8], issuer: &str) -> bool {
    let mut checked = 0;
    words(value).filter(|word| word.contains(&b'.')).any(|word| {
        checked += 1;
        checked > MAX_WORDS || std::str::from_utf8(word).is_ok_and(|word| access::claims_issuer(word, issuer))
    })
}

/// Whether `Authorization` holds a refresh token, in any scheme: `is_refresh_token` recognises one. It is no credential of a request,
/// and gives a whole session away, so no app must see it.
///
/// Only words of its length are checked. A field with more than [`MAX_WORDS`] of them counts as one that holds a token.
pub(crate) fn mentions_refresh_token(headers: &HeaderMap, is_refresh_token: impl Fn(&str) -> bool) -> bool {
    // The cookie's value may have a suffix of two characters.
    let has_length = |word: &&[u8]| (RefreshToken::LENGTH..=RefreshToken::LENGTH + 2).contains(&word.len());
    let mut checked = 0;
    let fields = headers.get_all(header::AUTHORIZATION).iter();
    fields.flat_map(|value| words(value.as_bytes())).filter(has_length).any(|word| {
        checked += 1;
        checked > MAX_WORDS || std::str::from_utf8(word).is_ok_and(&is_refresh_token)
    })
}

/// Splits a field into its words.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| b.is_ascii_whitespace() || matches!(b, b',' | b'"' | b'='))
}

/// Maximum number of words of an `Authorization` field that are decoded as tokens. Digest and signature schemes have about ten
/// words, one or two with a dot.
const MAX_WORDS: usize = 32;

/// Returns the token of a bearer credential: the scheme in any case (RFC 9110 section 11.1), then b64token.
fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, rest) = value.split_at_checked(b"Bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    let token = std::str::from_utf8(rest).ok().filter(|_| is_bearer)?.trim_matches(' ');
    // Without a branch, in bytes: sixteen of about 450 are compared at once.
    let is_other = |byte: u8| u8::from(!is_b64token(byte));
    let is_b64token = token.bytes().fold(0, |any, byte| any | is_other(byte)) == 0;
    (!token.is_empty() && is_b64token).then_some(token)
}

/// Whether the byte belongs to a b64token (RFC 6750 section 2.1).
const fn is_b64token(byte: u8) -> bool {
    let lower = byte | 0x20;
    (lower >= b'a') & (lower <= b'z')
        // `/` and the digits.
        | (byte >= b'/') & (byte <= b'9')
        // `-` and `.`
        | (byte >= b'-') & (byte <= b'.')
        | (byte == b'_')
        | (byte == b'~')
        | (byte == b'+')
        | (byte == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::base64url;

    const ISSUER: &str = "https://door.example";

    fn headers(fields: &[(header::HeaderName, String)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, value.parse().unwrap());
        }
        map
    }

    fn token(issuer: &str, nonce: u8) -> String {
        format!("e30.{}.{nonce}", base64url(format!(r#"{{"iss":"{issuer}"}}"#)))
    }

    fn read_credential(
        fields: &[(header::HeaderName, String)],
    ) -> Result<(Option<String>, bool, bool), Refusal> {
        let map = headers(fields);
        read(&map, ISSUER, &cookies::HOST)
            .map(|c| (c.token.map(str::to_owned), c.by_cookie, c.authorization_is_ours(ISSUER)))
    }

    #[test]
    fn credential_is_read_from_header_or_cookie() {
        let (ours, foreign) = (token(ISSUER, 1), token("https://other.example", 1));
        let auth = |text: String| (header::AUTHORIZATION, text);
        let cookie = |text: &str| (header::COOKIE, format!("a=b; {}={text}", cookies::HOST.access));
        assert_eq!(read_credential(&[]), Ok((None, false, false)));
        assert_eq!(read_credential(&[auth(format!("bearer {ours}"))]), Ok((Some(ours.clone()), false, true)));
        assert_eq!(
            read_credential(&[auth(format!("Bearer  {ours}"))]),
            Ok((Some(ours.clone()), false, true))
        );
        assert_eq!(
            read_credential(&[auth(format!("Bearer {foreign}"))]),
            Ok((Some(foreign.clone()), false, false))
        );
        assert_eq!(read_credential(&[auth("Basic YTpi".into())]), Ok((None, false, false)));
        assert_eq!(
            read_credential(&[auth(format!("Bearer {ours} x"))]),
            Ok((None, false, true)),
            "malformed, and still hidden from the app"
        );
        assert_eq!(read_credential(&[auth(format!("Bearer\t{ours}"))]), Ok((None, false, true)));
        assert_eq!(read_credential(&[cookie(&ours)]), Ok((Some(ours.clone()), true, false)));
        // The app's own credential beside the cookie is forwarded.
        assert_eq!(
            read_credential(&[auth("Basic YTpi".into()), cookie(&ours)]),
            Ok((Some(ours.clone()), true, false))
        );
        assert_eq!(
            read_credential(&[auth(format!("Bearer {foreign}")), cookie(&ours)]),
            Ok((Some(ours.clone()), true, false))
        );
        assert_eq!(
            read_credential(&[auth(format!("Bearer {ours}")), cookie(&ours)]),
            Ok((Some(ours), false, true))
        );
    }

    #[test]
    fn b64token_has_the_characters_of_rfc_6750() {
        for byte in 0..=u8::MAX {
            let is_listed = byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            assert_eq!(is_b64token(byte), is_listed, "{byte:#x}");
        }
    }

    #[test]
    fn authorization_with_too_many_words_is_hidden_from_app() {
        let word = format!("e30.{}.x", base64url(r#"{"iss":"https://other.example"}"#));
        let field = |count: usize| format!("Custom {}", [word.as_str()].repeat(count).join(","));
        assert!(!mentions_ours(field(MAX_WORDS).as_bytes(), ISSUER));
        assert!(mentions_ours(field(MAX_WORDS + 1).as_bytes(), ISSUER));
        // Words without a dot are not tokens.
        assert!(!mentions_ours("a,".repeat(16_000).as_bytes(), ISSUER));
    }

    #[test]
    fn two_different_credentials_are_a_conflict() {
        let auth = |text: String| (header::AUTHORIZATION, text);
        let (one, other) = (token(ISSUER, 1), token(ISSUER, 2));
        let cookie = (header::COOKIE, format!("{}={one}", cookies::HOST.access));
        assert_eq!(
            read_credential(&[auth(format!("Bearer {other}")), cookie.clone()]),
            Err(Refusal::CredentialsConflict)
        );
        assert_eq!(
            read_credential(&[auth("Basic YTpi".into()), auth(format!("Bearer {one}"))]),
            Err(Refusal::CredentialsConflict)
        );
        // A planted cookie beside the real one: neither is used.
        let planted = (header::COOKIE, format!("{}=evil", cookies::HOST.access));
        assert_eq!(read_credential(&[cookie, planted]), Ok((None, false, false)));
    }
}
