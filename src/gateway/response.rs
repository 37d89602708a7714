//! Answers: the one place where status codes and bodies of ours exist.
//!
//! Refusals are `application/problem+json` (RFC 9457) with a stable `code`, and the challenge RFC 6750 section 3
//! asks for. Nothing here says more than a client can use: the log has the reason.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::pages::{self, ASSET_HEADERS, Asset, Html};
use crate::request_id::RequestId;

/// A client that was refused for want of a store or a place should come back after this, in seconds: longer than
/// a failover's first moments, short enough that nobody notices.
const RETRY_AFTER: u64 = 1;

/// A complete answer of ours. Not to be printed: some are tokens.
#[derive(Clone)]
pub struct OwnResponse {
    /// The status code.
    pub status: u16,
    /// Header fields, without `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
    /// What it refuses in words for people; of others the caller knows.
    pub refused: Option<Refusal>,
}

impl OwnResponse {
    /// 200 with a JSON body nobody may keep.
    pub fn json(body: &Value) -> Self {
        Self::new(200, "application/json", body.to_string())
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// 200 with the public keys, to be kept for `max_age` seconds.
    pub fn jwks(body: &Value, max_age: u64) -> Self {
        let keep = HeaderValue::from_str(&format!("public, max-age={max_age}")).expect("digits");
        Self::new(200, "application/jwk-set+json", body.to_string()).with(header::CACHE_CONTROL, keep)
    }

    /// 200 with plain text.
    pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(200, content_type, body)
    }

    /// 204: an accepted preflight.
    pub fn preflight() -> Self {
        Self { status: 204, headers: Vec::new(), body: Bytes::new(), refused: None }
    }

    /// 308: to the same over https. Method and body would stay, and the body is none.
    pub fn redirect(to: HeaderValue) -> Self {
        Self { status: 308, headers: vec![(header::LOCATION, to)], body: Bytes::new(), refused: None }
    }

    /// 503: not ready, and why.
    pub fn not_ready(why: &str) -> Self {
        Self::new(503, "text/plain; charset=utf-8", format!("{why}\n"))
    }

    /// What a refusal looks like, of a request that is called `id`.
    pub fn refusal(refusal: &Refusal, id: Option<&RequestId>) -> Self {
        let (status, title) = status(refusal);
        let code = refusal.code();
        let mut problem = json!({
            "type": format!("urn:doorward:problem:{code}"), "title": title, "status": status, "code": code,
        });
        if let Some(detail) = detail(refusal) {
            problem["detail"] = detail.into();
        }
        if let Some(id) = id {
            // So that whoever reports it needs no look at the header.
            problem["request_id"] = id.as_str().into();
        }
        let mut answer = Self::new(status, "application/problem+json", problem.to_string())
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = challenge(refusal) {
            answer = answer.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        match refusal {
            Refusal::StoreUnavailable | Refusal::Overloaded => {
                answer = answer.with(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
            }
            Refusal::RateLimited(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                answer = answer.with(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Refusal::MethodNotAllowed(allowed) => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    answer = answer.with(header::ALLOW, allowed);
                }
            }
            _ => {}
        }
        answer
    }

    /// 200 with a page for a person.
    pub fn page(html: Html) -> Self {
        Self { status: 200, headers: page_headers().collect(), body: html.into(), refused: None }
    }

    /// The same refusal, said to a person.
    pub fn refused_page(refusal: &Refusal, id: Option<&RequestId>, html: Html) -> Self {
        let mut answer = Self::refusal(refusal, id);
        answer.headers.retain(|(name, _)| {
            *name == header::WWW_AUTHENTICATE || *name == header::RETRY_AFTER || *name == header::ALLOW
        });
        answer.headers.extend(page_headers());
        answer.body = html.into();
        answer.refused = Some(refusal.clone());
        answer
    }

    /// 303: the browser is to go on there (RFC 9700 section 4.12: never 307 after a password).
    pub fn see_other(location: &str) -> Self {
        let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
        Self {
            status: 303,
            headers: vec![no_store, (header::LOCATION, location)],
            body: Bytes::new(),
            refused: None,
        }
    }

    /// And the browser forgets what it keeps of this origin (W3C Clear Site Data): the Back button, a service worker or
    /// `CacheStorage` would show the app, as it was left, to whoever sits down next. `kinds` is the field's value.
    #[must_use]
    pub fn clearing(self, kinds: &str) -> Self {
        match HeaderValue::from_str(kinds) {
            Ok(kinds) if !kinds.is_empty() => self.with(HeaderName::from_static("clear-site-data"), kinds),
            _ => self,
        }
    }

    /// A page that is shown in frames, too; it has no form.
    #[must_use]
    pub fn in_frames(mut self) -> Self {
        for (name, value) in fixed(pages::IN_FRAMES) {
            self.headers.retain(|(known, _)| *known != name);
            if !value.is_empty() {
                self.headers.push((name, value));
            }
        }
        self
    }

    /// A file that pages load.
    pub fn asset(asset: &Asset) -> Self {
        let mut headers = fixed(ASSET_HEADERS).collect::<Vec<_>>();
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)));
        Self { status: 200, headers, body: asset.body.clone(), refused: None }
    }

    /// With one more header field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Whether a response to `method` carries the body (RFC 9110 section 9.3.2).
    pub fn sends_body(&self, method: &Method) -> bool {
        method != Method::HEAD && !self.body.is_empty()
    }

    fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let nosniff = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { status, headers: vec![content_type, nosniff], body: body.into(), refused: None }
    }
}

