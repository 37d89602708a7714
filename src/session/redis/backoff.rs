//! How long to wait before the next attempt to connect.

use std::time::Duration;

use crate::id::Random;

/// A blip is over within this; connecting more often would only load a server that is starting.
const FIRST: Duration = Duration::from_millis(50);

/// A longer wait would be felt after Redis is back; at a shorter one many replicas would crowd it.
const LONGEST: Duration = Duration::from_secs(2);

/// Full jitter: anything up to a bound that doubles with each attempt, so that replicas spread by themselves.
pub(super) fn pause(attempt: u32, random: &dyn Random) -> Duration {
    up_to(bound(attempt), random)
}

fn bound(attempt: u32) -> Duration {
    FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST)
}

/// A span from zero to `most`, each as likely, in milliseconds.
pub(super) fn up_to(most: Duration, random: &dyn Random) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let drawn = u128::from(u64::from_le_bytes(random.bytes()));
    let scaled = (drawn * (u128::from(most) + 1)) >> 64;
    Duration::from_millis(u64::try_from(scaled).unwrap_or(most))
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
    fn the_bound_doubles_up_to_two_seconds() {
        let bounds: Vec<_> = [0, 1, 2, 5, 6, 40, u32::MAX].into_iter().map(bound).collect();
        assert_eq!(bounds, [50, 100, 200, 1600, 2000, 2000, 2000].map(Duration::from_millis));
    }

    #[test]
    fn a_pause_is_anything_up_to_its_bound() {
        assert_eq!(pause(0, &Always(0)), Duration::ZERO);
        assert_eq!(pause(0, &Always(255)), Duration::from_millis(50));
        assert_eq!(up_to(Duration::ZERO, &Always(255)), Duration::ZERO);
        assert!((0..1000).all(|_| pause(3, &SystemRandom) <= Duration::from_millis(400)));
    }
}
