//! Options of the browser's calls, as `PublicKeyCredential.parseCreationOptionsFromJSON()` and
//! `parseRequestOptionsFromJSON()` take them (sections 5.1.8 and 5.1.9).

use serde_json::{Value, json};

use super::ceremony::{Ceremony, TIMEOUT};
use super::public_key::CoseAlgorithm;
use crate::id::base64url;

/// User for whom a passkey is made.
#[derive(Clone, Copy, Debug)]
pub struct PasskeyUser<'a> {
    /// User handle: 1 to 64 bytes that never change and say nothing of the person (section 14.6.1). An authenticator
    /// keeps one passkey for each.
    pub handle: &'a [u8],
    /// Login name, which tells accounts apart.
    pub name: &'a str,
    /// Name of the person; may be empty.
    pub display_name: &'a str,
}

/// Reference to a passkey.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor<'a> {
    /// Credential id.
    pub credential_id: &'a [u8],
    /// Transports, joined by commas.
    pub transports: &'a str,
}

impl Ceremony<'_> {
    /// Returns the options of `navigator.credentials.create()`. `name` is that of the relying party, as people know it;
    /// `exclude` are the user's passkeys, so that no authenticator gets a second one.
    pub fn creation_options(&self, name: &str, user: &PasskeyUser<'_>, exclude: &[Descriptor<'_>]) -> Value {
        let offered = CoseAlgorithm::ALL.map(|offered| json!({"type": "public-key", "alg": offered.id()}));
        json!({
            "rp": {"id": self.relying_party.id(), "name": name},
            "user": {"id": base64url(user.handle), "name": user.name, "displayName": user.display_name},
            "challenge": self.challenge.to_string(),
            "pubKeyCredParams": offered,
            "timeout": milliseconds(),
            "excludeCredentials": descriptors(exclude),
            "authenticatorSelection": {
                "residentKey": "required",
                // For clients of level 1 (section 5.4.4).
                "requireResidentKey": true,
                "userVerification": self.user_verification.as_str(),
            },
            "attestation": "none",
            "extensions": {"credProps": true},
        })
    }

    /// Returns the options of `navigator.credentials.get()`. `allow` are the user's passkeys; with none of them the
    /// browser offers all it has for the relying party.
    pub fn request_options(&self, allow: &[Descriptor<'_>]) -> Value {
        json!({
            "challenge": self.challenge.to_string(),
            "timeout": milliseconds(),
            "rpId": self.relying_party.id(),
            "allowCredentials": descriptors(allow),
            "userVerification": self.user_verification.as_str(),
        })
    }
}

fn milliseconds() -> u64 {
    TIMEOUT.as_secs() * 1000
}

fn descriptors(passkeys: &[Descriptor<'_>]) -> Vec<Value> {
    let descriptor = |passkey: &Descriptor<'_>| {
        let id = base64url(passkey.credential_id);
        let transports: Vec<&str> = passkey.transports.split(',').filter(|name| !name.is_empty()).collect();
        if transports.is_empty() {
            json!({"type": "public-key", "id": id})
        } else {
            json!({"type": "public-key", "id": id, "transports": transports})
        }
    };
    passkeys.iter().map(descriptor).collect()
}
