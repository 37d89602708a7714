//! Send backlog of an HTTP/2 connection: its socket, and all its streams.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::pace::Pace;
use super::{Backlog, Held, Of, REQUEST};

/// Bytes held by one HTTP/2 connection from which its next requests wait, while too much is held in total.
const MAX_BYTES: u64 = 1 << 20;

/// Requests that such a connection may always have in flight. It may have as many more as it finished in the last second.
const BASE_REQUESTS: u64 = 10;

/// The same, where twice the limit or more is held. Each connection can still do something beside a download.
const FEW_REQUESTS: u64 = 2;

/// Number of finished requests after which a connection counts as one of a client that reads.
const PROVEN: u64 = 50;

/// Interval at which waiting requests check for room.
const ROOM_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Write side of an HTTP/2 connection: its socket, and all its streams.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) socket: Backlog,
    /// Bytes counted for its streams.
    pub(super) streams: AtomicU64,
    /// Requests in flight.
    pub(super) requests: AtomicU32,
    /// Last time at which body bytes were written, in milliseconds of [`Held::millis`].
    pub(super) delivered: AtomicU64,
    /// Requests whose response is expected soon.
    pub(super) expected_responses: AtomicU32,
    /// Rate of finished requests.
    pub(super) pace: Pace,
    /// Held by the one request that waits for room; the others queue.
    waiting: Mutex<()>,
    abandoned: Notify,
}

impl Connection {
    /// Creates the write side of a connection from `client`.
    pub(crate) fn new(held: &Arc<Held>, client: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            socket: Backlog::new(held, Of::Socket, client, false),
            streams: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            delivered: AtomicU64::new(0),
            expected_responses: AtomicU32::new(0),
            pace: Pace::default(),
            waiting: Mutex::default(),
            abandoned: Notify::new(),
        })
    }

    /// Backlog of the socket.
    pub(crate) const fn socket(&self) -> &Backlog {
        &self.socket
    }

    /// Bytes of memory counted for the socket and the streams.
    pub(crate) fn counted(&self) -> u64 {
        self.streams.load(Ordering::Relaxed) + self.socket.counted()
    }

    /// Whether the socket was not blocked for the last `patience` milliseconds.
    pub(super) fn is_socket_free(&self, now: u64, patience: u64) -> bool {
        let state = self.socket.lock();
        state.since == 0 && now.saturating_sub(state.freed) >= patience
    }

    /// Closes the connection and drops its buffers.
    pub(crate) fn abandon(&self) {
        self.abandoned.notify_one();
    }

    /// Resolves when the connection is to be closed.
    pub(crate) async fn until_abandoned(&self) {
        self.abandoned.notified().await;
    }

    /// Returns the backlog of the next request, once there is room for it. Requests wait only if the memory held for blocked
    /// clients exceeds its limit or soon may: then the client must read pending responses first. `None` if it reads nothing for
    /// `patience`.
    pub(crate) async fn next_request(self: &Arc<Self>, patience: Duration) -> Option<Arc<Backlog>> {
        let held = &self.socket.held;
        if held.may_exceed_limit() {
            let started = held.millis();
            let _waiting = self.waiting.lock().await;
            while held.may_exceed_limit() && !self.has_room_for_request(held.excess()) {
                let last = started.max(self.delivered.load(Ordering::Relaxed));
                if u128::from(held.millis().saturating_sub(last)) > patience.as_millis() {
                    return None;
                }
                tokio::time::sleep(ROOM_CHECK_INTERVAL).await;
            }
            return Some(self.expect_request());
        }
        Some(self.expect_request())
    }

    /// Whether the next request may begin, where the memory held is `excess` times its limit.
    fn has_room_for_request(&self, excess: u64) -> bool {
        let held = self.counted();
        let expected = u64::from(self.expected_responses.load(Ordering::Relaxed));
        let paced = u64::from(self.pace.last_second(self.socket.held.millis()));
        if excess > 1 {
            // A large download is one request, and an idle event stream holds nothing.
            let others = u64::from(self.requests.load(Ordering::Relaxed)).saturating_sub(expected);
            return expected + others.min(held / REQUEST) < FEW_REQUESTS + paced;
        }
        // A client that has read many responses, and all of them, does not pay for others.
        let is_proven = held == 0 && self.pace.total() >= PROVEN;
        is_proven || held < MAX_BYTES && expected + held / REQUEST < BASE_REQUESTS + paced
    }

    fn expect_request(self: &Arc<Self>) -> Arc<Backlog> {
        let backlog = Backlog::of_stream(self);
        backlog.expect_response();
        backlog
    }
}
