//! The keys of a session, `<prefix>s:<session id>`, and of a bucket of failed attempts, `<prefix>{t}:<digest>`. Redis keys
//! are built only here.

use crate::id::{SessionId, base64url};
use crate::session::attempts::BucketKey;

/// Returns the key of one session. A prefix with braces is a hash tag in a Cluster and puts all sessions into one slot.
pub(super) fn session(prefix: &str, id: SessionId) -> String {
    format!("{prefix}s:{id}")
}

/// Returns the key of one bucket of failed attempts. The hash tag puts all of them into one slot of a Cluster.
pub(super) fn bucket(prefix: &str, key: &BucketKey) -> String {
    format!("{prefix}{{t}}:{}", base64url(key.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_prefix_and_id() {
        // Gateways of two versions share these keys: a change of format loses every session and every tombstone.
        assert_eq!(session("doorward:", SessionId::from_bytes([0; 16])), "doorward:s:AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(session("", SessionId::from_bytes([255; 16])), "s:_____________________w");
        assert_eq!(bucket("doorward:", &BucketKey([0; 16])), "doorward:{t}:AAAAAAAAAAAAAAAAAAAAAA");
    }
}
