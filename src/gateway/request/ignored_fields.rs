//! Log lines about fields of trusted proxies that were not understood: for operators whose proxy is set up wrongly.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::policy::forwarded::origin::Ignored;

/// Time between two lines about the same field of the same proxy. A wrong setting is in every request.
const QUIET: Duration = Duration::from_mins(1);

/// Maximum number of proxies and fields remembered. Beyond it further ones have no line until the oldest is due again: clients
/// whose own address is in a trusted network could bring any number.
const MOST: usize = 64;

/// Characters of a value that are shown.
const SHOWN: usize = 64;

/// Lines written lately.
#[derive(Debug, Default)]
pub(crate) struct IgnoredFields {
    lines: Mutex<Vec<(IpAddr, &'static str, Monotonic)>>,
}

impl IgnoredFields {
    /// Writes a line, unless there was one about this field of `peer` within the last minute.
    pub(crate) fn note(&self, peer: IpAddr, ignored: Ignored<'_>, now: Monotonic) {
        if self.is_due(peer, ignored.field, now) {
            let value: String = String::from_utf8_lossy(ignored.value).chars().take(SHOWN).collect();
            tracing::warn!(
                reason = "forwarded_field_ignored",
                peer = %peer.to_canonical(),
                field = ignored.field,
                value,
                "a field of a trusted proxy is not understood, so the connection itself or another field counts: see \
                 docs/headers.md for what is read"
            );
        }
    }

    fn is_due(&self, peer: IpAddr, field: &'static str, now: Monotonic) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|(_, _, at)| now.since(*at) < QUIET);
        let is_known = lines.iter().any(|(other, known, _)| (*other, *known) == (peer, field));
        if is_known || lines.len() >= MOST {
            return false;
        }
        lines.push((peer, field, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_each_proxy_has_one_line_a_minute() {
        let misread = IgnoredFields::default();
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let at = |seconds: u64| Monotonic::from_millis(seconds * 1000);
        assert!(misread.is_due(one, "x-forwarded-proto", at(0)));
        assert!(!misread.is_due(one, "x-forwarded-proto", at(59)));
        assert!(misread.is_due(one, "x-forwarded-host", at(59)));
        assert!(misread.is_due(other, "x-forwarded-proto", at(59)));
        assert!(misread.is_due(one, "x-forwarded-proto", at(60)));
        // Many peers are bounded.
        let many = (0..1000).filter(|n| {
            misread.is_due(
                IpAddr::from([10, 1, (n / 256) as u8, (n % 256) as u8]),
                "x-forwarded-proto",
                at(61),
            )
        });
        assert_eq!(many.count(), MOST - 3);
    }
}
