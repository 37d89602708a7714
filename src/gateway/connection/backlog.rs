//! Send backlog: the response bytes that one client has not read yet, and the start of its time without progress.
//!
//! It is measured where the bytes are buffered. An HTTP/1.1 connection is blocked when the socket does not accept a write. With
//! HTTP/2, the socket can block, and so can flow control: a stream is blocked while bytes of its body are buffered, and makes
//! progress when its task is woken to send more of them. [`Held`] has the sum over all clients.
//!
//! ```text
//! app -> Pingora's pipe (up to five chunks) -> a write ------------------------> socket     HTTP/1.1
//!                                           -> a stream's queue -> a connection -> socket     HTTP/2
//! ```

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use pingora::protocols::SocketDigest;

use crate::gateway::connection::backlog::held::Held;

mod connection;
pub(crate) mod held;
mod pace;
pub(crate) mod stalled;

pub(crate) use connection::Connection;

/// Memory of a request with a blocked response, without its body bytes: the task, and the upstream connection with 64 KiB of
/// buffer. Measured: 91 KiB.
const REQUEST: u64 = 96 << 10;

/// Chunks buffered in Pingora's pipe behind the one that is being written: four, and one more that waits for space.
const PIPE: u32 = 5;

/// Bytes that a blocked client must read to make progress. Fewer do not count: a client that reads one byte now and then would
/// hold as much memory as one that reads nothing. The slowest modems read this much in a second.
const PROGRESS: u64 = 1 << 10;

/// Part of the memory held for a client that it must read in the same time: reading in tiny steps would keep all of it for ever.
/// A reader of a download for which 700 KiB are held needs 4.4 kB/s.
const HELD_PART: u64 = 32;

/// Bytes that count as progress of a client for which `counted` bytes are held.
fn progress(counted: u64) -> u64 {
    PROGRESS.max(counted / HELD_PART)
}

/// Factor on the patience for a stream while its connection's socket is busy with other streams.
const BUSY_SOCKET_FACTOR: u64 = 4;

/// Concurrent requests of one HTTP/2 connection that are read ahead in full. Browsers seldom have more with large responses.
const FULL_READ_AHEAD_STREAMS: u32 = 8;

/// Part of a connection that a backlog measures.
#[derive(Debug)]
enum Of {
    /// Write side of an HTTP/1.1 connection.
    Http1,
    /// Write side of an HTTP/2 connection.
    Socket,
    /// Stream of this HTTP/2 connection.
    Stream(Arc<Connection>),
}

/// Send backlog of a connection's write side, or of an HTTP/2 stream.
#[derive(Debug)]
pub(crate) struct Backlog {
    held: Arc<Held>,
    of: Of,
    /// Whether the client has many connections or streams: then less is read ahead for this one.
    is_crowded: bool,
    /// Whether `State::since` is set: a writer that is not blocked does not take the lock.
    blocked: AtomicBool,
    /// Maximum number of response bytes buffered behind those that are being written; 0 after the last chunk.
    read_ahead: AtomicU32,
    socket: OnceLock<Arc<SocketDigest>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Start of the time without progress, in milliseconds of [`Held::millis`]; 0 when not blocked.
    since: u64,
    /// End of the last blocked time, in the same unit.
    freed: u64,
    /// Bytes waiting to be sent to the client.
    unsent: u64,
    /// Bytes accepted since `since`.
    accepted: u64,
    /// Bytes acknowledged by the client's TCP stack at the last check; 0 before the first one.
    acknowledged: u64,
    /// Wake-ups of a stream that still count as progress: about one for each [`PROGRESS`] bytes.
    wakes: u64,
    /// Start of a stream's request whose response is expected soon, in milliseconds of [`Held::millis`]. 0 once the response has
    /// begun, or after so long that the app must be waiting for something (long polling).
    expected_since: u64,
    /// Whether the request is over, and only buffered bytes are left.
    is_over: bool,
    /// Bytes counted for it in [`Held`].
    counted: u64,
    /// The client as policy sees it.
    client: Option<IpAddr>,
}

impl Backlog {
    /// Creates the backlog of an HTTP/1.1 connection from `client`.
    pub(crate) fn of_http1(held: &Arc<Held>, client: Option<IpAddr>, is_crowded: bool) -> Arc<Self> {
        Arc::new(Self::new(held, Of::Http1, client, is_crowded))
    }

