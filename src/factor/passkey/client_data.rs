//! Client data: what the browser says it did, and on which page (section 5.8.1).

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::ceremony::Ceremony;
use super::error::PasskeyError;

/// `type` of the client data of a registration.
pub(super) const CREATE: &str = "webauthn.create";
/// `type` of the client data of an assertion.
pub(super) const GET: &str = "webauthn.get";

/// Maximum length of an origin in an error, in bytes. A host has at most 253; a longer one is a stranger's text.
const MAX_SHOWN_ORIGIN: usize = 280;

/// Members that are checked. Others are ignored: browsers add some at random, so that nobody compares templates.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    is_cross_origin: bool,
    #[serde(default, rename = "topOrigin", deserialize_with = "present")]
    has_top_origin: bool,
}

/// Verifies client data: sections 7.1 and 7.2, the steps from the UTF-8 decoding to `topOrigin`.
///
/// # Errors
/// The first fault, in the order of the specification.
pub(super) fn verify(json: &[u8], kind: &str, ceremony: &Ceremony<'_>) -> Result<(), PasskeyError> {
    // UTF-8 decode of the Encoding standard drops a byte order mark.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let data: ClientData =
        serde_json::from_slice(json).map_err(|_| PasskeyError::Malformed("clientDataJSON"))?;
    if data.kind != kind {
        return Err(PasskeyError::WrongType);
    }
    if data.challenge != ceremony.challenge.to_string() {
        return Err(PasskeyError::WrongChallenge);
    }
    // Exactly, with scheme and port: a page of a subdomain may have been written by somebody else (section 13.4.8).
    if !ceremony.relying_party.has_origin(&data.origin) {
        let mut origin = data.origin;
        origin.truncate(origin.floor_char_boundary(MAX_SHOWN_ORIGIN));
        return Err(PasskeyError::WrongOrigin(origin));
    }
    if data.is_cross_origin {
        return Err(PasskeyError::CrossOrigin);
    }
    if data.has_top_origin {
        return Err(PasskeyError::TopOrigin);
    }
    Ok(())
}

/// Returns true for any value, `null` too.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}
