//! Silent renewal: who comes with an expired access cookie and a live refresh cookie is let in, and their browser is told
//! its new cookie beside the app's answer.

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

/// A token with less left than this is renewed already: a slow request is not to outlive it. A quarter of its life is
/// the most, so that short ones are not renewed with every request.
const ENDS_SOON: Duration = Duration::from_secs(30);

/// What browsers take of a cookie is 4 KiB of name, value and attributes (RFC 6265bis section 5.7): ours leave this for
/// the value, beside the longest domain.
pub(crate) const ROOM: usize = 3 * 1024 + 512;

/// `Set-Cookie` values an answer is to carry. They hold tokens: `Debug` tells only how many there are.
#[derive(Default)]
pub(crate) struct SetCookies(Vec<HeaderValue>);

impl fmt::Debug for SetCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookies({})", self.0.len())
    }
}

impl SetCookies {
    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts one in.
    pub(crate) fn push(&mut self, name: &str, value: &str, snapshot: &Snapshot, life: Option<Duration>) {
        let cookie = cookies::set(name, value, snapshot.cookie_domain.as_deref(), life);
        self.put(&cookie);
    }

    fn put(&mut self, cookie: &str) {
        if let Ok(mut value) = HeaderValue::from_str(cookie) {
            // Its own `Debug` tells nothing either, wherever a response header is printed.
            value.set_sensitive(true);
            self.0.push(value);
        }
    }

    /// What a browser is to keep from now on.
    pub(crate) fn keep(&mut self, tokens: &BrowserTokens, snapshot: &Snapshot) {
        let names = snapshot.cookies;
        self.push(names.access, tokens.access.expose(), snapshot, tokens.keep);
        if let Some(refresh) = &tokens.refresh {
            self.push(names.refresh, refresh.expose(), snapshot, tokens.keep);
        }
        if let Some(device) = &tokens.device {
            self.know(device, snapshot);
        }
    }

    /// What the browser is known by from now on.
    pub(crate) fn know(&mut self, device: &DeviceCookie, snapshot: &Snapshot) {
        let (name, path, domain) =
            (snapshot.cookies.device, &snapshot.server.auth_prefix, snapshot.cookie_domain.as_deref());
        self.put(&cookies::set_below(path, name, &device.value, domain, Some(device.keep)));
    }

    /// Both are to be forgotten.
    pub(crate) fn forget(&mut self, snapshot: &Snapshot) {
        self.0.clear();
        for name in [snapshot.cookies.access, snapshot.cookies.refresh] {
            self.push(name, "", snapshot, Some(Duration::ZERO));
        }
    }

    /// Beside an answer of ours; those are never kept by anybody.
    pub(crate) fn on(&self, mut answer: OwnResponse) -> OwnResponse {
        answer.headers.extend(self.0.iter().map(|value| (header::SET_COOKIE, value.clone())));
        answer
    }

    /// Beside the app's own; no shared cache may then keep the response.
    pub(crate) fn beside(&self, response: &mut ResponseHeader) -> pingora::Result<()> {
        for value in &self.0 {
            response.append_header(header::SET_COOKIE, value.clone())?;
        }
        Ok(())
    }
}

/// The refresh cookie, where there is one and no other.
pub(crate) fn refresh_cookie<'a>(headers: &'a HeaderMap, names: &Names) -> Option<&'a str> {
    match cookies::find(cookie_fields(headers), names.refresh) {
        Found::One(value) => Some(value),
        Found::None | Found::Several => None,
    }
}

/// Whether a request is admitted by a cookie of ours, if it is: by the access cookie, or by the refresh cookie where no bearer
/// of ours says otherwise.
pub(crate) fn is_by_cookie(
    headers: &HeaderMap,
    credential: &Credential<'_>,
    issuer: &str,
    names: &Names,
) -> bool {
    let is_bearer = || credential.token.is_some() && credential.authorization_is_ours(issuer);
    credential.by_cookie || (!credential.planted && refresh_cookie(headers, names).is_some() && !is_bearer())
}

/// The check of a request that may be a browser's: with its access cookie, or with a new one.
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
    let first = match credential.token {
        Some(token) => auth.authenticate(token, fresh, control, settings).await,
        None => Err(Refusal::TokenMissing),
    };
    let Some(cookie) = refresh_cookie(&request.headers, &snapshot.cookies) else { return first };
    // Looked at last: reading whose bearer it is costs half as much as the whole check.
    let app_has_its_own = credential.token.is_some() && !credential.by_cookie;
    let is_browser = || !app_has_its_own || !credential.authorization_is_ours(&settings.profile.issuer);
    if credential.planted || !is_browser() {
        return first;
    }
    match &first {
        Ok(admission) if !ends_soon(auth, &admission.identity, settings.profile.ttl) => return first,
        Ok(_) | Err(Refusal::TokenMissing | Refusal::TokenInvalid | Refusal::TokenExpired) => {}
        Err(_) => return first,
    }
    let page_view = request.method == Method::GET && navigation::is_navigation(request);
    for anew in [false, true] {
        let renewed = match auth.renew(cookie, page_view, anew, settings).await {
            Ok(renewed) => renewed,
            // What is still good needs nobody.
            Err(_) if first.is_ok() => return first,
            Err(Refusal::RefreshInvalid) => return first,
            Err(Refusal::RefreshReused) => return Err(Refusal::TokenRevoked),
            Err(undecided) => return Err(undecided),
        };
        match auth.authenticate(renewed.tokens.access.expose(), fresh, control, settings).await {
            // Rights have changed since somebody else's renewal, whose answer this was.
            Err(Refusal::TokenExpired) if !anew => {}
            Ok(admission) => {
                set.keep(&renewed.tokens, snapshot);
                return Ok(admission);
            }
            refused => return refused,
        }
    }
    first
}

fn ends_soon(auth: &Auth, identity: &crate::identity::Identity, life: Duration) -> bool {
    auth.until(identity.expires_at()) < ENDS_SOON.min(life / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_in_cookies_are_not_printed() {
        let mut value = HeaderValue::from_static("__Host-doorward-access=secret-token");
        value.set_sensitive(true);
        let cookies = SetCookies(vec![value]);
        let answer = cookies.on(OwnResponse::redirect(HeaderValue::from_static("/")));
        for printed in [format!("{cookies:?}"), format!("{:?}", answer.headers)] {
            assert!(!printed.contains("secret-token"), "{printed}");
        }
    }
}