    /// Creates the backlog of a stream of an HTTP/2 connection.
    pub(crate) fn of_stream(connection: &Arc<Connection>) -> Arc<Self> {
        let socket = &connection.socket;
        let is_crowded = connection.requests.fetch_add(1, Ordering::Relaxed) >= FULL_READ_AHEAD_STREAMS;
        let of = Of::Stream(Arc::clone(connection));
        Arc::new(Self::new(&socket.held, of, socket.client(), is_crowded))
    }

    fn new(held: &Arc<Held>, of: Of, client: Option<IpAddr>, is_crowded: bool) -> Self {
        Self {
            held: Arc::clone(held),
            of,
            is_crowded,
            blocked: AtomicBool::new(false),
            read_ahead: AtomicU32::new(0),
            socket: OnceLock::new(),
            state: Mutex::new(State { client, ..State::default() }),
        }
    }

    /// Sets the socket of a connection, for [`Self::check_acknowledged`].
    pub(crate) fn set_socket(&self, socket: Arc<SocketDigest>) {
        self.socket.get_or_init(|| socket);
    }

    /// Counts bytes that the client's TCP stack has acknowledged as progress of a blocked connection. A socket with megabytes
    /// of buffer accepts more only once a third of it is free, which with a slow reader may take ten seconds.
    pub(crate) fn check_acknowledged(&self) {
        if !self.blocked.load(Ordering::Relaxed) {
            return;
        }
        let Some(info) = self.socket.get().and_then(|socket| socket.tcp_info()) else { return };
        let mut state = self.lock();
        if state.since > 0
            && (state.acknowledged == 0
                || info.tcpi_bytes_acked >= state.acknowledged + progress(state.counted))
        {
            (state.since, state.acknowledged) = (self.held.millis(), info.tcpi_bytes_acked.max(1));
        }
    }

    /// Whether less is read ahead from the app: the client has many responses in flight, or too much memory is held.
    pub(crate) fn reads_little_ahead(&self) -> bool {
        self.is_crowded || self.held.is_over_limit()
    }

    /// Connection of an HTTP/2 stream.
    pub(crate) const fn connection(&self) -> Option<&Arc<Connection>> {
        match &self.of {
            Of::Stream(connection) => Some(connection),
            Of::Http1 | Of::Socket => None,
        }
    }

