//! FormTokens: short proofs that something was said by a gateway of this installation, to somebody, and not long ago. For
//! what a browser carries back to us: the place to return to, and the token of a form.

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};

use super::seal::MasterSecret;
use crate::clock::Timestamp;
use crate::id::{base64url, from_base64url};

const MAC: usize = 16;

/// Makes and checks stamps. Every gateway with the same master secret makes the same ones.
pub struct FormTokens(hmac::Key);

impl FormTokens {
    /// Under a key that is derived for this alone.
    pub fn new(master: &MasterSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, master.derive("browser stamps").expose()))
    }

    /// A stamp on `what`, said to `whom`: good for `life`.
    pub fn make(&self, what: &str, whom: &[u8], now: Timestamp, life: Duration) -> String {
        let until = u32::try_from((now + life).secs()).unwrap_or(u32::MAX);
        let mut bytes = until.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.mac(what, whom, until));
        base64url(bytes)
    }

    /// Whether `stamp` is one of ours on this, said to them, and still good.
    pub fn is_good(&self, stamp: &str, what: &str, whom: &[u8], now: Timestamp) -> bool {
        let Some(bytes) = from_base64url(stamp) else { return false };
        let Some((until, mac)) = bytes.split_first_chunk::<4>() else { return false };
        let until = u32::from_be_bytes(*until);
        let ours = constant_time::verify_slices_are_equal(&self.mac(what, whom, until), mac).is_ok();
        ours && now.secs() < i64::from(until)
    }

    fn mac(&self, what: &str, whom: &[u8], until: u32) -> [u8; MAC] {
        let mut said = until.to_be_bytes().to_vec();
        // The length goes before: no other pair of texts reads the same.
        said.extend_from_slice(&(what.len() as u64).to_be_bytes());
        said.extend_from_slice(what.as_bytes());
        said.extend_from_slice(whom);
        let whole = hmac::sign(&self.0, &said);
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
    fn a_stamp_is_for_what_it_says_to_whom_it_says_it_and_for_a_while() {
        let master = MasterSecret::random(&SystemRandom);
        let (one, same) = (FormTokens::new(&master), FormTokens::new(&master));
        let other = FormTokens::new(&MasterSecret::random(&SystemRandom));
        let now = Timestamp::from_secs(1_800_000_000);
        let life = Duration::from_secs(60);
        let stamp = one.make("form", b"ada", now, life);
        assert!(same.is_good(&stamp, "form", b"ada", now + Duration::from_secs(59)));
        for (stamps, what, whom, after) in [
            (&other, "form", &b"ada"[..], 0),
            (&one, "form", b"eve", 0),
            (&one, "for", b"mada", 0),
            (&one, "formada", b"", 0),
            (&one, "form", b"ada", 60),
        ] {
            assert!(!stamps.is_good(&stamp, what, whom, now + Duration::from_secs(after)), "{what} {after}");
        }
        for cut in 0..stamp.len() {
            assert!(!one.is_good(&stamp[..cut], "form", b"ada", now));
        }
        let mut bytes = from_base64url(&stamp).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(!one.is_good(&base64url(&bytes), "form", b"ada", now), "byte {at}");
            bytes[at] ^= 1;
        }
    }
}
