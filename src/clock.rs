//! Time as a dependency: wall-clock time for stored and signed values, monotonic time for waits.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The epoch itself; earlier than any time in a vault.
    pub const EPOCH: Self = Self(0);

    /// Builds a timestamp from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Builds a timestamp from whole seconds since the Unix epoch, as in JWT claims (RFC 7519 section 2).
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Returns milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the time from `earlier` until `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

impl Timestamp {
    /// Formats as RFC 3339, UTC, to the millisecond.
    pub fn precise(self) -> impl fmt::Display {
        humantime::format_rfc3339_millis(self.system_time())
    }

    fn system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// Formats as RFC 3339, UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.system_time()).fmt(f)
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A time on a clock that never jumps; comparable only within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// Returns milliseconds since the clock was created.
    pub fn millis(self) -> u64 {
        whole_millis(self.0)
    }

    /// Builds a time from milliseconds since the clock was created.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Returns the time from `earlier` until `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Source of time.
pub trait Clock: Send + Sync + 'static {
    /// Returns wall-clock time. It may jump, so it is used only for stored, signed and displayed values.
    fn wall(&self) -> Timestamp;
    /// Returns monotonic time, for leases, throttles and deadlines.
    fn monotonic(&self) -> Monotonic;
}

/// The machine's clocks. On Linux the monotonic one (`CLOCK_BOOTTIME`) goes on while the machine is suspended, so that
/// nothing proven before outlasts the night.
#[derive(Debug)]
pub struct SystemClock {
    origin: Duration,
}

impl SystemClock {
    /// Creates a clock whose monotonic time starts at zero now.
    pub fn new() -> Self {
        Self { origin: since_boot() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(millis(since_epoch))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(since_boot().saturating_sub(self.origin))
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Elsewhere the time of a suspension may be missing.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
}

/// The machine's clocks plus an offset that tests advance.
#[derive(Debug, Default)]
pub struct TravelClock {
    system: SystemClock,
    wall_ahead: AtomicU64,
    monotonic_ahead: AtomicU64,
}

impl TravelClock {
    /// Creates a clock that starts at the machine's time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances both clocks.
    pub fn advance(&self, span: Duration) {
        let span = whole_millis(span);
        self.wall_ahead.fetch_add(span, Ordering::SeqCst);
        self.monotonic_ahead.fetch_add(span, Ordering::SeqCst);
    }
}

impl Clock for TravelClock {
    fn wall(&self) -> Timestamp {
        self.system.wall() + Duration::from_millis(self.wall_ahead.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(
            self.system.monotonic().0 + Duration::from_millis(self.monotonic_ahead.load(Ordering::SeqCst)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travel_clock_advances_both_clocks() {
        let clock = TravelClock::new();
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        clock.advance(Duration::from_secs(60));
        assert!(clock.wall().since(wall) >= Duration::from_secs(60));
        assert!(clock.monotonic().since(monotonic) >= Duration::from_secs(60));
    }

    #[test]
    fn seconds_round_down_and_spans_never_go_negative() {
        assert_eq!(Timestamp::from_millis(1999).secs(), 1);
        assert_eq!(Timestamp::from_millis(1).since(Timestamp::from_millis(5)), Duration::ZERO);
        assert_eq!(Timestamp::from_secs(0).to_string(), "1970-01-01T00:00:00Z");
    }
}