    /// Returns the client as policy sees it.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.lock().client
    }

    /// Sets the client, as seen through trusted proxies.
    pub(crate) fn set_client(&self, client: IpAddr) {
        self.lock().client = Some(client);
        if let Some(connection) = self.connection() {
            connection.socket.lock().client = Some(client);
        }
    }

    /// Records a chunk received from the app. More chunks of its size may be in the pipe, and `window` bytes on the connection.
    pub(crate) fn chunk_received(&self, bytes: usize, window: u32, is_last: bool) {
        let read_ahead = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_mul(PIPE).saturating_add(window);
        self.read_ahead.store(if is_last { 0 } else { read_ahead }, Ordering::Relaxed);
    }

    /// Records that a write of `unsent` bytes was not accepted.
    pub(crate) fn was_blocked(&self, unsent: usize) {
        let mut state = self.lock();
        state.unsent = unsent as u64;
        if state.since == 0 {
            state.since = self.held.millis();
            (state.accepted, state.acknowledged) = (0, 0);
        }
        self.settle(&mut state);
    }

    /// Records that `bytes` of a write were accepted: `all` of it, or a part.
    pub(crate) fn was_accepted(&self, bytes: usize, all: bool) {
        if !self.blocked.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        state.accepted += bytes as u64;
        state.unsent = state.unsent.saturating_sub(bytes as u64);
        if all {
            (state.since, state.freed) = (0, self.held.millis());
        } else if state.accepted >= progress(state.counted) {
            (state.since, state.accepted) = (self.held.millis(), 0);
        }
        self.settle(&mut state);
    }

    /// Counts the response of a stream's request as expected.
    fn expect_response(&self) {
        let Some(connection) = self.connection() else { return };
        self.lock().expected_since = self.held.millis();
        self.held.change_expected(REQUEST);
        connection.expected_responses.fetch_add(1, Ordering::Relaxed);
    }

    /// Stops counting the response as expected: it has begun, or takes long.
    fn stop_expecting(&self, state: &mut State) {
        let Some(connection) = self.connection().filter(|_| state.expected_since > 0) else { return };
        state.expected_since = 0;
        self.held.change_expected(REQUEST.wrapping_neg());
        connection.expected_responses.fetch_sub(1, Ordering::Relaxed);
    }

    /// Stops expecting the response after `patience`, in milliseconds: apps with long polling hold many requests.
    pub(crate) fn stop_expecting_after(&self, now: u64, patience: u64) {
        let mut state = self.lock();
        if state.expected_since > 0 && now.saturating_sub(state.expected_since) >= patience {
            self.stop_expecting(&mut state);
        }
    }

    /// Records that the whole response was passed to the transport, within the client's flow-control windows.
    pub(crate) fn response_delivered(&self) {
        if let Some(connection) = self.connection() {
            connection.pace.add(self.held.millis());
        }
    }

    /// Records the end of the request. The rest of a stream's body is then buffered by its connection only, and the rest of an
    /// HTTP/1.1 response by the kernel.
    pub(crate) fn request_is_over(&self) {
        self.read_ahead.store(0, Ordering::Relaxed);
        if self.connection().is_none() && !self.blocked.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        if self.connection().is_none() {
            state.since = 0;
        } else {
            state.is_over = true;
        }
        self.settle(&mut state);
    }

    /// Wraps body bytes so that they count until the last of them is written to the socket. Only for streams: over HTTP/1.1
    /// Pingora copies the bytes that it cannot write at once.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let size = bytes.len() as u64;
        if size == 0 || self.connection().is_none() {
            return bytes;
        }
        let mut state = self.lock();
        state.unsent += size;
        state.since = self.held.millis();
        state.wakes = size / progress(REQUEST + size) + 4;
        self.stop_expecting(&mut state);
        self.settle(&mut state);
        drop(state);
        Bytes::from_owner(HeldBytes { bytes, backlog: Arc::clone(self) })
    }

    fn release(&self, bytes: u64) {
        let now = self.held.millis();
        let mut state = self.lock();
        state.unsent = state.unsent.saturating_sub(bytes);
        state.since = if state.unsent == 0 { 0 } else { now };
        self.settle(&mut state);
        drop(state);
        if let Some(connection) = self.connection() {
            connection.delivered.store(now, Ordering::Relaxed);
        }
    }

    /// Records that the task of a stream was woken, and may have sent something.
    pub(crate) fn was_woken(&self) {
        if self.connection().is_none() || !self.blocked.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        if state.since > 0 && state.wakes > 0 {
            state.wakes -= 1;
            state.since = self.held.millis();
        }
    }

    /// Returns the start of the time without progress, if it has lasted for `patience` at `now`; all in milliseconds.
    pub(crate) fn stalled_since(&self, now: u64, patience: u64) -> Option<u64> {
        if !self.blocked.load(Ordering::Relaxed) {
            return None;
        }
        let since = Some(self.lock().since).filter(|&since| since > 0)?;
        // While its connection's socket sends other streams, a stream waits for longer.
        let is_socket_free =
            self.connection().is_none_or(|connection| connection.is_socket_free(now, patience));
        let patience = if is_socket_free { patience } else { BUSY_SOCKET_FACTOR * patience };
        (now.saturating_sub(since) >= patience).then_some(since)
    }

    /// Bytes of memory counted for this backlog.
    pub(crate) fn counted(&self) -> u64 {
        self.lock().counted
    }

    /// Updates the bytes counted.
    fn settle(&self, state: &mut State) {
        self.blocked.store(state.since > 0, Ordering::Relaxed);
        let read_ahead = || u64::from(self.read_ahead.load(Ordering::Relaxed));
        let now = match (&self.of, state.since) {
            (Of::Socket, 0) => 0,
            (Of::Socket, _) => state.unsent,
            (Of::Http1, 0) => 0,
            (Of::Http1, _) => REQUEST + state.unsent + read_ahead(),
            (Of::Stream(_), 0) => 0,
            (Of::Stream(_), _) if state.is_over => state.unsent,
            (Of::Stream(_), _) => REQUEST + state.unsent + read_ahead(),
        };
        self.count(state, now);
    }

    fn count(&self, state: &mut State, now: u64) {
        if now == state.counted {
            return;
        }
        let change = now.wrapping_sub(state.counted);
        self.held.change(change);
        if let Some(connection) = self.connection() {
            connection.streams.fetch_add(change, Ordering::Relaxed);
        }
        state.counted = now;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *self.lock());
        self.stop_expecting(&mut state);
        self.count(&mut state, 0);
        if let Some(connection) = self.connection() {
            connection.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Body bytes that count in a backlog until they are dropped.
struct HeldBytes {
    bytes: Bytes,
    backlog: Arc<Backlog>,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.backlog.release(self.bytes.len() as u64);
    }
}

#[cfg(test)]
mod tests;
