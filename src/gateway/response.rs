//! Responses of the gateway: the only place with its status codes and bodies.
//!
//! Refusals are `application/problem+json` (RFC 9457) with a stable `code`, and the challenge of RFC 6750 section 3. The client
//! learns no more than it can use: the log has the reason.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::error::{FactorRefusal, LinkRefusal, ProviderRefusal, Refusal};
use crate::identity::ACR_MULTI_FACTOR;
use crate::pages::{self, ASSET_HEADERS, Asset, Html};
use crate::request_id::RequestId;

/// `Retry-After` of refusals for an unavailable store or overload, in seconds: longer than the first moments of a failover, short
/// enough to go unnoticed.
const RETRY_AFTER: u64 = 1;

/// A complete response of the gateway. Some hold tokens, so it has no `Debug`.
#[derive(Clone)]
pub struct OwnResponse {
    /// Status code.
    pub status: u16,
    /// Header fields, without `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
    /// Refusal that an HTML page shows, for the access log. Callers of [`Self::refusal`] log it themselves.
    pub logged_refusal: Option<Refusal>,
}

impl OwnResponse {
    /// Builds a 200 with a JSON body that must not be stored.
    pub fn json(body: &Value) -> Self {
        Self::new(200, "application/json", body.to_string())
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// Builds a 200 with the public keys, cacheable for `max_age` seconds.
    pub fn jwks(body: &Value, max_age: u64) -> Self {
        let cache_control = HeaderValue::from_str(&format!("public, max-age={max_age}")).expect("digits");
        Self::new(200, "application/jwk-set+json", body.to_string())
            .with(header::CACHE_CONTROL, cache_control)
    }

    /// Builds a 200 with text.
    pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(200, content_type, body)
    }

    /// Builds a 204 for an accepted preflight.
    pub fn preflight() -> Self {
        Self { status: 204, headers: Vec::new(), body: Bytes::new(), logged_refusal: None }
    }

    /// Builds a 308 to the same target over https. Only used for requests without a body.
    pub fn redirect(to: HeaderValue) -> Self {
        Self { status: 308, headers: vec![(header::LOCATION, to)], body: Bytes::new(), logged_refusal: None }
    }

    /// Builds a 503 for a failed readiness or health check.
    pub fn not_ready(reason: &str) -> Self {
        Self::new(503, "text/plain; charset=utf-8", format!("{reason}\n"))
    }

