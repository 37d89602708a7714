//! Signing keys: created on first start, opened with the master secret, reloaded when the key table changes.

use std::time::Duration;

use crate::auth::Auth;
use crate::clock::Timestamp;
use crate::config::Algorithm;
use crate::error::Refusal;
use crate::id::Random;
use crate::token::access::LEEWAY;
use crate::token::keyring::{DamagedKey, KeySet, OpenKey, PUBLISH_BEFORE_USE};
use crate::token::seal::{MasterSecret, WrongMasterSecret};
use crate::vault::{KeyTable, KeyUse, NewKey, REVOCATION_LIFE, Vault, VaultError};

/// A refresh token may be used until its session's absolute end, at most 400 days (RFC 6265bis section 5.5).
const REFRESH_OVERLAP: Duration = Duration::from_secs(401 * 86_400);

/// Reason why no usable keys could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The vault does not respond or refuses.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A key is sealed under another master secret.
    #[error(transparent)]
    WrongMasterSecret(#[from] WrongMasterSecret),
    /// A key does not have its stated form.
    #[error(transparent)]
    Damaged(#[from] DamagedKey),
}

/// Returns whether the vault holds any key. Without one, a master secret may be created.
///
/// # Errors
/// When the vault does not respond.
pub async fn exist(vault: &Vault) -> Result<bool, VaultError> {
    Ok(!vault.keys.load().await?.keys.is_empty())
}

/// Loads the keys and creates the first of each use if needed. Gateways that start together agree on one.
///
/// # Errors
/// See [`KeysError`].
pub async fn establish(
    vault: &Vault,
    master: &MasterSecret,
    algorithm: Algorithm,
    random: &dyn Random,
) -> Result<KeySet, KeysError> {
    let mut table = vault.keys.load().await?;
    let has = |table: &KeyTable, key_use| table.keys.iter().any(|key| key.key_use == key_use);
    if !has(&table, KeyUse::Access) || !has(&table, KeyUse::Refresh) {
        let first = [
            sealed(&OpenKey::access(algorithm, random), KeyUse::Access, Duration::ZERO, master, random),
            sealed(&OpenKey::refresh(0, random), KeyUse::Refresh, Duration::ZERO, master, random),
        ];
        table = vault.keys.add(&first, true).await?;
    }
    open(&table, master)
}

/// Result of a key rotation.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The new access key's `kid`.
    pub access_kid: String,
    /// Time from which the new keys sign.
    pub signs_from: Timestamp,
}

/// End of the earlier keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessors {
    /// New keys are published at once and sign once every JWKS cache has them. Their predecessors stay until their last
    /// token has expired.
    Overlap,
    /// New keys sign at once, and no earlier token is valid any more.
    EndNow,
}

/// Adds a new key of each use.
///
/// # Errors
/// See [`KeysError`].
pub async fn rotate(
    vault: &Vault,
    master: &MasterSecret,
    algorithm: Algorithm,
    predecessors: Predecessors,
    random: &dyn Random,
) -> Result<Rotated, KeysError> {
    let table = vault.keys.load().await?;
    // Opening the existing keys proves the master secret before anything is sealed under it.
    open(&table, master)?;
    let taken = |kid: u8| table.keys.iter().any(|k| k.key_use == KeyUse::Refresh && k.kid == kid.to_string());
    let newest = table.keys.iter().filter(|k| k.key_use == KeyUse::Refresh).max_by_key(|k| k.signs_from);
    let start = newest.and_then(|k| k.kid.parse::<u8>().ok()).unwrap_or(0);
    let refresh_kid = (1..=u8::MAX).map(|step| start.wrapping_add(step)).find(|kid| !taken(*kid));
    let refresh_kid = refresh_kid.ok_or_else(|| {
        VaultError::Damaged("all 256 refresh keys are in use: wait until the oldest has ended".into())
    })?;
    let access = OpenKey::access(algorithm, random);
    let signs_after = match predecessors {
        Predecessors::Overlap => PUBLISH_BEFORE_USE,
        Predecessors::EndNow => Duration::ZERO,
    };
    let mut new = [
        sealed(&access, KeyUse::Access, signs_after, master, random),
        sealed(&OpenKey::refresh(refresh_kid, random), KeyUse::Refresh, signs_after, master, random),
    ];
    if predecessors == Predecessors::EndNow {
        new.iter_mut().for_each(|key| key.overlap = Duration::ZERO);
    }
    let table = vault.keys.add(&new, false).await?;
    let added = table.keys.iter().find(|k| k.kid == access.kid).map_or(table.now, |k| k.signs_from);
    Ok(Rotated { access_kid: access.kid, signs_from: added })
}

fn sealed(
    key: &OpenKey,
    key_use: KeyUse,
    signs_after: Duration,
    master: &MasterSecret,
    random: &dyn Random,
) -> NewKey {
    NewKey {
        kid: key.kid.clone(),
        key_use,
        algorithm: key.algorithm.clone(),
        sealed: master.seal(key.material.expose(), &seal_name(key_use, &key.kid, &key.algorithm), random),
        signs_after,
        overlap: match key_use {
            KeyUse::Access => REVOCATION_LIFE + LEEWAY,
            KeyUse::Refresh => REFRESH_OVERLAP,
        },
    }
}

/// Binds a sealed key to its use, kid and algorithm: it cannot be passed off as another.
fn seal_name(key_use: KeyUse, kid: &str, algorithm: &str) -> String {
    format!("{}/{kid}/{algorithm}", key_use.as_str())
}

fn open(table: &KeyTable, master: &MasterSecret) -> Result<KeySet, KeysError> {
    let (mut access, mut refresh) = (Vec::new(), Vec::new());
    for key in &table.keys {
        let material = master.open(&key.sealed, &seal_name(key.key_use, &key.kid, &key.algorithm))?;
        let open = OpenKey {
            kid: key.kid.clone(),
            algorithm: key.algorithm.clone(),
            material,
            signs_from: key.signs_from,
            verifies_until: key.verifies_until,
        };
        match key.key_use {
            KeyUse::Access => access.push(open),
            KeyUse::Refresh => refresh.push(open),
        }
    }
    Ok(KeySet::new(table.version, &access, &refresh, master)?)
}

impl Auth {
    /// Reloads the key table.
    pub(crate) async fn reload_keys(&self) -> Result<(), Refusal> {
        let table = self.parts.vault.keys.load().await?;
        match open(&table, &self.parts.master) {
            Ok(keys) => {
                self.parts.keys.replace(keys);
                Ok(())
            }
            Err(error) => {
                // The keys were rotated under another master secret: the old keys stay in use, the new one is unusable
                // here.
                tracing::error!(
                    reason = "keys_unusable",
                    cause = %error,
                    "the keys in the vault cannot be opened: the loaded keys stay in use"
                );
                Err(Refusal::StoreUnavailable)
            }
        }
    }
}
