//! The user's login name, e-mail address and display name, and the proof of the sign-in, inside an access token, sealed:
//! only gateways read them.
//!
//! AES-256-GCM (NIST SP 800-38D) with session id and issue time as associated data. Each signing key has a secret of
//! its own, derived from the master secret, so it changes with that key. Each session has a key of its own below it:
//! random nonces allow 2^32 messages per key, and a large site issues that many tokens in five days.

use std::borrow::Cow;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use serde::{Deserialize, Serialize};

use super::seal::MasterSecret;
use crate::clock::Timestamp;
use crate::id::{Random, SessionId};
use crate::identity::{Attributes, Login, Methods, Proof};

/// Multiple to which the plain text is padded, in bytes, so that the length of a token says little about the name.
const PADDED_TO: usize = 32;

/// Names the use of the derived secrets.
const LABEL: &str = "identity in access tokens";

/// Sealed part of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) login: Login,
    pub(super) attributes: Attributes,
    pub(super) proof: Proof,
}

/// Sealed contents. Unknown members are ignored, so that a later release can add some. Before the attributes there was
/// only `login`, and before the proof neither `amr` nor `auth_time`.
#[derive(Serialize, Deserialize)]
struct Contents<'a> {
    login: &'a str,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    email: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    email_verified: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    amr: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

/// Secret that seals identities in the tokens of one signing key.
pub(super) struct IdentityKey(hkdf::Prk);

impl IdentityKey {
    /// Derives the secret of a signing key.
    pub(super) fn new(master: &MasterSecret, kid: &str) -> Self {
        let secret = master.derive(&format!("{LABEL} {kid}"));
        Self(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret.expose()))
    }

    /// Seals the contents of one token. The result is different each time.
    pub(super) fn seal(
        &self,
        Sealed { login, attributes, proof }: &Sealed,
        session_id: SessionId,
        issued_at: Timestamp,
        random: &dyn Random,
    ) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let contents = Contents {
            login: login.as_str(),
            email: attributes.email().map(|email| Cow::Borrowed(email.as_str())),
            email_verified: attributes.email_verified(),
            name: attributes.name().map(|name| Cow::Borrowed(name.as_str())),
            amr: (proof.methods != Methods::NONE).then(|| proof.methods.to_string().into()),
            auth_time: (*proof != Proof::NONE).then(|| proof.at.secs()),
        };
        let mut body = serde_json::to_vec(&contents).expect("strings serialise");
        // JSON allows white space at the end (RFC 8259 section 2).
        body.resize(body.len().next_multiple_of(PADDED_TO), b' ');
        self.of_session(session_id)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                associated(session_id, issued_at),
                &mut body,
            )
            .expect("AES-GCM seals anything below 64 GiB");
        [&nonce, &body[..]].concat()
    }

    /// Opens what [`IdentityKey::seal`] made. `None` if it does not belong to this key, session and time, or has another
    /// form: the vault knows the name as well. An attribute in a form that only another release knows is left out.
    pub(super) fn open(&self, sealed: &[u8], session_id: SessionId, issued_at: Timestamp) -> Option<Sealed> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = self.of_session(session_id);
        let plain = key.open_in_place(nonce, associated(session_id, issued_at), &mut body).ok()?;
        let contents: Contents<'_> = serde_json::from_slice(plain).ok()?;
        let email = contents.email.and_then(|email| email.parse().ok());
        let name = contents.name.and_then(|name| name.parse().ok());
        let methods = contents.amr.and_then(|amr| amr.parse().ok()).unwrap_or_default();
        Some(Sealed {
            login: contents.login.parse().ok()?,
            attributes: Attributes::new(email, contents.email_verified, name),
            proof: Proof { methods, at: Timestamp::from_secs(contents.auth_time.unwrap_or_default()) },
        })
    }

    fn of_session(&self, session_id: SessionId) -> LessSafeKey {
        let info: [&[u8]; 1] = [session_id.as_bytes()];
        let key = self.0.expand(&info, &AES_256_GCM).expect("32 bytes are no more than HKDF gives");
        LessSafeKey::new(UnboundKey::from(key))
    }
}

