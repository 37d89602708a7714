//! Tests of whole ceremonies: the specification's vectors, and an authenticator that does one thing wrong at a time.

mod arbitrary;
mod assertion;
mod authenticator;
mod bytes;
mod chromium;
mod options;
mod registration;
mod response;
mod vectors;

use super::*;
use crate::id::{SystemRandom, base64url};

/// The relying party of the specification's vectors.
fn relying_party() -> RelyingParty {
    RelyingParty::of_origins(&["https://example.org".to_owned()]).unwrap()
}

fn challenge() -> Challenge {
    Challenge::random(&SystemRandom)
}
