//! The backlog of an HTTP/2 connection: of its socket, and of its streams together.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::pace::Pace;
use super::{Backlog, Held, Of, REQUEST};

/// Where much is held, an HTTP/2 connection that holds so much waits with its next requests.
const SHARE: u64 = 1 << 20;

/// And has no more requests under way than these and as many as it has finished lately.
const FEW: u64 = 10;

/// Requests that wait look for room so often.
const ROOM_EVERY: Duration = Duration::from_millis(50);

/// The write side of an HTTP/2 connection: its socket, and its streams together.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) socket: Backlog,
    /// Bytes that are counted for its streams.
    pub(super) streams: AtomicU64,
    /// Requests under way.
    pub(super) requests: AtomicU32,
    /// When bytes of a body left last, in milliseconds of [`Held::millis`].
    pub(super) delivered: AtomicU64,
    /// Requests without a response.
    pub(super) young: AtomicU32,
    /// How many requests are finished.
    pub(super) pace: Pace,
    /// Whose turn it is to wait for room; the others queue.
    turn: Mutex<()>,
    abandoned: Notify,
}

impl Connection {
    /// Of a connection from `client`.
    pub(crate) fn new(held: &Arc<Held>, client: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            socket: Backlog::new(held, Of::Socket, client, false),
            streams: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            delivered: AtomicU64::new(0),
            young: AtomicU32::new(0),
            pace: Pace::default(),
            turn: Mutex::default(),
            abandoned: Notify::new(),
        })
    }

    /// The backlog of its socket.
    pub(crate) const fn socket(&self) -> &Backlog {
        &self.socket
    }

    /// Bytes of memory that are counted for it and its streams.
    pub(crate) fn counted(&self) -> u64 {
        self.streams.load(Ordering::Relaxed) + self.socket.counted()
    }

    /// Whether its socket took everything for `patience`, in milliseconds: then nothing waits for a turn.
    pub(super) fn has_room(&self, now: u64, patience: u64) -> bool {
        let state = self.socket.lock();
        state.since == 0 && now.saturating_sub(state.freed) >= patience
    }

    /// Ends it, with everything that it holds.
    pub(crate) fn abandon(&self) {
        self.abandoned.notify_one();
    }

    /// Resolves when it is to be ended.
    pub(crate) async fn until_abandoned(&self) {
        self.abandoned.notified().await;
    }

    /// The backlog of its next request, once there is room for it. There is, unless too much is held for blocked clients, or
    /// soon may be: then a connection that has responses to take takes them first. `None` if it takes nothing for `patience`.
    pub(crate) async fn next_request(self: &Arc<Self>, patience: Duration) -> Option<Arc<Backlog>> {
        let held = &self.socket.held;
        if held.may_exceed_limit() {
            let begun = held.millis();
            let _turn = self.turn.lock().await;
            while held.may_exceed_limit() && !self.has_room_for_request() {
                let last = begun.max(self.delivered.load(Ordering::Relaxed));
                if u128::from(held.millis().saturating_sub(last)) > patience.as_millis() {
                    return None;
                }
                tokio::time::sleep(ROOM_EVERY).await;
            }
            return Some(self.expect_request());
        }
        Some(self.expect_request())
    }

    fn has_room_for_request(&self) -> bool {
        let held = self.counted();
        let under_way = u64::from(self.young.load(Ordering::Relaxed)) + held / REQUEST;
        held < SHARE && under_way < FEW + u64::from(self.pace.last_second(self.socket.held.millis()))
    }

    fn expect_request(self: &Arc<Self>) -> Arc<Backlog> {
        let backlog = Backlog::of_stream(self);
        backlog.expect();
        backlog
    }
}
