//! Requests and responses.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::error::OutboundError;
use crate::metrics::Purpose;
use crate::text::push_percent_encoded;

/// Default time limit of a request, connecting included. People wait for most of them.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Default size limit of a response body: far more than any document of a provider.
const MAX_BODY: usize = 1 << 20;

/// A request.
pub struct Request {
    pub(super) purpose: Purpose,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
    pub(super) max_body: usize,
}

impl Request {
    /// Creates a GET request that accepts JSON.
    pub fn get(purpose: Purpose, url: &str) -> Self {
        let mut fields = HeaderMap::new();
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            purpose,
            method: Method::GET,
            url: url.to_owned(),
            fields,
            body: Bytes::new(),
            timeout: TIMEOUT,
            max_body: MAX_BODY,
        }
    }

    /// Creates a POST request with a form (`application/x-www-form-urlencoded`) that accepts JSON.
    pub fn form(purpose: Purpose, url: &str, pairs: &[(&str, &str)]) -> Self {
        let mut request = Self::get(purpose, url);
        request.method = Method::POST;
        request.fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        request.body = form(pairs).into();
        request
    }

    /// Sets the credentials, as in `Authorization`. Text that a header cannot have is an error of the caller, and sends
    /// none.
    #[must_use]
    pub fn authorization(mut self, credentials: &str) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(credentials) {
            value.set_sensitive(true);
            self.fields.insert(AUTHORIZATION, value);
        }
        self
    }

    /// Sets the accepted media type.
    #[must_use]
    pub fn accept(mut self, media_type: &'static str) -> Self {
        self.fields.insert(ACCEPT, HeaderValue::from_static(media_type));
        self
    }

    /// Sets a header field.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Sets the maximum size of the response body, in bytes.
    #[must_use]
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets the time limit, connecting included.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }
}

impl fmt::Debug for Request {
    /// Shows neither body nor query nor credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?} {})", self.purpose, self.method)
    }
}

/// Encodes pairs as `application/x-www-form-urlencoded`, which is also the form of a query.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        push_percent_encoded(&mut out, name.as_bytes(), is_plain);
        out.push('=');
        push_percent_encoded(&mut out, value.as_bytes(), is_plain);
    }
    out
}

/// A complete response.
pub struct Response {
    pub(super) status: u16,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

impl Response {
    /// Creates a response.
    pub fn new(status: u16, fields: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self { status, fields, body: body.into() }
    }

    /// Returns the status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns the header fields.
    pub const fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the response if its status is a success.
    ///
    /// # Errors
    /// [`OutboundError::Status`], also for a redirect.
    pub fn success(self) -> Result<Self, OutboundError> {
        if self.status >= 200 && self.status < 300 {
            Ok(self)
        } else {
            Err(OutboundError::Status(self.status))
        }
    }
}

impl fmt::Debug for Response {
    /// Shows no content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}
