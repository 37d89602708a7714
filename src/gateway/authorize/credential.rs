//! Which credential a request carries: a bearer of our issuer, or our cookie.

use http::{HeaderMap, header};

use crate::error::Refusal;
use crate::policy::cookies::{self, Found, Names};
use crate::token::access;

/// What a request says about who it is. Not to be printed: it is a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    /// The access token to check, if there is one.
    pub(crate) token: Option<&'a str>,
    /// Whether it came in a cookie alone.
    pub(crate) by_cookie: bool,
    /// Whether there were several cookies of our name: one was planted, and none is believed.
    pub(crate) planted: bool,
    authorization: Authorization<'a>,
}

/// Whose business the `Authorization` field is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Authorization<'a> {
    Known(bool),
    /// Not looked at yet: a bearer that passes the check is ours anyway, and the look costs as much as the check.
    Bearer(&'a str),
}

impl Credential<'_> {
    /// Whether `Authorization` holds a token of ours: then it is not for the app to see.
    pub(crate) fn authorization_is_ours(&self, issuer: &str) -> bool {
        match self.authorization {
            Authorization::Known(ours) => ours,
            Authorization::Bearer(token) => access::claims_issuer(token, issuer),
        }
    }
}

/// Reads `Authorization` and our access cookie. What is not ours beside our cookie is the app's business.
///
/// # Errors
/// `CredentialsConflict` for two bearers of ours, or one that differs from our cookie, or several
/// `Authorization` fields.
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
    let bearer = authorization.and_then(|value| value.to_str().ok()).and_then(bearer);
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
            // Where both say the same, the header does: who sent it holds the token.
            ours => (Some(cookie), !ours, Authorization::Known(ours)),
        },
    };
    Ok(Credential { token, by_cookie, planted: found == Found::Several, authorization })
}

/// The values of all `Cookie` fields.
pub(crate) fn cookie_fields(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::COOKIE).iter().map(http::HeaderValue::as_bytes)
}

/// Whether a field that is no well-formed bearer credential still holds a token of ours: it is not a credential,
/// and not for the app to see either.
///
/// Only words that could be a token are decoded. A field with more of them than anybody has reason to send is taken for
/// ours unread: what may be a token is never passed on.
fn mentions_ours(value: &[u8], issuer: &str) -> bool {
    let words = value.split(|b| b.is_ascii_whitespace() || matches!(b, b',' | b'"' | b'='));
    let mut looked_at = 0;
    words.filter(|word| word.contains(&b'.')).any(|word| {
        looked_at += 1;
        looked_at > MAX_WORDS
            || std::str::from_utf8(word).is_ok_and(|word| access::claims_issuer(word, issuer))
    })
}

/// Maximum number of words of an `Authorization` field that are looked at as tokens. Digest and signature schemes
/// have about ten words, and a dot in one or two.
const MAX_WORDS: usize = 32;

/// The token of a bearer credential: the scheme in any case (RFC 9110 section 11.1), then b64token.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    let token = rest.trim_matches(' ');
    let is_b64token = token.bytes().fold(true, |all, byte| all & B64TOKEN[usize::from(byte)]);
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty() && is_b64token).then_some(token)
}

/// What a b64token may hold (RFC 6750 section 2.1), as a table: asked of each of some 450 bytes of every request.
const B64TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] =
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        byte += 1;
    }
    table
};

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

    fn ask(fields: &[(header::HeaderName, String)]) -> Result<(Option<String>, bool, bool), Refusal> {
        let map = headers(fields);
        read(&map, ISSUER, &cookies::HOST)
            .map(|c| (c.token.map(str::to_owned), c.by_cookie, c.authorization_is_ours(ISSUER)))
    }

    #[test]
    fn one_credential_is_read_wherever_it_is() {
        let (ours, foreign) = (token(ISSUER, 1), token("https://other.example", 1));
        let auth = |text: String| (header::AUTHORIZATION, text);
        let cookie = |text: &str| (header::COOKIE, format!("a=b; {}={text}", cookies::HOST.access));
        assert_eq!(ask(&[]), Ok((None, false, false)));
        assert_eq!(ask(&[auth(format!("bearer {ours}"))]), Ok((Some(ours.clone()), false, true)));
        assert_eq!(ask(&[auth(format!("Bearer  {ours}"))]), Ok((Some(ours.clone()), false, true)));
        assert_eq!(ask(&[auth(format!("Bearer {foreign}"))]), Ok((Some(foreign.clone()), false, false)));
        assert_eq!(ask(&[auth("Basic YTpi".into())]), Ok((None, false, false)));
        assert_eq!(
            ask(&[auth(format!("Bearer {ours} x"))]),
            Ok((None, false, true)),
            "malformed, and still not the app's"
        );
        assert_eq!(ask(&[auth(format!("Bearer\t{ours}"))]), Ok((None, false, true)));
        assert_eq!(ask(&[cookie(&ours)]), Ok((Some(ours.clone()), true, false)));
        // The app's own credential beside our cookie passes.
        assert_eq!(ask(&[auth("Basic YTpi".into()), cookie(&ours)]), Ok((Some(ours.clone()), true, false)));
        assert_eq!(
            ask(&[auth(format!("Bearer {foreign}")), cookie(&ours)]),
            Ok((Some(ours.clone()), true, false))
        );
        assert_eq!(ask(&[auth(format!("Bearer {ours}")), cookie(&ours)]), Ok((Some(ours), false, true)));
    }

    #[test]
    fn field_of_too_many_words_is_not_for_the_app() {
        let word = format!("e30.{}.x", base64url(r#"{"iss":"https://other.example"}"#));
        let field = |count: usize| format!("Custom {}", [word.as_str()].repeat(count).join(","));
        assert!(!mentions_ours(field(MAX_WORDS).as_bytes(), ISSUER));
        assert!(mentions_ours(field(MAX_WORDS + 1).as_bytes(), ISSUER));
        // Words without a dot are no tokens, however many there are.
        assert!(!mentions_ours("a,".repeat(16_000).as_bytes(), ISSUER));
    }

    #[test]
    fn two_different_credentials_are_a_conflict() {
        let auth = |text: String| (header::AUTHORIZATION, text);
        let (one, other) = (token(ISSUER, 1), token(ISSUER, 2));
        let cookie = (header::COOKIE, format!("{}={one}", cookies::HOST.access));
        assert_eq!(
            ask(&[auth(format!("Bearer {other}")), cookie.clone()]),
            Err(Refusal::CredentialsConflict)
        );
        assert_eq!(
            ask(&[auth("Basic YTpi".into()), auth(format!("Bearer {one}"))]),
            Err(Refusal::CredentialsConflict)
        );
        // Planted beside ours: neither counts.
        let planted = (header::COOKIE, format!("{}=evil", cookies::HOST.access));
        assert_eq!(ask(&[cookie, planted]), Ok((None, false, false)));
    }
}
