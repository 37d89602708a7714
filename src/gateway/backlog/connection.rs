//! The backlog of an HTTP/2 connection: of its socket, and of its streams together.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Backlog, Held, Of};

/// What an HTTP/2 connection may hold before its next requests wait, once the limit is reached.
const SHARE: u64 = 1 << 20;

/// A connection whose client took something within so many milliseconds makes progress.
const MOVES: u64 = 1000;

/// Requests that wait look for room so often.
const ROOM_EVERY: Duration = Duration::from_millis(50);

/// The write side of an HTTP/2 connection: its socket, and its streams together.
#[derive(Debug)]
pub(in super::super) struct Connection {
    pub(super) socket: Backlog,
    /// Bytes that are counted for its streams.
    pub(super) streams: AtomicU64,
    /// Requests under way.
    pub(super) requests: AtomicU32,
    /// When bytes of a body left last, in milliseconds of [`Held::millis`].
    pub(super) delivered: AtomicU64,
    abandoned: Notify,
}

impl Connection {
    /// Of a connection from `client`.
    pub(in super::super) fn new(held: &Arc<Held>, client: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            socket: Backlog::new(held, Of::Socket, client, false),
            streams: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            delivered: AtomicU64::new(0),
            abandoned: Notify::new(),
        })
    }

    /// The backlog of its socket.
    pub(in super::super) const fn socket(&self) -> &Backlog {
        &self.socket
    }

    /// Bytes of memory that are counted for it and its streams.
    pub(in super::super) fn counted(&self) -> u64 {
        self.streams.load(Ordering::Relaxed) + self.socket.counted()
    }

    /// Whether its socket took everything for `patience`, in milliseconds: then nothing waits for a turn.
    pub(super) fn has_room(&self, now: u64, patience: u64) -> bool {
        let state = self.socket.lock();
        state.since == 0 && now.saturating_sub(state.freed) >= patience
    }

    /// Ends it, with everything that it holds.
    pub(in super::super) fn abandon(&self) {
        self.abandoned.notify_one();
    }

    /// Resolves when it is to be ended.
    pub(in super::super) async fn until_abandoned(&self) {
        self.abandoned.notified().await;
    }

    /// Waits while too much is held for blocked clients and this one takes nothing of its share: what it asks for next
    /// would be held as well. Whether there is room before `patience` is over.
    pub(in super::super) async fn until_room(&self, patience: Duration) -> bool {
        let held = &self.socket.held;
        let begun = held.millis();
        loop {
            let now = held.millis();
            let moves = now.saturating_sub(self.delivered.load(Ordering::Relaxed)) < MOVES;
            if !held.is_over_limit() || self.counted() < SHARE || moves {
                return true;
            }
            if u128::from(now - begun) > patience.as_millis() {
                return false;
            }
            tokio::time::sleep(ROOM_EVERY).await;
        }
    }
}
