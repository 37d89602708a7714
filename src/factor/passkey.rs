//! Passkeys: the relying party's side of Web Authentication level 3, from challenges and the browser's responses to
//! facts.
//!
//! ```text
//! Ceremony + user    -> creation_options -> navigator.credentials.create() -> verify_registration -> NewPasskey
//! Ceremony + passkeys -> request_options -> navigator.credentials.get()    -> verify_assertion    -> Assertion
//! ```
//!
//! Pure functions. Nothing here knows of users, stores, sessions and pages. Callers have to
//! - store the challenge on the server, bound to the browser, to the purpose and (unless the passkey names the user) to
//!   the user, and accept it once, for [`TIMEOUT`] or somewhat longer;
//! - look the passkey of an assertion up, among the user's own if the user is known, and give an unknown passkey the same
//!   response as any [`PasskeyError`];
//! - refuse a registration whose credential id belongs to anybody (section 7.1 step 26);
//! - store the results only after all their own checks.
//!
//! The key of a new passkey comes from the authenticator data alone, out of its COSE form. The browser also sends the key
//! as `publicKey` and its algorithm as `publicKeyAlgorithm`. Both are copies made for relying parties that read no CBOR,
//! nobody signs them, and two sources can disagree, so they are not read. Neither is `attestationObject`: "none" is the
//! attestation asked for, and any statement that comes nevertheless is trusted no more than none.

mod assertion;
mod authenticator_data;
mod cbor;
mod ceremony;
mod client_data;
mod error;
mod options;
mod public_key;
mod registration;
mod relying_party;
mod response;
#[cfg(test)]
mod tests;

pub use assertion::{Assertion, Identification, StoredPasskey};
pub use ceremony::{Ceremony, Challenge, TIMEOUT, UserVerification};
pub use error::PasskeyError;
pub use options::{Descriptor, PasskeyUser};
pub use public_key::CoseAlgorithm;
pub use registration::NewPasskey;
pub use relying_party::{RelyingParty, RelyingPartyError, Unusable};
pub use response::{AssertionResponse, MAX_RESPONSE, RegistrationResponse};
