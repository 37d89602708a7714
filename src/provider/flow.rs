//! A sign-in in progress: its secrets, sealed into a cookie of the browser that began it. Nothing is stored here, and
//! each tab has a flow of its own.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::config::ProviderId;
use crate::id::{Random, SessionId, base64url, from_base64url};
use crate::secret::Secret;

/// Maximum time between leaving for the provider and coming back. Shorter fails people who look for their second factor;
/// longer keeps stale tabs alive.
pub const FLOW_LIFETIME: Duration = Duration::from_mins(10);

/// Maximum length of a return path in a flow, in bytes. A browser drops cookies above 4 KiB, and eight flows at once must
/// fit into a request header.
const MAX_RETURN_TO: usize = 1024;

/// Maximum length of a sealed flow, in characters.
const MAX_SEALED: usize = 4096;

/// Version of the layout of sealed flows.
const LAYOUT: u8 = 1;

/// Reason for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowPurpose {
    /// A sign-in.
    SignIn,
    /// A link of an external account to the user of this session. The callback must come with the same session.
    Link(SessionId),
    /// A fresh proof for this session. The callback must come with the same session.
    StepUp(SessionId),
}

/// Choices with which a flow begins.
#[derive(Clone, Debug)]
pub struct FlowStart<'a> {
    /// The provider.
    pub provider: &'a ProviderId,
    /// Its issuer as configured, for the defence against mix-up (RFC 9700 section 4.4).
    pub issuer: &'a str,
    /// Path to return to: of this origin, checked by the caller. One above 1024 bytes becomes `/`.
    pub return_to: &'a str,
    /// Reason.
    pub purpose: FlowPurpose,
    /// Maximum time since the last active sign-in at the provider; the ID token must then prove it.
    pub max_age: Option<Duration>,
    /// True for "Keep me signed in".
    pub remember: bool,
}

/// A sign-in in progress.
#[derive(Clone, PartialEq, Eq)]
pub struct Flow {
    /// The provider.
    pub provider: ProviderId,
    /// Its issuer as configured when the flow began.
    pub issuer: String,
    /// Path to return to.
    pub return_to: String,
    /// Time at which the flow began.
    pub started_at: Timestamp,
    /// Reason.
    pub purpose: FlowPurpose,
    /// Maximum time since the last active sign-in at the provider, in whole seconds.
    pub max_age: Option<Duration>,
    /// True for "Keep me signed in".
    pub remember: bool,
    state: Secret<String>,
    nonce: Secret<String>,
    verifier: Secret<String>,
}

/// No flow belongs to the callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// Not sealed here, sealed under another cookie name, or changed.
    #[error("the cookie of the flow is not valid")]
    Invalid,
    /// Another `state`.
    #[error("the state belongs to another flow")]
    OtherState,
    /// Older than [`FLOW_LIFETIME`].
    #[error("the flow has expired")]
    Expired,
}

impl Flow {
    /// Begins a flow with a new state, nonce and PKCE verifier of 256 random bits each.
    pub fn begin(start: &FlowStart<'_>, now: Timestamp, random: &dyn Random) -> Self {
        let secret = || Secret::new(base64url(random.bytes::<32>()));
        let return_to = if start.return_to.len() > MAX_RETURN_TO { "/" } else { start.return_to };
        Self {
            provider: start.provider.clone(),
            issuer: start.issuer.to_owned(),
            return_to: return_to.to_owned(),
            started_at: now,
            purpose: start.purpose,
            max_age: start.max_age.map(|max_age| Duration::from_secs(max_age.as_secs())),
            remember: start.remember,
            state: secret(),
            nonce: secret(),
            verifier: secret(),
        }
    }

    /// Returns the state, which the provider returns. Not for logs.
    pub fn state(&self) -> &str {
        self.state.expose()
    }

    pub(super) fn nonce(&self) -> &str {
        self.nonce.expose()
    }

    pub(super) fn verifier(&self) -> &str {
        self.verifier.expose()
    }

    /// Returns the PKCE challenge: S256 (RFC 7636 section 4.2).
    pub(super) fn challenge(&self) -> String {
        base64url(digest(&SHA256, self.verifier.expose().as_bytes()))
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("provider", &self.provider)
            .field("purpose", &self.purpose)
            .field("started_at", &self.started_at)
            .finish_non_exhaustive()
    }
}

/// Returns the end of the cookie name of the flow with this state. A name for each flow lets tabs work side by side; it
/// is a hash, so that the name tells nothing about the state.
pub fn cookie_suffix(state: &str) -> String {
    // 72 bits: two flows of a browser do not meet, and nobody gains from a name.
    base64url(&digest(&SHA256, state.as_bytes()).as_ref()[..9])
}