    /// Builds the problem document of a refusal; `id` is the request id.
    pub fn refusal(refusal: &Refusal, id: Option<&RequestId>) -> Self {
        let (status, title) = status(refusal);
        let code = refusal.code();
        let mut problem = json!({
            "type": format!("urn:doorward:problem:{code}"), "title": title, "status": status, "code": code,
        });
        if let Some(detail) = detail(refusal) {
            problem["detail"] = detail.into();
        }
        if let Refusal::PasswordRejected(fault) = refusal {
            problem["reason"] = fault.code().into();
        }
        if let Some(id) = id {
            // In the body too, so that users can report it without reading headers.
            problem["request_id"] = id.as_str().into();
        }
        let mut response = Self::new(status, "application/problem+json", problem.to_string())
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = challenge(refusal) {
            response = response.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Refusal::ProofMissing { multi_factor, max_age } = refusal {
            response = response.with(header::WWW_AUTHENTICATE, proof_challenge(*multi_factor, *max_age));
        }
        match refusal {
            Refusal::StoreUnavailable | Refusal::Overloaded => {
                response = response.with(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
            }
            Refusal::RateLimited(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                response = response.with(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Refusal::MethodNotAllowed(allowed) => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    response = response.with(header::ALLOW, allowed);
                }
            }
            _ => {}
        }
        response
    }

    /// Builds the refusal of a logout token: `error` beside the fields of a problem document (OpenID Connect Back-Channel
    /// Logout 1.0 section 2.8).
    pub fn logout_refused(refusal: &Refusal, id: Option<&RequestId>) -> Self {
        let mut response = Self::refusal(refusal, id);
        if let Ok(Value::Object(mut problem)) = serde_json::from_slice(&response.body) {
            problem.insert("error".into(), "invalid_request".into());
            response.body = Value::Object(problem).to_string().into();
        }
        response.logged_refusal = Some(refusal.clone());
        response
    }

    /// Builds a 200 with an HTML page.
    pub fn page(html: Html) -> Self {
        Self { status: 200, headers: page_headers().collect(), body: html.into(), logged_refusal: None }
    }

    /// Builds the HTML page of a refusal.
    pub fn refused_page(refusal: &Refusal, id: Option<&RequestId>, html: Html) -> Self {
        let mut response = Self::refusal(refusal, id);
        response.headers.retain(|(name, _)| {
            *name == header::WWW_AUTHENTICATE || *name == header::RETRY_AFTER || *name == header::ALLOW
        });
        response.headers.extend(page_headers());
        response.body = html.into();
        response.logged_refusal = Some(refusal.clone());
        response
    }

    /// Builds a 303 redirect (RFC 9700 section 4.12: never 307 after a password).
    pub fn see_other(location: &str) -> Self {
        let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
        Self {
            status: 303,
            headers: vec![no_store, (header::LOCATION, location)],
            body: Bytes::new(),
            logged_refusal: None,
        }
    }

    /// Adds `Clear-Site-Data` (W3C) with the value `kinds`. Otherwise the Back button, a service worker or `CacheStorage` would
    /// show the app's last state to the next user of the browser.
    #[must_use]
    pub fn clearing(self, kinds: &str) -> Self {
        match HeaderValue::from_str(kinds) {
            Ok(kinds) if !kinds.is_empty() => self.with(HeaderName::from_static("clear-site-data"), kinds),
            _ => self,
        }
    }

    /// Allows frames to show the page. It must have no form.
    #[must_use]
    pub fn in_frames(mut self) -> Self {
        for (name, value) in fixed(pages::IN_FRAMES) {
            self.headers.retain(|(present, _)| *present != name);
            if !value.is_empty() {
                self.headers.push((name, value));
            }
        }
        self
    }

    /// Keeps the path and the query of the page, which may have a link's token, from the next one.
    #[must_use]
    pub fn without_path_in_referrer(mut self) -> Self {
        // Not `no-referrer`: with that, browsers send `Origin: null` with the page's own forms.
        self.headers.retain(|(name, _)| *name != header::REFERRER_POLICY);
        self.with(header::REFERRER_POLICY, HeaderValue::from_static("origin"))
    }

    /// Builds a 200 with a static file of the pages.
    pub fn asset(asset: &Asset) -> Self {
        let mut headers = fixed(ASSET_HEADERS).collect::<Vec<_>>();
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)));
        Self { status: 200, headers, body: asset.body.clone(), logged_refusal: None }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Whether a response to `method` has a body (RFC 9110 section 9.3.2).
    pub fn sends_body(&self, method: &Method) -> bool {
        method != Method::HEAD && !self.body.is_empty()
    }

    fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let nosniff = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { status, headers: vec![content_type, nosniff], body: body.into(), logged_refusal: None }
    }
}

fn fixed(fields: &'static [(&'static str, &'static str)]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
}

fn page_headers() -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    fixed(pages::HEADERS)
}

/// Returns status code and title of a refusal.
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
        Refusal::ProofMissing { .. } => (401, "A second factor, or a more recent sign-in, is needed"),
        Refusal::Link(LinkRefusal::Invalid) => (400, "The link cannot be used any more"),
        Refusal::Link(LinkRefusal::OtherBrowser) => (403, "The link works in another browser"),
        Refusal::Factor(why) => factor_status(*why),
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
        Refusal::UpstreamTimeout => (504, "The application did not response in time"),
        Refusal::Provider(why) => provider_status(*why),
    }
}

