//! Handle by which one request is cut from outside, with the cause of the cut.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::id::UserId;
use crate::identity::RightsVersion;

/// Cause of cutting a request or stream short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its session was revoked.
    Revoked,
    /// The user's rights have changed since the request was admitted.
    RolesChanged,
    /// Its session reached its end.
    Expired,
    /// The revocation list has not been current for `stream_lease`.
    StaleRevocations,
    /// The gateway is stopping and the drain timeout has passed.
    Draining,
    /// The request body arrives too slowly.
    Slow,
    /// The client does not read the response, and too many responses are stalled.
    Stalled,
    /// The app sent nothing for longer than the route's `timeout`.
    UpstreamTimeout,
}

impl Cut {
    /// Returns the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::RolesChanged => "roles_changed",
            Self::Expired => "expired",
            Self::StaleRevocations => "stale_revocations",
            Self::Draining => "draining",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Revoked),
            2 => Some(Self::Expired),
            3 => Some(Self::StaleRevocations),
            4 => Some(Self::Draining),
            5 => Some(Self::RolesChanged),
            6 => Some(Self::Slow),
            7 => Some(Self::Stalled),
            8 => Some(Self::UpstreamTimeout),
            _ => None,
        }
    }

    const fn to_u8(self) -> u8 {
        match self {
            Self::Revoked => 1,
            Self::Expired => 2,
            Self::StaleRevocations => 3,
            Self::Draining => 4,
            Self::RolesChanged => 5,
            Self::Slow => 6,
            Self::Stalled => 7,
            Self::UpstreamTimeout => 8,
        }
    }
}

/// Progress of a response, which decides what a cut can still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No byte of the response was sent: a cut can send an error response.
    Waiting,
    /// The response is being written and normally ends by itself soon.
    Answering,
    /// A WebSocket or an event stream: ends only when it is closed.
    Open,
}

/// Handle by which one request can be cut from outside.
#[derive(Debug, Default)]
pub struct Control {
    cut: AtomicU8,
    progress: AtomicU8,
    header_read: AtomicBool,
    dropped: AtomicBool,
    answered_late: AtomicBool,
    /// Bytes of the awaited request body received so far, plus one; 0 = no body is awaited.
    body: AtomicU64,
    changed: Notify,
    /// User and rights of the token that the request was admitted with.
    admission: Mutex<Option<(UserId, RightsVersion)>>,
}

impl Control {
    /// Records the user and the rights of the token. After a renewal those of the new one count.
    pub(crate) fn set_admission(&self, user: UserId, rights: RightsVersion) {
        *self.admission.lock().unwrap_or_else(PoisonError::into_inner) = Some((user, rights));
    }

    /// Returns whether this user's request was admitted with an older version of the rights.
    pub(crate) fn was_admitted_with_less(&self, user: UserId, rights: RightsVersion) -> bool {
        let admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        admission.is_some_and(|(known, admitted)| known == user && admitted < rights)
    }

    /// Cuts the request; the first cause is kept.
    pub fn cut(&self, cause: Cut) {
        if self.cut.compare_exchange(0, cause.to_u8(), Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.changed.notify_one();
        }
    }

    /// Returns the cause of the cut, if the request was cut.
    pub fn cause(&self) -> Option<Cut> {
        Cut::from_u8(self.cut.load(Ordering::Acquire))
    }

    /// Resolves when the request is cut. Supports one waiter.
    pub async fn until_cut(&self) -> Cut {
        loop {
            if let Some(cause) = self.cause() {
                return cause;
            }
            self.changed.notified().await;
        }
    }

    /// Sets the progress of the response.
    pub fn set_progress(&self, progress: Progress) {
        self.progress.store(progress as u8, Ordering::Release);
    }

    /// Returns the progress of the response.
    pub fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Acquire) {
            0 => Progress::Waiting,
            1 => Progress::Answering,
            _ => Progress::Open,
        }
    }

    /// Records that the cut was carried out: the request did not end by itself within the grace period.
    pub fn set_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Records that the client gets an error response after the request is dropped.
    pub fn set_answered_late(&self) {
        self.answered_late.store(true, Ordering::Release);
    }

    /// Returns whether the client gets an error response after the request is dropped.
    pub fn was_answered_late(&self) -> bool {
        self.answered_late.load(Ordering::Acquire)
    }

    /// Returns why the request was dropped, if it was.
    pub fn dropped(&self) -> Option<Cut> {
        self.cause().filter(|_| self.dropped.load(Ordering::Acquire))
    }

    /// Records that the request header is complete.
    pub fn set_header_read(&self) {
        self.header_read.store(true, Ordering::Release);
    }

    /// Records that the gateway waits for the request body from now on.
    pub fn expect_body(&self) {
        self.body.store(1, Ordering::Release);
    }

    /// Records received bytes of the request body.
    pub fn record_body(&self, bytes: u64) {
        // One task reads the body, so there is no concurrent writer.
        let before = self.body.load(Ordering::Relaxed);
        if before > 0 {
            self.body.store(before + bytes, Ordering::Release);
        }
    }

    /// Records that the request body is complete.
    pub fn set_body_complete(&self) {
        self.body.store(0, Ordering::Release);
    }

    /// Returns the bytes received of a body that is not complete; `None` when no body is awaited.
    pub fn awaited_body(&self) -> Option<u64> {
        self.body.load(Ordering::Acquire).checked_sub(1)
    }

    /// Returns whether the request header is complete.
    pub fn has_header(&self) -> bool {
        self.header_read.load(Ordering::Acquire)
    }
}