/// The associated data: session id and issue time.
fn associated(session_id: SessionId, issued_at: Timestamp) -> Aad<[u8; 24]> {
    let mut data = [0; 24];
    data[..16].copy_from_slice(session_id.as_bytes());
    data[16..].copy_from_slice(&issued_at.secs().to_be_bytes());
    Aad::from(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    const AT: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn id(byte: u8) -> SessionId {
        SessionId::from_bytes([byte; 16])
    }

    fn lovelace() -> Attributes {
        let name = r#"Ada "Countess" Lovelace \ née Byron"#;
        Attributes::new("Ada@example.org".parse().ok(), true, name.parse().ok())
    }

    fn bare(login: Login) -> Sealed {
        Sealed { login, attributes: Attributes::NONE, proof: Proof::NONE }
    }

    /// Seals text as [`IdentityKey::seal`] seals contents.
    fn seal_text(key: &IdentityKey, text: &str) -> Vec<u8> {
        let mut body = text.as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key([7; NONCE_LEN]);
        key.of_session(id(1)).seal_in_place_append_tag(nonce, associated(id(1), AT), &mut body).unwrap();
        [&[7; NONCE_LEN], &body[..]].concat()
    }

    #[test]
    fn sealed_name_opens_only_for_its_key_session_and_time() {
        let master = MasterSecret::random(&SystemRandom);
        let (key, login) = (IdentityKey::new(&master, "a"), "ada@example.org".parse::<Login>().unwrap());
        let methods = Methods::PASSWORD.with(Methods::PROVIDER);
        let contents = Sealed { login, attributes: lovelace(), proof: Proof { methods, at: AT } };
        let opened = Some(contents.clone());
        let sealed = key.seal(&contents, id(1), AT, &SystemRandom);
        assert_eq!(key.open(&sealed, id(1), AT), opened);
        assert_eq!(IdentityKey::new(&master, "a").open(&sealed, id(1), AT), opened);
        assert_eq!(IdentityKey::new(&master, "b").open(&sealed, id(1), AT), None, "another signing key");
        let other = MasterSecret::random(&SystemRandom);
        assert_eq!(IdentityKey::new(&other, "a").open(&sealed, id(1), AT), None, "another master secret");
        assert_eq!(key.open(&sealed, id(2), AT), None, "another session");
        assert_eq!(key.open(&sealed, id(1), Timestamp::from_secs(AT.secs() + 1)), None, "another time");
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(key.open(&bent, id(1), AT), None, "byte {at}");
            assert_eq!(key.open(&sealed[..at], id(1), AT), None, "cut at {at}");
        }
        assert_ne!(key.seal(&contents, id(1), AT, &SystemRandom), sealed, "never the same twice");
    }

    #[test]
    fn sealed_name_shows_neither_the_name_nor_its_length() {
        let key = IdentityKey::new(&MasterSecret::random(&SystemRandom), "a");
        let seal = |login: &str| key.seal(&bare(login.parse().unwrap()), id(1), AT, &SystemRandom);
        let lengths: Vec<usize> =
            ["a", "ada", "ada.lovelace"].iter().map(|login| seal(login).len()).collect();
        assert_eq!(lengths, [60, 60, 60], "nonce, 32 bytes, tag");
        assert_eq!(seal(&"x".repeat(128)).len(), 12 + 160 + 16);
        let sealed = seal("ada.lovelace");
        assert!(!sealed.windows(3).any(|window| window == b"ada"));
    }

    #[test]
    fn contents_of_other_releases_open() {
        let key = IdentityKey::new(&MasterSecret::random(&SystemRandom), "a");
        let login: Login = "ada".parse().unwrap();
        let opened = |text: &str| key.open(&seal_text(&key, text), id(1), AT);
        assert_eq!(opened(r#"{"login":"ada"}   "#), Some(bare(login.clone())));
        assert_eq!(
            opened(r#"{"login":"ada","email":"a b","email_verified":true,"name":"\n","phone":"1"}"#),
            Some(bare(login)),
            "what this release does not know or take is left out"
        );
        assert_eq!(opened(r#"{"email":"ada@example.org"}"#), None, "no name");
        let sealed = key.seal(&bare("ada".parse().unwrap()), id(1), AT, &SystemRandom);
        assert_eq!(sealed.len(), 12 + 32 + 16, "as short as earlier releases write it");
    }
}
