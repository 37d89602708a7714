//! The key of a session: `<prefix>s:<session id>`. Redis keys are built only here.

use crate::id::SessionId;

/// Returns the key of one session. A prefix with braces is a hash tag in a Cluster and puts all sessions into one slot.
pub(super) fn session(prefix: &str, id: SessionId) -> String {
    format!("{prefix}s:{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_prefix_and_id() {
        // Gateways of two versions share these keys: a change of format loses every session and every tombstone.
        assert_eq!(session("doorward:", SessionId::from_bytes([0; 16])), "doorward:s:AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(session("", SessionId::from_bytes([255; 16])), "s:_____________________w");
    }
}
