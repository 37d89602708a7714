//! Last token of a connection, with its digest: clients that keep a connection send the same token repeatedly.
//!
//! On a processor without SHA instructions, SHA-256 of a 500-byte token is the most expensive step of the check: 17,000
//! of a request's 150,000 instructions. A comparison takes 200.

use std::sync::Mutex;

use zeroize::Zeroizing;

use crate::token::{Digest, sha256};

/// Maximum size of a kept token, in bytes. A token with a hundred roles has 2 KiB; 10,000 idle connections keep 5 MiB
/// of ordinary tokens.
const MAX_BYTES: usize = 2 << 10;

/// Last valid token of a connection. Wiped when it is dropped.
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
    /// Returns the digest of `token`, and whether it came from the kept token.
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

/// Compares in constant time: a proxy may send the requests of several users over one connection, and the time must not
/// reveal another user's token.
fn is_equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |all, (left, right)| all | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_matches_the_token_whatever_is_kept() {
        let last = LastToken::default();
        let (left, right) = ("one.token.x", "one.token.y");
        assert_eq!(last.digest(left), (sha256(left.as_bytes()), false));
        last.keep(left, sha256(left.as_bytes()));
        assert_eq!(last.digest(left), (sha256(left.as_bytes()), true));
        for differs in [right, "one.token.", "one.token.xx", ""] {
            assert_eq!(last.digest(differs), (sha256(differs.as_bytes()), false), "{differs}");
        }
        last.keep(right, sha256(right.as_bytes()));
        assert_eq!((last.digest(left).1, last.digest(right).1), (false, true), "the last alone");
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
