//! The check at the start that the peppers of all stored hashes are configured.

use super::StartError;
use crate::password::{HashGroup, HashState, Peppers};
use crate::vault::{Vault, VaultError};

/// Compares the peppers of the stored hashes with the configured ones.
///
/// # Errors
/// [`StartError::PepperMissing`]; the vault is damaged.
pub(super) async fn check(vault: &Vault, peppers: &Peppers) -> Result<(), StartError> {
    let counts = match vault.users.count_passwords().await {
        Ok(counts) => counts,
        // Millions of users may take longer to count than a statement may run. Without its pepper a sign-in gets 503 later.
        Err(VaultError::Unavailable(cause)) => {
            tracing::warn!(
                reason = "peppers_unchecked",
                cause,
                "the password hashes could not be counted: whether each has its pepper shows at sign-in"
            );
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut missing = Vec::new();
    let mut users = 0;
    for count in counts {
        let group = HashGroup::of(&count.parameters, peppers);
        if let (HashState::PepperMissing, Some(pepper)) = (group.state, group.pepper) {
            users += count.users;
            missing.push(format!("`{pepper}`"));
        }
    }
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StartError::PepperMissing { peppers: missing.join(", "), users })
}