fn fixed(fields: &'static [(&'static str, &'static str)]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
}

fn page_headers() -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    fixed(pages::HEADERS)
}

/// Status code and title of a refusal.
const fn status(refusal: &Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::RequestInvalid(_) => (400, "The request is malformed"),
        Refusal::CredentialsConflict => (400, "The request carries two different credentials"),
        Refusal::TargetAmbiguous => (400, "The request target can be read in more than one way"),
        Refusal::PasswordRejected(_) => (400, "The password was not changed"),
        Refusal::TokenMissing => (401, "Sign in first"),
        Refusal::TokenInvalid => (401, "The access token is not valid"),
        Refusal::TokenExpired => (401, "The access token has expired"),
        Refusal::TokenRevoked => (401, "The session has ended"),
        Refusal::CredentialsWrong => (401, "The user name or the password is wrong"),
        Refusal::RefreshInvalid => (401, "The refresh token is not valid"),
        Refusal::RefreshReused => (401, "The refresh token was used before; its session has been ended"),
        Refusal::RoleMissing => (403, "The user has no role that may do this"),
        Refusal::OriginNotAllowed => (403, "Scripts of that origin may not do this"),
        Refusal::OtherResource(_) => (403, "The request acts on another resource that it may not"),
        Refusal::HttpsRequired => (403, "Send it over https"),
        Refusal::FormInvalid => (403, "The form is not of this page any more: load it again"),
        Refusal::CookieTooLarge => (403, "The user has more roles than a cookie can hold"),
        Refusal::RouteUnknown => (404, "There is nothing here"),
        Refusal::SessionUnknown => (404, "There is no such session"),
        Refusal::MethodNotAllowed(_) => (405, "The method is not allowed here"),
        Refusal::BodyTooLarge => (413, "The request body is too large"),
        Refusal::TargetTooLong => (414, "The request target is too long"),
        Refusal::MediaTypeUnsupported => (415, "Send application/json, not encoded"),
        Refusal::ConnectionOutdated => (421, "Connect anew: the client certificate counts no more"),
        Refusal::RateLimited(_) => (429, "Too many attempts"),
        Refusal::RequestTimeout => (408, "The request took too long to arrive"),
        Refusal::HeaderTooLarge => (431, "The request header is too large"),
        Refusal::Internal => (500, "Something went wrong on our side"),
        Refusal::UpstreamUnavailable => (502, "The application cannot be reached"),
        Refusal::StoreUnavailable => (503, "This cannot be decided at the moment"),
        Refusal::Overloaded => (503, "Too many requests are waiting"),
        Refusal::UpstreamTimeout => (504, "The application did not answer in time"),
    }
}

/// What to change, where the code does not say it.
const fn detail(refusal: &Refusal) -> Option<&str> {
    match refusal {
        Refusal::RequestInvalid(detail) | Refusal::PasswordRejected(detail) => Some(detail.as_str()),
        Refusal::OtherResource(detail) => Some(detail),
        Refusal::BodyTooLarge => Some(
            "the limit is `body_limit` of the route, which its operator may raise; of doorward's own endpoints it is 16 KiB",
        ),
        Refusal::TargetAmbiguous => Some(
            "send the path plainly: no dot segments, empty segments or escapes that are not needed; %2F passes where the route has \
             `encoded_slashes = true`",
        ),
        Refusal::MediaTypeUnsupported => {
            Some("send a JSON object with Content-Type: application/json, without Content-Encoding")
        }
        _ => None,
    }
}