/// Key that seals flows.
pub struct FlowKey(LessSafeKey);

impl FlowKey {
    /// Purpose for which the key is derived from the master secret.
    pub const DERIVATION: &'static str = "provider flow";

    /// Creates the key from a derived secret.
    pub fn new(secret: &Secret<[u8; 32]>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, secret.expose()).expect("32 bytes are an AES-256 key");
        Self(LessSafeKey::new(key))
    }

    /// Seals a flow into the value of the cookie `name`.
    pub fn seal(&self, flow: &Flow, name: &str, random: &dyn Random) -> String {
        let sealed = Sealed::of(flow);
        let mut body = serde_json::to_vec(&sealed).expect("strings and numbers serialise");
        let nonce: [u8; NONCE_LEN] = random.bytes();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut body,
            )
            .expect("AES-GCM seals anything below 64 GiB");
        let mut out = vec![LAYOUT];
        out.extend_from_slice(&nonce);
        out.append(&mut body);
        base64url(out)
    }

    /// Opens the value of the cookie `name`, for a callback with this `state`.
    ///
    /// # Errors
    /// [`FlowError`].
    pub fn open(&self, value: &str, name: &str, state: &str, now: Timestamp) -> Result<Flow, FlowError> {
        let bytes = (value.len() <= MAX_SEALED).then(|| from_base64url(value)).flatten();
        let bytes = bytes.ok_or(FlowError::Invalid)?;
        let (&layout, rest) = bytes.split_first().ok_or(FlowError::Invalid)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(FlowError::Invalid)?;
        if layout != LAYOUT {
            return Err(FlowError::Invalid);
        }
        let mut body = body.to_vec();
        let plain = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name.as_bytes()), &mut body)
            .map_err(|_| FlowError::Invalid)?;
        let flow = serde_json::from_slice::<Sealed<'_>>(plain).ok().and_then(Sealed::flow);
        let flow = flow.ok_or(FlowError::Invalid)?;
        verify_slices_are_equal(flow.state().as_bytes(), state.as_bytes())
            .map_err(|_| FlowError::OtherState)?;
        // A clock that went back is tolerated for as long as the flow would live.
        let age = now.since(flow.started_at).max(flow.started_at.since(now));
        if age > FLOW_LIFETIME { Err(FlowError::Expired) } else { Ok(flow) }
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowKey")
    }
}

/// A flow as in the cookie.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    #[serde(rename = "p")]
    provider: &'a str,
    #[serde(rename = "i", borrow)]
    issuer: std::borrow::Cow<'a, str>,
    #[serde(rename = "r", borrow)]
    return_to: std::borrow::Cow<'a, str>,
    #[serde(rename = "t")]
    started_at: i64,
    #[serde(rename = "k")]
    purpose: u8,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    max_age: Option<u64>,
    #[serde(rename = "m")]
    remember: bool,
    #[serde(rename = "s")]
    state: &'a str,
    #[serde(rename = "n")]
    nonce: &'a str,
    #[serde(rename = "v")]
    verifier: &'a str,
}

impl<'a> Sealed<'a> {
    fn of(flow: &'a Flow) -> Self {
        let (purpose, session) = match flow.purpose {
            FlowPurpose::SignIn => (0, None),
            FlowPurpose::Link(session) => (1, Some(session.to_string())),
            FlowPurpose::StepUp(session) => (2, Some(session.to_string())),
        };
        Self {
            provider: flow.provider.as_str(),
            issuer: flow.issuer.as_str().into(),
            return_to: flow.return_to.as_str().into(),
            started_at: flow.started_at.millis(),
            purpose,
            session,
            max_age: flow.max_age.map(|max_age| max_age.as_secs()),
            remember: flow.remember,
            state: flow.state(),
            nonce: flow.nonce(),
            verifier: flow.verifier(),
        }
    }

    fn flow(self) -> Option<Flow> {
        let session = || self.session.as_deref()?.parse().ok();
        let purpose = match self.purpose {
            0 => FlowPurpose::SignIn,
            1 => FlowPurpose::Link(session()?),
            2 => FlowPurpose::StepUp(session()?),
            _ => return None,
        };
        let secret = |text: &str| Secret::new(text.to_owned());
        Some(Flow {
            provider: self.provider.parse().ok()?,
            issuer: self.issuer.into_owned(),
            return_to: self.return_to.into_owned(),
            started_at: Timestamp::from_millis(self.started_at),
            purpose,
            max_age: self.max_age.map(Duration::from_secs),
            remember: self.remember,
            state: secret(self.state),
            nonce: secret(self.nonce),
            verifier: secret(self.verifier),
        })
    }
}

#[cfg(test)]
mod tests;
