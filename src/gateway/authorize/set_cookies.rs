//! Cookies that a response sets: those of a sign-in or a silent renewal, and their removal.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, header};
use pingora::http::ResponseHeader;

use crate::auth::{BrowserTokens, DeviceCookie};
use crate::gateway::response::OwnResponse;
use crate::policy::cookies;
use crate::snapshot::Snapshot;

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
