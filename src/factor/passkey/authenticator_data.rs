//! Authenticator data: what the authenticator says and, in an assertion, signs (section 6.1).
//!
//! ```text
//! 32 SHA-256 of the relying party id | 1 flags | 4 signature counter
//!    AT: 16 AAGUID | 2 length, credential id | COSE key      ED: CBOR map of extensions
//! ```

use super::cbor::Reader;
use super::ceremony::{Ceremony, UserVerification};
use super::error::PasskeyError;
use super::public_key::CoseKey;

/// Maximum length of a credential id, in bytes (section 5.1).
pub(super) const MAX_CREDENTIAL_ID: usize = 1023;

const NAME: &str = "authenticatorData";

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// Parsed authenticator data. Extensions are checked for their form and otherwise ignored.
pub(super) struct AuthenticatorData<'a> {
    relying_party: &'a [u8],
    flags: u8,
    pub(super) sign_count: u32,
    pub(super) credential: Option<NewCredential<'a>>,
}

/// Attested credential data (section 6.5.1), without the AAGUID: it says which model made the passkey, and nobody
/// vouches for it.
pub(super) struct NewCredential<'a> {
    pub(super) id: &'a [u8],
    pub(super) key: CoseKey<'a>,
}

impl<'a> AuthenticatorData<'a> {
    /// Parses all the bytes.
    ///
    /// # Errors
    /// [`PasskeyError::Malformed`], [`PasskeyError::TooLarge`] for the credential id.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PasskeyError> {
        let malformed = PasskeyError::Malformed(NAME);
        let mut reader = Reader::new(bytes);
        let (relying_party, flags, sign_count) = fixed(&mut reader).ok_or(malformed.clone())?;
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let id = credential_id(&mut reader).ok_or(malformed.clone())?;
            if id.len() > MAX_CREDENTIAL_ID {
                return Err(PasskeyError::TooLarge("the credential id"));
            }
            let key = CoseKey::read(&mut reader).ok_or(PasskeyError::Malformed("the public key"))?;
            credential = Some(NewCredential { id, key });
        }
        if flags & HAS_EXTENSIONS != 0 {
            reader.skip_map().ok_or(malformed.clone())?;
        }
        if !reader.is_at_end() {
            return Err(malformed);
        }
        Ok(Self { relying_party, flags, sign_count, credential })
    }

    /// Verifies what registrations and assertions have in common: the relying party, presence, verification, and the
    /// backup flags.
    ///
    /// # Errors
    /// The first fault, in the order of sections 7.1 and 7.2.
    pub(super) fn verify(&self, ceremony: &Ceremony<'_>) -> Result<(), PasskeyError> {
        if self.relying_party != ceremony.relying_party.id_hash() {
            return Err(PasskeyError::WrongRelyingParty);
        }
        if !self.has(USER_PRESENT) {
            return Err(PasskeyError::UserNotPresent);
        }
        if ceremony.user_verification == UserVerification::Required && !self.is_user_verified() {
            return Err(PasskeyError::UserNotVerified);
        }
        if self.is_backed_up() && !self.is_backup_eligible() {
            return Err(PasskeyError::BackedUpWithoutEligibility);
        }
        Ok(())
    }

    pub(super) const fn is_user_verified(&self) -> bool {
        self.has(USER_VERIFIED)
    }

    pub(super) const fn is_backup_eligible(&self) -> bool {
        self.has(BACKUP_ELIGIBLE)
    }

    pub(super) const fn is_backed_up(&self) -> bool {
        self.has(BACKED_UP)
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Reads the part that all authenticator data has: relying party, flags, counter.
fn fixed<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], u8, u32)> {
    let relying_party = reader.take(32)?;
    let flags = *reader.take(1)?.first()?;
    let sign_count = u32::from_be_bytes(reader.take(4)?.try_into().ok()?);
    Some((relying_party, flags, sign_count))
}

/// Reads AAGUID, length and credential id.
fn credential_id<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    reader.take(16)?;
    let length = u16::from_be_bytes(reader.take(2)?.try_into().ok()?);
    reader.take(usize::from(length)).filter(|id| !id.is_empty())
}
