//! Warnings about invalid fields of trusted proxies, for operators with a misconfigured proxy.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::policy::forwarded::origin::Ignored;

/// Time between two warnings about the same field of the same proxy. A wrong setting affects every request.
const INTERVAL: Duration = Duration::from_mins(1);

/// Maximum number of proxies and fields remembered. Further ones are not logged until an entry expires: clients with an address
/// in a trusted network could send any number.
const MAX_ENTRIES: usize = 64;

/// Maximum number of characters logged of a value.
const MAX_VALUE: usize = 64;

/// Recent warnings.
#[derive(Debug, Default)]
pub(crate) struct IgnoredFields {
    recent: Mutex<Vec<(IpAddr, &'static str, Monotonic)>>,
}

impl IgnoredFields {
    /// Logs a warning, unless there was one about this field of `peer` within the last minute.
    pub(crate) fn note(&self, peer: IpAddr, ignored: Ignored<'_>, now: Monotonic) {
        if self.is_due(peer, ignored.field, now) {
            let value: String = String::from_utf8_lossy(ignored.value).chars().take(MAX_VALUE).collect();
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
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(_, _, at)| now.since(*at) < INTERVAL);
        let was_logged = recent.iter().any(|(other, logged, _)| (*other, *logged) == (peer, field));
        if was_logged || recent.len() >= MAX_ENTRIES {
            return false;
        }
        recent.push((peer, field, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_each_proxy_is_logged_once_a_minute() {
        let ignored = IgnoredFields::default();
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let at = |seconds: u64| Monotonic::from_millis(seconds * 1000);
        assert!(ignored.is_due(one, "x-forwarded-proto", at(0)));
        assert!(!ignored.is_due(one, "x-forwarded-proto", at(59)));
        assert!(ignored.is_due(one, "x-forwarded-host", at(59)));
        assert!(ignored.is_due(other, "x-forwarded-proto", at(59)));
        assert!(ignored.is_due(one, "x-forwarded-proto", at(60)));
        // The number of peers is bounded.
        let many = (0..1000).filter(|n| {
            ignored.is_due(
                IpAddr::from([10, 1, (n / 256) as u8, (n % 256) as u8]),
                "x-forwarded-proto",
                at(61),
            )
        });
        assert_eq!(many.count(), MAX_ENTRIES - 3);
    }
}
