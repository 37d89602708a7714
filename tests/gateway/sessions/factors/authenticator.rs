//! A software authenticator with ES256 passkeys, and the script of the pages: it answers the request of a form.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::support::Response;

/// Origin of the pages.
pub(super) const ORIGIN: &str = "https://gateway.test";

const UP: u8 = 1;
const UV: u8 = 1 << 2;
const BE: u8 = 1 << 3;
const AT: u8 = 1 << 6;

/// One passkey.
pub(super) struct Authenticator {
    key: EcdsaKeyPair,
    pub(super) id: Vec<u8>,
    user: Vec<u8>,
    pub(super) count: u32,
    /// Whether it verifies its user.
    pub(super) verifies: bool,
    /// Whether it may be synced.
    pub(super) synced: bool,
}

fn base64url(bytes: &[u8]) -> String {
    doorward::id::base64url(bytes)
}

fn from_base64url(text: &Value) -> Vec<u8> {
    doorward::id::from_base64url(text.as_str().expect("text")).expect("base64url")
}

/// Options and sealed challenge of the first passkey button on a page.
pub(super) fn request(page: &Response) -> (Value, String) {
    let text = page.text();
    let cut = |before: &str| {
        let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before}: {text}"));
        rest.split('"').next().unwrap_or_default().replace("&#34;", "\"").replace("&quot;", "\"")
    };
    let options = serde_json::from_str(&cut("data-options=\"")).expect("JSON");
    (options, cut("name=\"passkey_state\" value=\""))
}

impl Authenticator {
    /// Makes a passkey for the request of an enrolment page.
    pub(super) fn create(options: &Value) -> (Self, Value) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let id = digest(&SHA256, key.public_key().as_ref()).as_ref()[..16].to_vec();
        let user = from_base64url(&options["user"]["id"]);
        let new = Self { key, id, user, count: 0, verifies: true, synced: false };
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required", "{options}");
        let client = new.client_data("webauthn.create", options, ORIGIN);
        // RFC 9053 section 7.1: kty EC2, alg ES256, crv P-256, x, y.
        let point = new.key.public_key().as_ref();
        let cose: Vec<u8> = [
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..],
            &point[1..33],
            &[0x22, 0x58, 32],
            &point[33..],
        ]
        .concat();
        let length = u16::try_from(new.id.len()).expect("short").to_be_bytes();
        let data = new.data(&options["rp"]["id"], AT);
        let data: Vec<u8> = [&data[..], &[0; 16], &length, &new.id, &cose].concat();
        let id = base64url(&new.id);
        let credential = json!({
            "id": id, "rawId": id, "type": "public-key",
            "response": {
                "clientDataJSON": base64url(client.as_bytes()),
                "authenticatorData": base64url(&data),
                "transports": ["internal"],
            },
            "clientExtensionResults": {"credProps": {"rk": true}},
        });
        (new, credential)
    }

    /// Answers a request.
    pub(super) fn get(&mut self, options: &Value) -> Value {
        self.get_at(options, ORIGIN)
    }

    pub(super) fn get_at(&mut self, options: &Value, origin: &str) -> Value {
        let client = self.client_data("webauthn.get", options, origin);
        self.count += 1;
        let data = self.data(&options["rpId"], 0);
        let message = [&data[..], digest(&SHA256, client.as_bytes()).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).expect("a signature");
        let id = base64url(&self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key",
            "response": {
                "clientDataJSON": base64url(client.as_bytes()),
                "authenticatorData": base64url(&data),
                "signature": base64url(signature.as_ref()),
                "userHandle": base64url(&self.user),
            },
            "clientExtensionResults": {},
        })
    }

    fn client_data(&self, kind: &str, options: &Value, origin: &str) -> String {
        json!({"type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": false})
            .to_string()
    }

    fn data(&self, rp_id: &Value, more: u8) -> Vec<u8> {
        let hash = digest(&SHA256, rp_id.as_str().expect("an id").as_bytes());
        let flags = UP | if self.verifies { UV } else { 0 } | if self.synced { BE } else { 0 } | more;
        [hash.as_ref(), &[flags], &self.count.to_be_bytes()].concat()
    }
}
