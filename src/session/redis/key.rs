//! The key of a session: `<prefix>s:<session id>`. The one place where keys of Redis are built.

use crate::id::SessionId;

/// The key of one session. A prefix with braces is a hash tag in a Cluster and puts all sessions into one slot.
pub(super) fn session(prefix: &str, id: SessionId) -> String {
    format!("{prefix}s:{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_prefix_and_the_id() {
        // Replicas of two versions share these: a change of shape forgets every session and every tombstone.
        assert_eq!(session("doorward:", SessionId::from_bytes([0; 16])), "doorward:s:AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(session("", SessionId::from_bytes([255; 16])), "s:_____________________w");
    }
}
