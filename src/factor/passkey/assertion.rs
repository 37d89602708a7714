//! Verification of an assertion, which is a sign-in or a step-up (section 7.2).

use aws_lc_rs::digest::{SHA256, digest};

use super::authenticator_data::AuthenticatorData;
use super::ceremony::Ceremony;
use super::client_data;
use super::error::PasskeyError;
use super::public_key;
use super::response::AssertionResponse;

/// Stored passkey, with its owner.
#[derive(Clone, Copy, Debug)]
pub struct StoredPasskey<'a> {
    /// Credential id.
    pub credential_id: &'a [u8],
    /// User handle of the owner: `user.id` of the registration.
    pub user_handle: &'a [u8],
    /// Public key: SubjectPublicKeyInfo, DER.
    pub public_key: &'a [u8],
    /// COSE algorithm, such as -7.
    pub algorithm: i32,
    /// Signature counter of the last use.
    pub sign_count: u32,
    /// Whether it may be synced between devices.
    pub backup_eligible: bool,
}

/// How the user is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identification {
    /// Before the ceremony, by a session or a password: the passkey was looked up among those of this user.
    Before,
    /// By the passkey alone: its user handle has to be there.
    ByPasskey,
}

/// Verified assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Signature counter, to be stored.
    pub sign_count: u32,
    /// True if the counter did not grow, and is in use. A sign, not a proof, that the passkey was copied: two responses
    /// may also have overtaken each other (section 7.2 step 22).
    pub has_counter_regressed: bool,
    /// True if the passkey is synced now, to be stored.
    pub backed_up: bool,
    /// True if the authenticator verified the user.
    pub is_user_verified: bool,
}

impl Ceremony<'_> {
    /// Verifies an assertion of the stored passkey that has the response's credential id.
    ///
    /// # Errors
    /// The first fault, in the order of section 7.2.
    pub fn verify_assertion(
        &self,
        stored: &StoredPasskey<'_>,
        identification: Identification,
        response: &AssertionResponse,
    ) -> Result<Assertion, PasskeyError> {
        if response.credential_id != stored.credential_id {
            return Err(PasskeyError::WrongCredential);
        }
        match &response.user_handle {
            Some(handle) if handle != stored.user_handle => return Err(PasskeyError::WrongUserHandle),
            None if identification == Identification::ByPasskey => {
                return Err(PasskeyError::MissingUserHandle);
            }
            _ => {}
        }
        client_data::verify(&response.client_data, client_data::GET, self)?;
        let data = AuthenticatorData::parse(&response.authenticator_data)?;
        if data.credential.is_some() {
            return Err(PasskeyError::UnexpectedCredential);
        }
        data.verify(self)?;
        if data.is_backup_eligible() != stored.backup_eligible {
            return Err(PasskeyError::BackupEligibilityChanged);
        }
        let hash = digest(&SHA256, &response.client_data);
        let message = [&response.authenticator_data, hash.as_ref()].concat();
        public_key::verify(stored.algorithm, stored.public_key, &message, &response.signature)?;
        let has_counter = data.sign_count != 0 || stored.sign_count != 0;
        Ok(Assertion {
            sign_count: data.sign_count,
            has_counter_regressed: has_counter && data.sign_count <= stored.sign_count,
            backed_up: data.is_backed_up(),
            is_user_verified: data.is_user_verified(),
        })
    }
}