const fn factor_status(why: FactorRefusal) -> (u16, &'static str) {
    match why {
        FactorRefusal::SignInLost => (400, "This sign-in is not in progress in this browser"),
        FactorRefusal::PasskeyExpired => (400, "The request to the passkey is too old"),
        FactorRefusal::PasskeyWrong => (403, "The passkey was not accepted"),
        FactorRefusal::PasskeyUnknown => (403, "The passkey is not set up here"),
        FactorRefusal::PasskeyNotAlone => (403, "Sign in with your provider first"),
        FactorRefusal::CodeMissing => (403, "A second factor is needed"),
        FactorRefusal::CodeWrong => (403, "The code is wrong, or was used before"),
        FactorRefusal::NotEnrolled => (403, "A second factor must be set up first"),
        FactorRefusal::Last => (403, "The last second factor is needed"),
        FactorRefusal::Unknown => (404, "There is no such factor"),
        FactorRefusal::Taken => (409, "The passkey is in use already"),
        FactorRefusal::TooMany => (409, "There are too many of these"),
    }
}

const fn provider_status(why: ProviderRefusal) -> (u16, &'static str) {
    match why {
        ProviderRefusal::FlowLost => (400, "This sign-in is not in progress in this browser"),
        ProviderRefusal::LogoutTokenInvalid => (400, "The logout token is not valid"),
        ProviderRefusal::Denied => (403, "The sign-in was refused at the provider"),
        ProviderRefusal::NotAllowed => (403, "The provider's account may not sign in here"),
        ProviderRefusal::NoAccount => (403, "The provider's account has no account here"),
        ProviderRefusal::LoginTaken => (403, "The user name belongs to another account"),
        ProviderRefusal::NoUsername => (403, "The provider gives no usable user name"),
        ProviderRefusal::ApprovalPending => (403, "The account waits for approval"),
        ProviderRefusal::AccountDisabled => (403, "The account is disabled"),
        ProviderRefusal::PasswordsOff => (403, "Sign in with a provider"),
        ProviderRefusal::AccountTaken => (403, "The provider's account belongs to another user"),
        ProviderRefusal::LastWay => (403, "This is the last way to sign in"),
        ProviderRefusal::Away => (502, "The provider cannot be reached"),
        ProviderRefusal::Failed => (502, "The provider's answer is not valid"),
    }
}

/// Returns a hint for the client, if the title is not enough.
fn detail(refusal: &Refusal) -> Option<String> {
    let fixed = match refusal {
        Refusal::RequestInvalid(detail) => detail.as_str(),
        Refusal::PasswordRejected(fault) => return Some(fault.to_string()),
        Refusal::OtherResource(detail) => *detail,
        Refusal::BodyTooLarge => {
            "the limit is `body_limit` of the route, which its operator may raise; of doorward's own endpoints it is 16 KiB"
        }
        Refusal::TargetAmbiguous => {
            "servers may read this path in several ways that lead to different routes: write it as the route does, in the same \
             letter case, without `;`, dot segments, a dot or slash at its end, or needless escapes; %2F passes where the route \
             has `encoded_slashes = true`"
        }
        Refusal::MediaTypeUnsupported => {
            "send a JSON object with Content-Type: application/json, without Content-Encoding"
        }
        Refusal::Factor(FactorRefusal::CodeMissing) => {
            "the user name and the password are right: send them again with `code`, from the authenticator app or a recovery code"
        }
        Refusal::Factor(FactorRefusal::NotEnrolled) => {
            "sign in with a browser to set up an authenticator app"
        }
        Refusal::ProofMissing { .. } => {
            "send a code of the authenticator app, or the password, to `step-up` below the auth prefix, and use the new tokens"
        }
        _ => return None,
    };
    Some(fixed.to_owned())
}

/// Returns the challenge of a refusal, with `error` only if a credential was sent (RFC 6750 section 3.1). It has no `realm`, which
/// is optional (RFC 9110 section 11.5): clients of container registries take it for the URL of a token server.
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

/// Returns the challenge for more proof (RFC 9470 section 3). `acr_values` is the context class that is needed.
fn proof_challenge(multi_factor: bool, max_age: Option<Duration>) -> HeaderValue {
    let mut text = String::from(
        r#"Bearer error="insufficient_user_authentication", error_description="more proof of the user is needed""#,
    );
    if multi_factor {
        text.push_str(&format!(r#", acr_values="{ACR_MULTI_FACTOR}""#));
    }
    if let Some(max_age) = max_age {
        text.push_str(&format!(r#", max_age="{}""#, max_age.as_secs()));
    }
    HeaderValue::try_from(text).expect("ASCII without control characters")
}

#[cfg(test)]
mod tests;
