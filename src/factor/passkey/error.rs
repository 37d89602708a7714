//! Faults of responses. People get one message for all of them; the log gets the fault.

/// Fault of a registration or an assertion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// The named part is longer than any real one.
    #[error("{0} is too long")]
    TooLarge(&'static str),
    /// The named part cannot be read.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// `type` of the credential is not `public-key`.
    #[error("the credential is not a public key")]
    NotPublicKey,
    /// `id` and `rawId` differ.
    #[error("id and rawId differ")]
    IdMismatch,
    /// The response belongs to another credential than its id says.
    #[error("the response is that of another credential")]
    WrongCredential,
    /// `type` of the client data is not that of this ceremony.
    #[error("the client data is that of another ceremony")]
    WrongType,
    /// The challenge is not the one of this ceremony.
    #[error("the challenge is another one")]
    WrongChallenge,
    /// The origin is not one of the relying party's.
    #[error("the origin {0:?} is none of the relying party's")]
    WrongOrigin(String),
    /// The page was in a frame of another origin.
    #[error("the page was in a frame of another origin")]
    CrossOrigin,
    /// The client data names a top-level origin: the page was in a frame.
    #[error("the page was in a frame: there is a top-level origin")]
    TopOrigin,
    /// The passkey belongs to another relying party id.
    #[error("the passkey belongs to another relying party id")]
    WrongRelyingParty,
    /// The authenticator did not test for the user's presence.
    #[error("the user was not present")]
    UserNotPresent,
    /// The authenticator did not verify the user, and that is required.
    #[error("the user was not verified")]
    UserNotVerified,
    /// The passkey is backed up and may not be: the flags BS and BE contradict each other.
    #[error("the passkey is backed up, but not eligible for it")]
    BackedUpWithoutEligibility,
    /// The passkey's eligibility for backup has changed, which it never does.
    #[error("the passkey's eligibility for backup has changed")]
    BackupEligibilityChanged,
    /// A registration without a new credential.
    #[error("the authenticator data has no new credential")]
    NoCredential,
    /// An assertion with a new credential.
    #[error("the authenticator data of an assertion has a new credential")]
    UnexpectedCredential,
    /// The key's algorithm was not offered. The number is its COSE id.
    #[error("the algorithm {0} was not offered")]
    AlgorithmNotOffered(i64),
    /// The key is none of its algorithm: another type, another curve, a point off the curve, a modulus too short or too
    /// long.
    #[error("the public key does not fit its algorithm")]
    KeyMismatch,
    /// The stored key cannot be read or does not fit its algorithm.
    #[error("the stored public key does not fit its algorithm")]
    StoredKey,
    /// The signature is not one of the passkey over this response.
    #[error("the signature is wrong")]
    BadSignature,
    /// The passkey has to name the user, and does not.
    #[error("the user handle is missing")]
    MissingUserHandle,
    /// The passkey names another user.
    #[error("the user handle is another user's")]
    WrongUserHandle,
}
