//! Responses of the browser: `credential.toJSON()` (section 5.1), decoded and bounded.

use serde::Deserialize;
use serde_json::Value;

use super::authenticator_data::MAX_CREDENTIAL_ID;
use super::error::PasskeyError;
use crate::id::from_base64url;

/// Maximum length of a response, in bytes. The longest parts, in base64url, take 15 KiB; an attestation statement that
/// nobody asked for takes as much again.
pub const MAX_RESPONSE: usize = 32 * 1024;
/// Maximum length of client data, in bytes. It has a challenge, an origin, and what browsers add at random: 300 bytes.
const MAX_CLIENT_DATA: usize = 4096;
/// Maximum length of authenticator data, in bytes. A credential id and an RSA key of the largest size take 2.1 KB; the
/// rest is for extensions.
const MAX_AUTHENTICATOR_DATA: usize = 4096;
/// Maximum length of a signature, in bytes: RSA with 8192 bits.
const MAX_SIGNATURE: usize = 1024;
/// Maximum length of a user handle, in bytes (section 5.4.3).
const MAX_USER_HANDLE: usize = 64;

/// Maximum number of transports that are kept, and of bytes of one. There are six of up to ten bytes; new ones may come.
const MAX_TRANSPORTS: usize = 16;
const MAX_TRANSPORT: usize = 32;

/// Response to a registration (`RegistrationResponseJSON`), not yet verified.
#[derive(Clone, Debug)]
pub struct RegistrationResponse {
    pub(super) credential_id: Vec<u8>,
    pub(super) client_data: Vec<u8>,
    pub(super) authenticator_data: Vec<u8>,
    pub(super) transports: String,
    pub(super) is_discoverable: Option<bool>,
}

/// Response to a sign-in (`AuthenticationResponseJSON`), not yet verified.
#[derive(Clone, Debug)]
pub struct AssertionResponse {
    pub(super) credential_id: Vec<u8>,
    pub(super) client_data: Vec<u8>,
    pub(super) authenticator_data: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) user_handle: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential<T> {
    id: String,
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: T,
    /// Any extension may be there, asked for or not (section 7.1 step 28).
    #[serde(default)]
    client_extension_results: Value,
}

#[derive(Deserialize)]
struct Attestation {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "authenticatorData")]
    authenticator_data: String,
    #[serde(default)]
    transports: Vec<String>,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "authenticatorData")]
    authenticator_data: String,
    signature: String,
    #[serde(rename = "userHandle")]
    user_handle: Option<String>,
}

impl RegistrationResponse {
    /// Parses the JSON of a registration.
    ///
    /// # Errors
    /// [`PasskeyError::TooLarge`], [`PasskeyError::Malformed`], [`PasskeyError::NotPublicKey`],
    /// [`PasskeyError::IdMismatch`].
    pub fn parse(json: &[u8]) -> Result<Self, PasskeyError> {
        let (credential_id, credential) = credential::<Attestation>(json)?;
        let response = credential.response;
        Ok(Self {
            credential_id,
            client_data: decoded("clientDataJSON", &response.client_data, MAX_CLIENT_DATA)?,
            authenticator_data: authenticator_data(&response.authenticator_data)?,
            transports: transports(&response.transports),
            is_discoverable: credential
                .client_extension_results
                .pointer("/credProps/rk")
                .and_then(Value::as_bool),
        })
    }
}

impl AssertionResponse {
    /// Parses the JSON of an assertion.
    ///
    /// # Errors
    /// As those of [`RegistrationResponse::parse`].
    pub fn parse(json: &[u8]) -> Result<Self, PasskeyError> {
        let (credential_id, credential) = credential::<Signed>(json)?;
        let response = credential.response;
        let handle = response.user_handle.as_deref().filter(|handle| !handle.is_empty());
        Ok(Self {
            credential_id,
            client_data: decoded("clientDataJSON", &response.client_data, MAX_CLIENT_DATA)?,
            authenticator_data: authenticator_data(&response.authenticator_data)?,
            signature: decoded("the signature", &response.signature, MAX_SIGNATURE)?,
            user_handle: handle.map(|handle| decoded("userHandle", handle, MAX_USER_HANDLE)).transpose()?,
        })
    }

    /// Returns the id of the credential, by which the passkey is looked up.
    pub fn credential_id(&self) -> &[u8] {
        &self.credential_id
    }

    /// Returns the user handle that the passkey was made with, if the authenticator sent it. Unverified.
    pub fn user_handle(&self) -> Option<&[u8]> {
        self.user_handle.as_deref()
    }
}

/// Reads the outer object. Returns the id of the credential beside it.
fn credential<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<(Vec<u8>, Credential<T>), PasskeyError> {
    if json.len() > MAX_RESPONSE {
        return Err(PasskeyError::TooLarge("the response"));
    }
    let credential: Credential<T> =
        serde_json::from_slice(json).map_err(|_| PasskeyError::Malformed("the response"))?;
    if credential.kind != "public-key" {
        return Err(PasskeyError::NotPublicKey);
    }
    // Each byte string has one spelling, so the texts may be compared.
    if credential.id != credential.raw_id {
        return Err(PasskeyError::IdMismatch);
    }
    let id = decoded("the credential id", &credential.raw_id, MAX_CREDENTIAL_ID)?;
    if id.is_empty() {
        return Err(PasskeyError::Malformed("the credential id"));
    }
    Ok((id, credential))
}

fn authenticator_data(text: &str) -> Result<Vec<u8>, PasskeyError> {
    decoded("authenticatorData", text, MAX_AUTHENTICATOR_DATA)
}

fn decoded(name: &'static str, text: &str, max: usize) -> Result<Vec<u8>, PasskeyError> {
    let bytes = from_base64url(text).ok_or(PasskeyError::Malformed(name))?;
    if bytes.len() > max { Err(PasskeyError::TooLarge(name)) } else { Ok(bytes) }
}

/// Joins transports by commas. They are hints for the browser that sent them: unknown ones are kept (section 5.2.1), and
/// what cannot be one is dropped.
fn transports(sent: &[String]) -> String {
    let is_name = |text: &str| {
        (1..=MAX_TRANSPORT).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let mut kept: Vec<&str> = Vec::new();
    for name in sent.iter().map(String::as_str).filter(|name| is_name(name)) {
        if kept.len() < MAX_TRANSPORTS && !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept.join(",")
}
