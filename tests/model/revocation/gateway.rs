//! Steps of a gateway that are not those of a request: the feed, and pauses.

use super::rules::{Guard, Revocations};
use super::state::{FAILURES, Gateway, HALF_LEASE, LEASE, Read, Row};

impl Revocations {
    /// `Auth::store_may_confirm`: the vault has been lost for a short time only, and is not about to answer after a pause.
    pub(crate) fn store_may_confirm(&self, gateway: &Gateway) -> bool {
        gateway.unproven.is_some_and(|ticks| ticks < self.outage_grace) && !gateway.is_waking
    }

    /// Passes one tick for a gateway.
    pub(crate) fn pass_tick(&self, gateway: &mut Gateway) {
        let grow = |ticks: &mut u8, max: u8| *ticks = (*ticks + 1).min(max);
        if gateway.is_paused && !self.has(Guard::ClockRunsOn) {
            return;
        }
        if let Some(unproven) = &mut gateway.unproven {
            grow(unproven, self.outage_grace);
        }
        if let Some(read) = &mut gateway.read {
            grow(&mut read.age, self.outage_grace);
            if gateway.is_paused {
                grow(&mut read.slept, HALF_LEASE + 1);
            }
        }
        if gateway.is_paused {
            grow(&mut gateway.slept, HALF_LEASE + 1);
        } else if gateway.is_waking {
            grow(&mut gateway.awake, LEASE);
            // `SETTLING`: the vault stays silent.
            if gateway.awake == LEASE {
                Self::settle(gateway);
            }
        }
    }

    /// `Pauses::settle`: the pause is over.
    const fn settle(gateway: &mut Gateway) {
        (gateway.is_waking, gateway.awake, gateway.failures) = (false, 0, 0);
    }

    /// `Pauses::observe`. Returns whether it notices a pause.
    pub(crate) fn observe(&self, gateway: &mut Gateway) -> bool {
        let is_pause = gateway.slept > HALF_LEASE;
        if is_pause || !self.has(Guard::SleepAddsUp) {
            gateway.slept = 0;
        }
        if !is_pause || !self.has(Guard::PauseRule) {
            return false;
        }
        Self::settle(gateway);
        gateway.is_waking = true;
        if let Some(read) = &mut gateway.read {
            read.is_after_pause = false;
        }
        true
    }

    /// The process goes on after SIGSTOP, or the machine after its suspension.
    pub(crate) const fn wake(gateway: &mut Gateway) {
        gateway.is_paused = false;
        if gateway.slept > HALF_LEASE && gateway.reaches_vault {
            gateway.was_cut_off = false;
        }
    }

    /// `feed::step` sends a read.
    pub(crate) fn send_read(&self, gateway: &mut Gateway, row: Row) {
        let is_broken = std::mem::take(&mut gateway.has_broken_connection);
        if row == Row::Open && !self.has(Guard::CursorIsSnapshot) {
            gateway.has_skipped_row = true;
        }
        let has_row = row == Row::Committed && !gateway.has_skipped_row;
        gateway.read = Some(Read { age: 0, slept: 0, is_after_pause: true, has_row, is_broken });
    }

    /// The read has returned: `Auth::apply`, then `Lease::renew`.
    pub(crate) fn finish_read(&self, gateway: &mut Gateway) {
        let Some(read) = gateway.read.take() else { return };
        if read.has_row && !gateway.is_listed {
            gateway.is_listed = true;
            // The first read after the start writes no tombstones.
            gateway.has_pending_tombstone = gateway.unproven.is_some();
        }
        let proven = if self.has(Guard::LeaseFromSending) { read.age } else { 0 };
        gateway.unproven = Some(proven);
        gateway.slept = read.slept;
        if read.is_after_pause || !self.has(Guard::ReadAfterPause) {
            Self::settle(gateway);
        }
        // The vault is back when it answers within half a lease: a short sleep then leaves the lease held.
        gateway.was_cut_off &= proven + HALF_LEASE >= LEASE;
    }

    /// The read has failed (`Failures::record`).
    pub(crate) fn fail_read(&self, gateway: &mut Gateway) {
        let Some(read) = gateway.read.take() else { return };
        if gateway.is_waking && (read.is_after_pause || !self.has(Guard::ReadAfterPause)) {
            gateway.failures += 1;
            if gateway.failures == FAILURES || !self.has(Guard::SecondFailure) {
                Self::settle(gateway);
            }
        }
    }
}
