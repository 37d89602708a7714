//! Verification of a registration (section 7.1).

use super::authenticator_data::AuthenticatorData;
use super::ceremony::Ceremony;
use super::client_data;
use super::error::PasskeyError;
use super::public_key::CoseAlgorithm;
use super::response::RegistrationResponse;

/// Passkey of a verified registration. Nothing is signed in one: it binds the passkey to whoever is signed in, and proves
/// nothing of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPasskey {
    /// Credential id, chosen by the authenticator: 1 to 1023 bytes. It must not be registered yet, for anybody.
    pub credential_id: Vec<u8>,
    /// Public key: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), DER.
    pub public_key: Vec<u8>,
    /// Algorithm of the key.
    pub algorithm: CoseAlgorithm,
    /// Signature counter; 0 for authenticators without one.
    pub sign_count: u32,
    /// Transports that the browser reported, joined by commas.
    pub transports: String,
    /// True if it may be synced between devices. It never changes.
    pub backup_eligible: bool,
    /// True if it is synced.
    pub backed_up: bool,
    /// True if the authenticator verified the user.
    pub is_user_verified: bool,
    /// Whether the authenticator stores the passkey, so that it can sign in without a user name; `None` if the browser
    /// did not say. It is required by the options; this is the browser's report (`credProps`).
    pub is_discoverable: Option<bool>,
}

impl Ceremony<'_> {
    /// Verifies a registration.
    ///
    /// # Errors
    /// The first fault, in the order of section 7.1.
    pub fn verify_registration(&self, response: &RegistrationResponse) -> Result<NewPasskey, PasskeyError> {
        client_data::verify(&response.client_data, client_data::CREATE, self)?;
        let data = AuthenticatorData::parse(&response.authenticator_data)?;
        data.verify(self)?;
        let credential = data.credential.as_ref().ok_or(PasskeyError::NoCredential)?;
        let key = credential.key.public_key()?;
        if credential.id != response.credential_id {
            return Err(PasskeyError::WrongCredential);
        }
        Ok(NewPasskey {
            credential_id: response.credential_id.clone(),
            public_key: key.der,
            algorithm: key.algorithm,
            sign_count: data.sign_count,
            transports: response.transports.clone(),
            backup_eligible: data.is_backup_eligible(),
            backed_up: data.is_backed_up(),
            is_user_verified: data.is_user_verified(),
            is_discoverable: response.is_discoverable,
        })
    }
}
