//! Form tokens: short-lived signed proofs that a gateway of this installation issued a value to a client. They protect
//! values that a browser sends back: return URLs and forms (CSRF).

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};

use super::seal::MasterSecret;
use crate::clock::Timestamp;
use crate::id::{base64url, from_base64url};

const MAC: usize = 16;

/// Issues and verifies form tokens. Every gateway with the same master secret accepts the same tokens.
pub struct FormTokens(hmac::Key);

impl FormTokens {
    /// Derives the key from the master secret.
    pub fn new(master: &MasterSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, master.derive("browser stamps").expose()))
    }

    /// Issues a token on `what` for `subject`, valid for `life`.
    pub fn issue(&self, what: &str, subject: &[u8], now: Timestamp, life: Duration) -> String {
        let until = u32::try_from((now + life).secs()).unwrap_or(u32::MAX);
        let mut bytes = until.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.mac(what, subject, until));
        base64url(bytes)
    }

    /// Returns whether `token` was issued on `what` for `subject` and is still valid.
    pub fn is_valid(&self, token: &str, what: &str, subject: &[u8], now: Timestamp) -> bool {
        let Some(bytes) = from_base64url(token) else { return false };
        let Some((until, mac)) = bytes.split_first_chunk::<4>() else { return false };
        let until = u32::from_be_bytes(*until);
        let is_authentic =
            constant_time::verify_slices_are_equal(&self.mac(what, subject, until), mac).is_ok();
        is_authentic && now.secs() < i64::from(until)
    }

    fn mac(&self, what: &str, subject: &[u8], until: u32) -> [u8; MAC] {
        let mut message = until.to_be_bytes().to_vec();
        // The length prefix makes the encoding unambiguous.
        message.extend_from_slice(&(what.len() as u64).to_be_bytes());
        message.extend_from_slice(what.as_bytes());
        message.extend_from_slice(subject);
        let whole = hmac::sign(&self.0, &message);
        let mut cut = [0; MAC];
        cut.copy_from_slice(&whole.as_ref()[..MAC]);
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    #[test]
    fn form_token_is_bound_to_purpose_subject_and_time() {
        let master = MasterSecret::random(&SystemRandom);
        let (one, same) = (FormTokens::new(&master), FormTokens::new(&master));
        let other = FormTokens::new(&MasterSecret::random(&SystemRandom));
        let now = Timestamp::from_secs(1_800_000_000);
        let life = Duration::from_secs(60);
        let token = one.issue("form", b"ada", now, life);
        assert!(same.is_valid(&token, "form", b"ada", now + Duration::from_secs(59)));
        for (tokens, what, subject, after) in [
            (&other, "form", &b"ada"[..], 0),
            (&one, "form", b"eve", 0),
            (&one, "for", b"mada", 0),
            (&one, "formada", b"", 0),
            (&one, "form", b"ada", 60),
        ] {
            assert!(
                !tokens.is_valid(&token, what, subject, now + Duration::from_secs(after)),
                "{what} {after}"
            );
        }
        for cut in 0..token.len() {
            assert!(!one.is_valid(&token[..cut], "form", b"ada", now));
        }
        let mut bytes = from_base64url(&token).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(!one.is_valid(&base64url(&bytes), "form", b"ada", now), "byte {at}");
            bytes[at] ^= 1;
        }
    }
}
