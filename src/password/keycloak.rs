//! Password credentials of Keycloak.

use std::collections::HashMap;

use argon2::{Algorithm, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::stored::{Argon2Hash, BadHash, Hmac, Pbkdf2Hash, StoredHash};
use crate::secret::Secret;

/// The text in `credentialData`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialData {
    algorithm: String,
    hash_iterations: u32,
    /// Each value is a list of one text.
    #[serde(default)]
    additional_parameters: Option<HashMap<String, Vec<String>>>,
}

/// The text in `secretData`.
#[derive(Deserialize)]
struct SecretData {
    value: String,
    salt: Option<String>,
}

const KEYCLOAK: &str = "Keycloak";

/// Reads a credential of type `password` of a realm export: both arguments are JSON in a string.
///
/// # Errors
/// [`BadHash`], with what to do.
pub fn read_keycloak_hash(credential_data: &str, secret_data: &str) -> Result<StoredHash, BadHash> {
    let damaged = |what| BadHash::Damaged(KEYCLOAK, what);
    let data: CredentialData =
        serde_json::from_str(credential_data).map_err(|_| damaged("credentialData has no algorithm"))?;
    let secret: SecretData =
        serde_json::from_str(secret_data).map_err(|_| damaged("secretData has no value"))?;
    let decode = |text: &str, what| STANDARD.decode(text).map_err(|_| damaged(what));
    let salt = decode(secret.salt.as_deref().unwrap_or_default(), "its salt is no base64")?;
    let digest = || Ok(Secret::new(decode(&secret.value, "its value is no base64")?));
    let hmac = match data.algorithm.as_str() {
        "argon2" => return argon2(&data, salt, digest()?),
        // An extension; its value is the text of bcrypt.
        "bcrypt" => return StoredHash::parse(&secret.value),
        "pbkdf2" => Some(Hmac::Sha1),
        other => other.strip_prefix("pbkdf2-").and_then(Hmac::named),
    };
    let hmac = hmac.ok_or(BadHash::Unsupported("this kind of Keycloak"))?;
    let hash = Pbkdf2Hash { hmac, iterations: data.hash_iterations, salt, digest: digest()? };
    hash.checked().map(StoredHash::Pbkdf2)
}

fn argon2(data: &CredentialData, salt: Vec<u8>, digest: Secret<Vec<u8>>) -> Result<StoredHash, BadHash> {
    let damaged = |what| BadHash::Damaged(KEYCLOAK, what);
    let text = |name: &str| {
        let values = data.additional_parameters.as_ref()?.get(name)?;
        values.first().map(String::as_str)
    };
    let number = |name: &str| text(name).and_then(|text| text.parse().ok());
    let algorithm = match text("type") {
        Some("id") | None => Algorithm::Argon2id,
        Some("i") => Algorithm::Argon2i,
        Some("d") => Algorithm::Argon2d,
        Some(_) => return Err(damaged("its type is not id, i or d")),
    };
    let version = match text("version") {
        Some("1.3") | None => Version::V0x13,
        Some("1.0") => Version::V0x10,
        Some(_) => return Err(damaged("its version is not 1.3 or 1.0")),
    };
    let hash = Argon2Hash {
        algorithm,
        version,
        memory_kib: number("memory").ok_or(damaged("it has no memory"))?,
        passes: data.hash_iterations,
        lanes: number("parallelism").ok_or(damaged("it has no parallelism"))?,
        pepper: None,
        is_no_password: false,
        salt,
        digest,
    };
    hash.checked().map(StoredHash::Argon2)
}
