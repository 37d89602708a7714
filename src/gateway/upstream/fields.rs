//! Header fields of a request for the app.

use http::HeaderValue;
use pingora::http::{IntoCaseHeaderName, RequestHeader};

use crate::error::Refusal;

/// The name as the app sees it: one that is at hand, since Pingora copies a [`HeaderName`] for it.
pub(crate) fn set(
    request: &mut RequestHeader,
    name: impl IntoCaseHeaderName,
    value: HeaderValue,
) -> Result<(), Refusal> {
    request.insert_header(name, value).map_err(|_| Refusal::Internal)
}
