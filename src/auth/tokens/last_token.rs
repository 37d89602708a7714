//! The token that a connection sent last, with its digest: clients that keep a connection send the same one again and again.
//!
//! SHA-256 of a token of 500 bytes is the dearest step of the check, where the processor has no instructions for it: 17,000
//! instructions of 150,000 of a request. Comparing takes 200.

use std::sync::Mutex;

use zeroize::Zeroizing;

use crate::token::{Digest, sha256};

/// Maximum size of a token that is kept, in bytes. With a hundred roles one has 2 KiB; 10,000 idle connections keep 5 MiB of
/// ordinary ones.
const MAX_BYTES: usize = 2 << 10;

/// The last good token of a connection. Wiped when it is dropped.
#[derive(Default)]
pub struct LastToken(Mutex<Option<Kept>>);

struct Kept {
    token: Zeroizing<Box<[u8]>>,
    digest: Digest,
}

impl std::fmt::Debug for LastToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LastToken")
    }
}

impl LastToken {
    /// The digest of `token`, and whether it is the kept one.
    pub(crate) fn digest(&self, token: &str) -> (Digest, bool) {
        // The streams of an HTTP/2 connection do not wait for each other.
        if let Ok(kept) = self.0.try_lock()
            && let Some(kept) = &*kept
            && is_equal(&kept.token, token.as_bytes())
        {
            return (kept.digest, true);
        }
        (sha256(token.as_bytes()), false)
    }

    /// Keeps a token that has passed the check.
    pub(crate) fn keep(&self, token: &str, digest: Digest) {
        if token.len() <= MAX_BYTES
            && let Ok(mut kept) = self.0.try_lock()
        {
            *kept = Some(Kept { token: Zeroizing::new(token.as_bytes().into()), digest });
        }
    }
}

/// Compares without stopping at the first difference: a proxy may send the requests of several users over one connection, and
/// none of them is to learn another's token by the time this takes.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_that_of_the_token_whatever_is_kept() {
        let last = LastToken::default();
        let (one, other) = ("one.token.x", "one.token.y");
        assert_eq!(last.digest(one), (sha256(one.as_bytes()), false));
        last.keep(one, sha256(one.as_bytes()));
        assert_eq!(last.digest(one), (sha256(one.as_bytes()), true));
        for differs in [other, "one.token.", "one.token.xx", ""] {
            assert_eq!(last.digest(differs), (sha256(differs.as_bytes()), false), "{differs}");
        }
        last.keep(other, sha256(other.as_bytes()));
        assert_eq!((last.digest(one).1, last.digest(other).1), (false, true), "the last alone");
        let long = "x".repeat(MAX_BYTES + 1);
        last.keep(&long, sha256(long.as_bytes()));
        assert!(!last.digest(&long).1);
    }

    #[test]
    fn kept_token_is_not_printed() {
        let last = LastToken::default();
        last.keep("secret", sha256(b"secret"));
        assert_eq!(format!("{last:?}"), "LastToken");
    }
}
