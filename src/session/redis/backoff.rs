//! Backoff between attempts to connect.

use std::time::Duration;

use crate::id::Random;

/// First bound: a short outage is over within this; connecting more often would only load a server that is starting.
const FIRST: Duration = Duration::from_millis(50);

/// Maximum bound. A longer wait would be noticed after Redis is back; with a shorter one many gateways would overload
/// it.
const MAX: Duration = Duration::from_secs(2);

/// Returns the pause before an attempt with full jitter: any span up to a bound that doubles with each attempt, so that
/// gateways spread out.
pub(super) fn pause(attempt: u32, random: &dyn Random) -> Duration {
    up_to(bound(attempt), random)
}

fn bound(attempt: u32) -> Duration {
    FIRST.saturating_mul(1 << attempt.min(16)).min(MAX)
}

/// Returns a uniformly random span from zero to `max`, in milliseconds.
pub(super) fn up_to(max: Duration, random: &dyn Random) -> Duration {
    let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
    let drawn = u128::from(u64::from_le_bytes(random.bytes()));
    let scaled = (drawn * (u128::from(max) + 1)) >> 64;
    Duration::from_millis(u64::try_from(scaled).unwrap_or(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    #[test]
    fn bound_doubles_up_to_two_seconds() {
        let bounds: Vec<_> = [0, 1, 2, 5, 6, 40, u32::MAX].into_iter().map(bound).collect();
        assert_eq!(bounds, [50, 100, 200, 1600, 2000, 2000, 2000].map(Duration::from_millis));
    }

    #[test]
    fn pause_is_at_most_its_bound() {
        assert_eq!(pause(0, &Always(0)), Duration::ZERO);
        assert_eq!(pause(0, &Always(255)), Duration::from_millis(50));
        assert_eq!(up_to(Duration::ZERO, &Always(255)), Duration::ZERO);
        assert!((0..1000).all(|_| pause(3, &SystemRandom) <= Duration::from_millis(400)));
    }
}
