//! Encrypted claims: attributes of the user in the access token for holders of one key (`tokens.encrypted_claims`). Everybody else who
//! sees a token learns only that there are some.

use std::fmt;

use serde::Serialize;

use super::jwe::Encrypter;
use crate::config::{EncryptedClaim, EncryptedClaims};
use crate::id::Random;
use crate::identity::{Attributes, Login};

/// The `typ` of the JWE: an encrypted JWT that is nothing else (RFC 8725 section 3.11).
const TYP: &str = "doorward-claims+jwt";

/// Multiple to which the plain text is padded, in bytes, so that the length of a token says little about the values.
const PADDED_TO: usize = 32;

/// Encrypts the chosen attributes.
pub struct ClaimsEncrypter {
    claims: Vec<EncryptedClaim>,
    encrypter: Encrypter,
}

/// Token and user that the claims are about.
pub(super) struct About<'a> {
    /// `sub` of the token.
    pub(super) sub: &'a str,
    /// `sid` of the token.
    pub(super) sid: &'a str,
    /// `iat` of the token.
    pub(super) iat: i64,
    /// Login name of the user.
    pub(super) login: Option<&'a Login>,
    /// Attributes of the user.
    pub(super) attributes: &'a Attributes,
}

/// The plain text. `sub`, `sid` and `iat` are those of the token, so that the claims cannot be passed off as another's: anyone who
/// has the public key of a recipient can make a JWE for it.
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    sid: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl ClaimsEncrypter {
    /// Prepares encryption as configured.
    pub fn new(config: &EncryptedClaims) -> Self {
        Self { claims: config.claims.clone(), encrypter: Encrypter::new(&config.key, TYP) }
    }

    /// Returns the chosen attributes of the user as a compact JWE. `None` if the user has none of them.
    pub(super) fn encrypt(&self, about: &About<'_>, random: &dyn Random) -> Option<String> {
        let is_chosen = |claim| self.claims.contains(&claim);
        let login = about.login.filter(|_| is_chosen(EncryptedClaim::Login));
        let email = about.attributes.email().filter(|_| is_chosen(EncryptedClaim::Email));
        let name = about.attributes.name().filter(|_| is_chosen(EncryptedClaim::Name));
        if login.is_none() && email.is_none() && name.is_none() {
            return None;
        }
        let claims = Claims {
            sub: about.sub,
            sid: about.sid,
            iat: about.iat,
            login: login.map(Login::as_str),
            email: email.map(|email| email.as_str()),
            email_verified: email.map(|_| about.attributes.email_verified()),
            name: name.map(|name| name.as_str()),
        };
        let mut text = serde_json::to_vec(&claims).expect("strings and numbers serialise");
        // JSON allows white space at the end (RFC 8259 section 2).
        text.resize(text.len().next_multiple_of(PADDED_TO), b' ');
        Some(self.encrypter.encrypt(text, random))
    }
}

impl fmt::Debug for ClaimsEncrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimsEncrypter")
            .field("claims", &self.claims)
            .field("kid", &self.encrypter.kid())
            .finish_non_exhaustive()
    }
}
