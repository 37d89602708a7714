//! Header fields of a request to the app.

use http::HeaderValue;
use pingora::http::{IntoCaseHeaderName, RequestHeader};

use crate::error::Refusal;

/// Sets a header field. Pass a static name where possible: Pingora copies a `HeaderName`.
pub(crate) fn set(
    request: &mut RequestHeader,
    name: impl IntoCaseHeaderName,
    value: HeaderValue,
) -> Result<(), Refusal> {
    request.insert_header(name, value).map_err(|_| Refusal::Internal)
}