/// The challenge of a refusal; `error` only where a credential was sent (RFC 6750 section 3.1). Without `realm`, which is
/// optional (RFC 9110 section 11.5): clients of container registries take it for the URL of a token server.
const fn challenge(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::TokenMissing | Refusal::CredentialsWrong => Some("Bearer"),
        Refusal::TokenInvalid => {
            Some(r#"Bearer error="invalid_token", error_description="not a valid access token""#)
        }
        Refusal::TokenExpired => {
            Some(r#"Bearer error="invalid_token", error_description="the access token has expired""#)
        }
        Refusal::TokenRevoked => {
            Some(r#"Bearer error="invalid_token", error_description="the session has ended""#)
        }
        Refusal::RefreshInvalid | Refusal::RefreshReused => {
            Some(r#"Bearer error="invalid_token", error_description="not a valid refresh token""#)
        }
        Refusal::CredentialsConflict => Some(r#"Bearer error="invalid_request""#),
        Refusal::RoleMissing => Some(r#"Bearer error="insufficient_scope""#),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// One of each; a variant that is added must be added here, or the match does not compile.
    fn all() -> Vec<Refusal> {
        let text = || String::from("x");
        let all = vec![
            Refusal::TokenMissing,
            Refusal::TokenInvalid,
            Refusal::TokenExpired,
            Refusal::TokenRevoked,
            Refusal::CredentialsConflict,
            Refusal::RoleMissing,
            Refusal::CredentialsWrong,
            Refusal::RefreshInvalid,
            Refusal::RefreshReused,
            Refusal::PasswordRejected(text()),
            Refusal::RateLimited(Duration::from_millis(1500)),
            Refusal::StoreUnavailable,
            Refusal::Overloaded,
            Refusal::RouteUnknown,
            Refusal::MethodNotAllowed(text()),
            Refusal::TargetAmbiguous,
            Refusal::TargetTooLong,
            Refusal::OtherResource("x"),
            Refusal::RequestInvalid(text()),
            Refusal::MediaTypeUnsupported,
            Refusal::BodyTooLarge,
            Refusal::RequestTimeout,
            Refusal::HeaderTooLarge,
            Refusal::OriginNotAllowed,
            Refusal::HttpsRequired,
            Refusal::ConnectionOutdated,
            Refusal::FormInvalid,
            Refusal::CookieTooLarge,
            Refusal::SessionUnknown,
            Refusal::UpstreamUnavailable,
            Refusal::UpstreamTimeout,
            Refusal::Internal,
        ];
        for refusal in &all {
            match refusal {
                Refusal::TokenMissing
                | Refusal::TokenInvalid
                | Refusal::TokenExpired
                | Refusal::TokenRevoked => {}
                Refusal::CredentialsConflict | Refusal::RoleMissing | Refusal::CredentialsWrong => {}
                Refusal::RefreshInvalid | Refusal::RefreshReused | Refusal::PasswordRejected(_) => {}
                Refusal::RateLimited(_) | Refusal::StoreUnavailable | Refusal::Overloaded => {}
                Refusal::RouteUnknown | Refusal::MethodNotAllowed(_) | Refusal::TargetAmbiguous => {}
                Refusal::RequestInvalid(_) | Refusal::MediaTypeUnsupported | Refusal::BodyTooLarge => {}
                Refusal::RequestTimeout
                | Refusal::HeaderTooLarge
                | Refusal::TargetTooLong
                | Refusal::OtherResource(_)
                | Refusal::OriginNotAllowed
                | Refusal::HttpsRequired
                | Refusal::ConnectionOutdated
                | Refusal::FormInvalid
                | Refusal::CookieTooLarge
                | Refusal::SessionUnknown => {}
                Refusal::UpstreamUnavailable | Refusal::UpstreamTimeout | Refusal::Internal => {}
            }
        }
        all
    }

    #[test]
    fn the_page_about_errors_lists_each_with_its_status() {
        let page = include_str!("../../docs/errors.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), all().len());
        for refusal in all() {
            let row = format!("| `{}` | {} |", refusal.code(), OwnResponse::refusal(&refusal, None).status);
            assert!(rows.iter().any(|line| line.starts_with(&row)), "no row {row}");
        }
    }

    #[test]
    fn every_401_challenges_and_every_wait_is_named() {
        for refusal in all() {
            let answer = OwnResponse::refusal(&refusal, None);
            let has = |name: HeaderName| answer.headers.iter().any(|(known, _)| *known == name);
            assert!(answer.status != 401 || has(header::WWW_AUTHENTICATE), "{refusal:?}");
            assert_eq!(matches!(answer.status, 429 | 503), has(header::RETRY_AFTER), "{refusal:?}");
            assert_eq!(answer.status == 405, has(header::ALLOW), "{refusal:?}");
            assert!(has(header::CACHE_CONTROL));
        }
        let waits = OwnResponse::refusal(&Refusal::RateLimited(Duration::from_millis(1500)), None);
        assert!(waits.headers.contains(&(header::RETRY_AFTER, HeaderValue::from(2))), "rounded up");
    }
}
