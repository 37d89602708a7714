//! `[tokens.encrypted_claims]`: attributes of the user that travel in access tokens for holders of one key.

use std::path::Path;

use zeroize::Zeroizing;

use super::recipient::RecipientKey;
use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;
use crate::config::parse::secrets;
use crate::config::{Env, MasterKey};
use crate::id::from_base64url;
use crate::secret::Secret;

/// `[tokens.encrypted_claims]`
#[derive(Clone, Debug, PartialEq)]
pub struct EncryptedClaims {
    /// The attributes, each once, at least one.
    pub claims: Vec<EncryptedClaim>,
    /// Key that opens them.
    pub key: ClaimsKey,
}

/// An attribute that can be encrypted in the access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptedClaim {
    /// `login`: the login name.
    Login,
    /// `email`: the e-mail address, with `email_verified`.
    Email,
    /// `name`: the display name.
    Name,
}

/// Key that opens the encrypted claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimsKey {
    /// Shared with the apps: `dir` (RFC 7518 section 4.5).
    Shared(Secret<[u8; 32]>),
    /// Public key of the apps: ECDH-ES (RFC 7518 section 4.6).
    Recipient(RecipientKey),
}

const SHARED: [&str; 3] = ["key", "key_file", "key_env"];
const RECIPIENT: [&str; 3] = ["recipient_key", "recipient_key_file", "recipient_key_env"];

/// Reads the table; `None` if it has a problem.
pub(crate) fn encrypted_claims(
    table: Table<'_>,
    (dir, env): (&Path, Env<'_>),
    master: &MasterKey,
) -> Option<EncryptedClaims> {
    let claims = table
        .required("claims", "name the attributes, such as claims = [\"email\", \"name\"]")
        .and_then(|value| {
            let claims = value.distinct(r#"["email", "name"]"#, claim)?;
            if claims.is_empty() {
                value.location().problem("no attribute: name one, or remove [tokens.encrypted_claims]");
            }
            Some(claims)
        });
    let shared = secrets::text(&table, SHARED, "the shared key", dir, env, shared_key);
    let recipient = secrets::text(&table, RECIPIENT, "the public key", dir, env, RecipientKey::parse);
    let given = |forms: [&'static str; 3]| forms.into_iter().find(|form| table.has(form));
    match (given(SHARED), given(RECIPIENT)) {
        (Some(shared), Some(recipient)) => table.location_of(recipient).problem(format!(
            "given besides {shared}: keep the shared key, or the public key of the app, not both"
        )),
        (None, None) => table.location().problem(
            "no key: write a shared key into a file and name it in key_file, or name the public key of the app in \
             recipient_key_file",
        ),
        _ => {}
    }
    if let Some(form) = given(SHARED)
        && shared.as_ref().is_some_and(|shared| is_master_key(shared, &table, dir, master))
    {
        table.location_of(form).problem(
            "this is the master key, which no app may have: it opens every secret of the vault; make another key",
        );
    }
    table.finish();
    let key = shared.map(ClaimsKey::Shared).or(recipient.map(ClaimsKey::Recipient));
    Some(EncryptedClaims { claims: claims?, key: key? })
}

fn claim(text: &str) -> Result<EncryptedClaim, String> {
    match text {
        "login" => Ok(EncryptedClaim::Login),
        "email" => Ok(EncryptedClaim::Email),
        "name" => Ok(EncryptedClaim::Name),
        "email_verified" => Err("\"email_verified\" comes with \"email\": remove it".to_owned()),
        "sub" | "sid" | "iat" | "roles" => {
            Err(format!("{} is in every access token, where everybody can read it: remove it", quoted(text)))
        }
        _ => {
            Err(format!("{} is no attribute of a user: write \"login\", \"email\" or \"name\"", quoted(text)))
        }
    }
}

fn shared_key(text: &str) -> Result<Secret<[u8; 32]>, String> {
    let bytes = from_base64url(text).map(Zeroizing::new);
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    key.map(Secret::new).ok_or_else(|| format!("this is not a shared key: {}", secrets::EXAMPLE))
}

/// Returns whether the shared key is the master key, or is read from its file.
fn is_master_key(shared: &Secret<[u8; 32]>, table: &Table<'_>, dir: &Path, master: &MasterKey) -> bool {
    match master {
        MasterKey::Value(text) => from_base64url(text.expose())
            .map(Zeroizing::new)
            .is_some_and(|bytes| bytes[..] == shared.expose()[..]),
        MasterKey::File(path) => {
            let file = table.value("key_file").and_then(|value| value.as_text());
            file.is_some_and(|file| dir.join(file) == *path)
        }
    }
}
