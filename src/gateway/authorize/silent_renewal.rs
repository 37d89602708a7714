//! Silent renewal: a request with an expired access cookie and a valid refresh cookie is admitted. The response sets the new
//! cookies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::auth::{Admission, Auth, BrowserTokens, Control, DeviceCookie};
use crate::error::Refusal;
use crate::gateway::authorize::credential::{Credential, cookie_fields};
use crate::gateway::authorize::navigation;
use crate::gateway::response::OwnResponse;
use crate::policy::cookies::{self, Found, Names};
use crate::snapshot::Snapshot;

/// Remaining lifetime below which a token is renewed early, so that it does not expire during a slow request. At most a quarter of
/// its lifetime, so that short-lived tokens are not renewed with every request.
const ENDS_SOON: Duration = Duration::from_secs(30);

/// Maximum length of a cookie value, in bytes. Browsers accept 4 KiB of name, value and attributes (RFC 6265bis section 5.7); the
/// rest is for the name and the attributes with the longest domain.
pub(crate) const ROOM: usize = 3 * 1024 + 512;

/// `Set-Cookie` values of a response. They hold tokens, so `Debug` shows only their number.
#[derive(Default)]
pub(crate) struct SetCookies(Vec<HeaderValue>);

impl fmt::Debug for SetCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookies({})", self.0.len())
    }
}

impl SetCookies {
    /// Whether no cookie is set.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a cookie.
    pub(crate) fn push(&mut self, name: &str, value: &str, snapshot: &Snapshot, life: Option<Duration>) {
        let cookie = cookies::set(name, value, snapshot.cookie_domain.as_deref(), life);
        self.put(&cookie);
    }

    fn put(&mut self, cookie: &str) {
        if let Ok(mut value) = HeaderValue::from_str(cookie) {
            // Hides the value in the `Debug` output of response headers.
            value.set_sensitive(true);
            self.0.push(value);
        }
    }

    /// Sets the cookies of a browser session.
    pub(crate) fn set_tokens(&mut self, tokens: &BrowserTokens, snapshot: &Snapshot) {
        let names = snapshot.cookies;
        self.push(names.access, tokens.access.expose(), snapshot, tokens.keep);
        if let Some(refresh) = &tokens.refresh {
            self.push(names.refresh, refresh.expose(), snapshot, tokens.keep);
        }
        if let Some(device) = &tokens.device {
            self.set_device(device, snapshot);
        }
    }

    /// Sets the cookie that identifies the browser as a known device.
    pub(crate) fn set_device(&mut self, device: &DeviceCookie, snapshot: &Snapshot) {
        let (name, path, domain) =
            (snapshot.cookies.device, &snapshot.server.auth_prefix, snapshot.cookie_domain.as_deref());
        self.put(&cookies::set_below(path, name, &device.value, domain, Some(device.keep)));
    }

    /// Deletes the access and refresh cookies.
    pub(crate) fn forget(&mut self, snapshot: &Snapshot) {
        self.0.clear();
        for name in [snapshot.cookies.access, snapshot.cookies.refresh] {
            self.push(name, "", snapshot, Some(Duration::ZERO));
        }
    }

    /// Adds the cookies to a response of the gateway, which is never cached.
    pub(crate) fn on(&self, mut response: OwnResponse) -> OwnResponse {
        response.headers.extend(self.0.iter().map(|value| (header::SET_COOKIE, value.clone())));
        response
    }

    /// Adds the cookies to a response of the app. No shared cache may store it then.
    pub(crate) fn beside(&self, response: &mut ResponseHeader) -> pingora::Result<()> {
        for value in &self.0 {
            response.append_header(header::SET_COOKIE, value.clone())?;
        }
        Ok(())
    }
}

/// Returns the refresh cookie. `None` if there are several.
pub(crate) fn refresh_cookie<'a>(headers: &'a HeaderMap, names: &Names) -> Option<&'a str> {
    match cookies::find(cookie_fields(headers), names.refresh) {
        Found::One(value) => Some(value),
        Found::None | Found::Several => None,
    }
}

/// Whether cookies would admit the request: the access cookie, or the refresh cookie without a bearer of the gateway.
pub(crate) fn is_by_cookie(
    headers: &HeaderMap,
    credential: &Credential<'_>,
    issuer: &str,
    names: &Names,
) -> bool {
    let is_bearer = || credential.token.is_some() && credential.authorization_is_ours(issuer);
    credential.by_cookie || (!credential.planted && refresh_cookie(headers, names).is_some() && !is_bearer())
}

/// Authenticates a request by its credential, or by a renewed access cookie.
///
/// # Errors
/// As [`Auth::authenticate`]; `TokenMissing`.
pub(crate) async fn authenticate(
    (request, credential): (&RequestHeader, &Credential<'_>),
    fresh: bool,
    auth: &Arc<Auth>,
    snapshot: &Snapshot,
    control: &Arc<Control>,
    set: &mut SetCookies,
) -> Result<Admission, Refusal> {
    let settings = &snapshot.settings;
    let unrenewed = match credential.token {
        Some(token) => auth.authenticate(token, fresh, control, settings).await,
        None => Err(Refusal::TokenMissing),
    };
    let Some(cookie) = refresh_cookie(&request.headers, &snapshot.cookies) else { return unrenewed };
    // Evaluated lazily: decoding the bearer's issuer costs half as much as the whole verification.
    let has_bearer = credential.token.is_some() && !credential.by_cookie;
    let is_browser = || !has_bearer || !credential.authorization_is_ours(&settings.profile.issuer);
    if credential.planted || !is_browser() {
        return unrenewed;
    }
    match &unrenewed {
        Ok(admission) if !ends_soon(auth, &admission.identity, settings.profile.ttl) => return unrenewed,
        Ok(_) | Err(Refusal::TokenMissing | Refusal::TokenInvalid | Refusal::TokenExpired) => {}
        Err(_) => return unrenewed,
    }
    let page_view = request.method == Method::GET && navigation::is_navigation(request);
    for force_new in [false, true] {
        let renewed = match auth.renew(cookie, page_view, force_new, settings).await {
            Ok(renewed) => renewed,
            // The unrenewed token is still valid.
            Err(_) if unrenewed.is_ok() => return unrenewed,
            Err(Refusal::RefreshInvalid) => return unrenewed,
            Err(Refusal::RefreshReused) => return Err(Refusal::TokenRevoked),
            Err(undecided) => return Err(undecided),
        };
        match auth.authenticate(renewed.tokens.access.expose(), fresh, control, settings).await {
            // This token comes from the renewal of a concurrent request, and the user's roles have changed since.
            Err(Refusal::TokenExpired) if !force_new => {}
            Ok(admission) => {
                set.set_tokens(&renewed.tokens, snapshot);
                return Ok(admission);
            }
            refused => return refused,
        }
    }
    unrenewed
}

fn ends_soon(auth: &Auth, identity: &crate::identity::Identity, life: Duration) -> bool {
    auth.until(identity.expires_at()) < ENDS_SOON.min(life / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_cookie_values() {
        let mut value = HeaderValue::from_static("__Host-doorward-access=secret-token");
        value.set_sensitive(true);
        let cookies = SetCookies(vec![value]);
        let response = cookies.on(OwnResponse::redirect(HeaderValue::from_static("/")));
        for printed in [format!("{cookies:?}"), format!("{:?}", response.headers)] {
            assert!(!printed.contains("secret-token"), "{printed}");
        }
    }
}
