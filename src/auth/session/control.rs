//! The handle by which one request is cut from outside, and what it is cut for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::auth::tokens::last_token::LastToken;

/// Why a request or stream is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its session was revoked.
    Revoked,
    /// The rights it was let in with have changed.
    Rights,
    /// Its session reached its end.
    Expired,
    /// The set has not been current for `stream_lease`.
    Unproven,
    /// The gateway is stopping and its time is up.
    Draining,
    /// Its body came too slowly.
    Slow,
    /// Its client does not take the answer, and others do the same.
    Stalled,
    /// The app was silent for longer than the route's `timeout`.
    Silent,
}

impl Cut {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Rights => "roles_changed",
            Self::Expired => "expired",
            Self::Unproven => "stale_revocations",
            Self::Draining => "draining",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Silent => "upstream_timeout",
        }
    }

    const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Revoked),
            2 => Some(Self::Expired),
            3 => Some(Self::Unproven),
            4 => Some(Self::Draining),
            5 => Some(Self::Rights),
            6 => Some(Self::Slow),
            7 => Some(Self::Stalled),
            8 => Some(Self::Silent),
            _ => None,
        }
    }

    const fn to_u8(self) -> u8 {
        match self {
            Self::Revoked => 1,
            Self::Expired => 2,
            Self::Unproven => 3,
            Self::Draining => 4,
            Self::Rights => 5,
            Self::Slow => 6,
            Self::Stalled => 7,
            Self::Silent => 8,
        }
    }
}

/// How far a response has come, and so what a cut can still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not begun: a cut can be answered in words.
    Waiting,
    /// Being written: about to end by itself, as a rule.
    Answering,
    /// A WebSocket or an event stream: ends only when it is closed.
    Open,
}

/// The handle by which one request can be cut from outside.
#[derive(Debug, Default)]
pub struct Control {
    cut: AtomicU8,
    progress: AtomicU8,
    header_read: AtomicBool,
    dropped: AtomicBool,
    /// Bytes of a body that is waited for, and one.
    body: AtomicU64,
    changed: Notify,
    /// The last token of its connection.
    last_token: Option<Arc<LastToken>>,
}

impl Control {
    /// Of a request whose connection sent `last_token` before.
    pub fn of_connection(last_token: &Arc<LastToken>) -> Self {
        Self { last_token: Some(Arc::clone(last_token)), ..Self::default() }
    }

    /// The last token of its connection.
    pub(crate) fn last_token(&self) -> Option<&LastToken> {
        self.last_token.as_deref()
    }

    /// Cuts the request; the first cause stays.
    pub fn cut(&self, cause: Cut) {
        if self.cut.compare_exchange(0, cause.to_u8(), Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.changed.notify_one();
        }
    }

    /// Why it was cut, if it was.
    pub fn cause(&self) -> Option<Cut> {
        Cut::from_u8(self.cut.load(Ordering::Acquire))
    }

    /// Resolves when it is cut. For one waiter.
    pub async fn until_cut(&self) -> Cut {
        loop {
            if let Some(cause) = self.cause() {
                return cause;
            }
            self.changed.notified().await;
        }
    }

    /// How far the response has come.
    pub fn set_progress(&self, progress: Progress) {
        self.progress.store(progress as u8, Ordering::Release);
    }

    /// How far the response has come.
    pub fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Acquire) {
            0 => Progress::Waiting,
            1 => Progress::Answering,
            _ => Progress::Open,
        }
    }

    /// The cut was carried out: the request did not come to its end by itself within its grace.
    pub fn was_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Why the request was dropped, if it was.
    pub fn dropped(&self) -> Option<Cut> {
        self.cause().filter(|_| self.dropped.load(Ordering::Acquire))
    }

    /// The request header is complete.
    pub fn header_was_read(&self) {
        self.header_read.store(true, Ordering::Release);
    }

    /// From now on its body is waited for.
    pub fn expects_body(&self) {
        self.body.store(1, Ordering::Release);
    }

    /// Some of the body has come.
    pub fn body_came(&self, bytes: u64) {
        // Nobody else writes it: the body is read by one task.
        let before = self.body.load(Ordering::Relaxed);
        if before > 0 {
            self.body.store(before + bytes, Ordering::Release);
        }
    }

    /// All of it has come.
    pub fn body_is_complete(&self) {
        self.body.store(0, Ordering::Release);
    }

    /// How many bytes of a body that is still waited for have come; `None` when none is.
    pub fn awaited_body(&self) -> Option<u64> {
        self.body.load(Ordering::Acquire).checked_sub(1)
    }

    /// Whether the request header is complete.
    pub fn has_header(&self) -> bool {
        self.header_read.load(Ordering::Acquire)
    }
}
