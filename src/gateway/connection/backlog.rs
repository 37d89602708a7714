//! The send backlog: what one client has not taken yet of its response, and since when it takes nothing.
//!
//! It is measured where it is held. Over HTTP/1.1 that is the write side of the connection: a write that is not accepted
//! blocks it. Over HTTP/2 the socket is one place, and flow control another: a stream is blocked while bytes of its body are
//! held, and makes progress when its task is woken to send more of them. What all of them hold is summed up in [`Held`].
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

/// Memory of a request whose response is blocked, beside the bytes of its body: its task, and its connection to the app
/// with 64 KiB of buffer. Measured: 91 KiB.
const REQUEST: u64 = 96 << 10;

/// Chunks that wait in Pingora's pipe behind those that are being written: four, and the one that finds it full.
const PIPE: u32 = 5;

/// A client that takes less than this while it is blocked makes no progress: one byte now and then would hold as much
/// memory as none. The slowest modems took it in a second.
const PROGRESS: u64 = 1 << 10;

/// While other streams of its connection are sent, a stream may wait for its turn for so many times as long.
const TURNS: u64 = 4;

/// Requests at a time of one HTTP/2 connection that are read ahead in full. Browsers seldom have more whose responses are large.
const FEW_STREAMS: u32 = 8;

/// What a backlog is of.
#[derive(Debug)]
enum Of {
    /// The write side of an HTTP/1.1 connection.
    Http1,
    /// The write side of an HTTP/2 connection.
    Socket,
    /// A stream of this HTTP/2 connection.
    Stream(Arc<Connection>),
}

/// The backlog of a connection's write side, or of an HTTP/2 stream.
#[derive(Debug)]
pub(crate) struct Backlog {
    held: Arc<Held>,
    of: Of,
    /// Whether its client has many others under way: then less is read ahead of it.
    is_crowded: bool,
    /// Whether `State::since` is set: a writer that is not blocked takes no lock.
    blocked: AtomicBool,
    /// Bytes of the app's response that may wait behind those that are being written; 0 after the last chunk.
    behind: AtomicU32,
    socket: OnceLock<Arc<SocketDigest>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Start of the time without progress, in milliseconds of [`Held::millis`]; 0 when it is not blocked.
    since: u64,
    /// When it was blocked last.
    freed: u64,
    /// Bytes that wait for the client.
    unsent: u64,
    /// Bytes that were accepted since.
    accepted: u64,
    /// Bytes that the client's system had acknowledged when that was looked at; 0 before.
    acknowledged: u64,
    /// Wake-ups of a stream that still count as progress: one for each [`PROGRESS`] bytes.
    wakes: u64,
    /// Since when a stream's request is under way without a response, in milliseconds of [`Held::millis`]; 0 when it is not,
    /// or for so long that its app must be waiting for something.
    young_since: u64,
    /// Whether the request is over, and only bytes are left of it.
    is_over: bool,
    /// What is counted of it in [`Held`].
    counted: u64,
    /// The client as policy sees it.
    client: Option<IpAddr>,
}

impl Backlog {
    /// Of an HTTP/1.1 connection from `client`, which may be one of many.
    pub(crate) fn of_http1(held: &Arc<Held>, client: Option<IpAddr>, is_crowded: bool) -> Arc<Self> {
        Arc::new(Self::new(held, Of::Http1, client, is_crowded))
    }

    /// Of a stream of an HTTP/2 connection.
    pub(crate) fn of_stream(connection: &Arc<Connection>) -> Arc<Self> {
        let socket = &connection.socket;
        let is_crowded = connection.requests.fetch_add(1, Ordering::Relaxed) >= FEW_STREAMS;
        let of = Of::Stream(Arc::clone(connection));
        Arc::new(Self::new(&socket.held, of, socket.client(), is_crowded))
    }

    fn new(held: &Arc<Held>, of: Of, client: Option<IpAddr>, is_crowded: bool) -> Self {
        Self {
            held: Arc::clone(held),
            of,
            is_crowded,
            blocked: AtomicBool::new(false),
            behind: AtomicU32::new(0),
            socket: OnceLock::new(),
            state: Mutex::new(State { client, ..State::default() }),
        }
    }

    /// Of a connection: the socket that it is written to.
    pub(crate) fn set_socket(&self, socket: Arc<SocketDigest>) {
        self.socket.get_or_init(|| socket);
    }

    /// Of a connection that is blocked: looks at what its client has acknowledged of bytes that are in the kernel. A socket with
    /// megabytes of buffer takes more only once a third of it is free: of a slow reader that may be ten seconds later.
    pub(crate) fn look(&self) {
        if !self.blocked.load(Ordering::Relaxed) {
            return;
        }
        let Some(info) = self.socket.get().and_then(|socket| socket.tcp_info()) else { return };
        let mut state = self.lock();
        if state.since > 0
            && (state.acknowledged == 0 || info.tcpi_bytes_acked >= state.acknowledged + PROGRESS)
        {
            (state.since, state.acknowledged) = (self.held.millis(), info.tcpi_bytes_acked.max(1));
        }
    }

    /// Whether little is to be read of the app ahead of its client: it has many responses under way, or too much is held.
    pub(crate) fn reads_little_ahead(&self) -> bool {
        self.is_crowded || self.held.is_over_limit()
    }

    /// The connection of an HTTP/2 stream.
    pub(crate) const fn connection(&self) -> Option<&Arc<Connection>> {
        match &self.of {
            Of::Stream(connection) => Some(connection),
            Of::Http1 | Of::Socket => None,
        }
    }

    /// The client as policy sees it.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.lock().client
    }

    /// Says which client it is, seen through trusted proxies.
    pub(crate) fn set_client(&self, client: IpAddr) {
        self.lock().client = Some(client);
        if let Some(connection) = self.connection() {
            connection.socket.lock().client = Some(client);
        }
    }

    /// A chunk of the body has come from the app. Behind it others like it may wait, and bytes within the app's `window`.
    pub(crate) fn chunk_came(&self, bytes: usize, window: u32, is_last: bool) {
        let behind = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_mul(PIPE).saturating_add(window);
        self.behind.store(if is_last { 0 } else { behind }, Ordering::Relaxed);
    }

    /// A write of so many bytes was not accepted.
    pub(crate) fn was_blocked(&self, unsent: usize) {
        let mut state = self.lock();
        state.unsent = unsent as u64;
        if state.since == 0 {
            state.since = self.held.millis();
            (state.accepted, state.acknowledged) = (0, 0);
        }
        self.settle(&mut state);
    }

    /// So many bytes of a write were accepted; `all` of it, or a part.
    pub(crate) fn was_accepted(&self, bytes: usize, all: bool) {
        if !self.blocked.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        state.accepted += bytes as u64;
        state.unsent = state.unsent.saturating_sub(bytes as u64);
        if all {
            (state.since, state.freed) = (0, self.held.millis());
        } else if state.accepted >= PROGRESS {
            (state.since, state.accepted) = (self.held.millis(), 0);
        }
        self.settle(&mut state);
    }

    /// A stream's request begins: its response is expected.
    fn expect(&self) {
        let Some(connection) = self.connection() else { return };
        self.lock().young_since = self.held.millis();
        self.held.expect(REQUEST);
        connection.young.fetch_add(1, Ordering::Relaxed);
    }

    /// Its response has begun, or is not expected soon.
    fn is_not_young(&self, state: &mut State) {
        let Some(connection) = self.connection().filter(|_| state.young_since > 0) else { return };
        state.young_since = 0;
        self.held.expect(REQUEST.wrapping_neg());
        connection.young.fetch_sub(1, Ordering::Relaxed);
    }

    /// Does not expect the response of a request that is under way for `patience`: an app that is asked to wait for news holds many.
    pub(crate) fn grow_old(&self, now: u64, patience: u64) {
        let mut state = self.lock();
        if state.young_since > 0 && now.saturating_sub(state.young_since) >= patience {
            self.is_not_young(&mut state);
        }
    }

    /// The whole response was handed to the transport, and to its client's windows.
    pub(crate) fn was_taken(&self) {
        if let Some(connection) = self.connection() {
            connection.pace.add(self.held.millis());
        }
    }

    /// The request is over. What is left of a stream's body is held by its connection alone, and what is left of an
    /// HTTP/1.1 response by the kernel.
    pub(crate) fn request_is_over(&self) {
        self.behind.store(0, Ordering::Relaxed);
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

    /// Bytes of a body, which count until the last of them is on the socket. Of streams alone: over HTTP/1.1 Pingora copies
    /// what it cannot write at once.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let size = bytes.len() as u64;
        if size == 0 || self.connection().is_none() {
            return bytes;
        }
        let mut state = self.lock();
        state.unsent += size;
        state.since = self.held.millis();
        state.wakes = size / PROGRESS + 4;
        self.is_not_young(&mut state);
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

    /// The task of a stream was woken, and may have sent something.
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

    /// Since when the client makes no progress, if that is for `patience` at `now`; all in milliseconds.
    pub(crate) fn stalled_since(&self, now: u64, patience: u64) -> Option<u64> {
        if !self.blocked.load(Ordering::Relaxed) {
            return None;
        }
        let since = Some(self.lock().since).filter(|&since| since > 0)?;
        // While others of its connection are sent, a stream waits for its turn.
        let has_turn = self.connection().is_none_or(|connection| connection.has_room(now, patience));
        let patience = if has_turn { patience } else { TURNS * patience };
        (now.saturating_sub(since) >= patience).then_some(since)
    }

    /// Bytes of memory that are counted for it.
    pub(crate) fn counted(&self) -> u64 {
        self.lock().counted
    }

    /// Brings up to date what is counted.
    fn settle(&self, state: &mut State) {
        self.blocked.store(state.since > 0, Ordering::Relaxed);
        let behind = || u64::from(self.behind.load(Ordering::Relaxed));
        let now = match (&self.of, state.since) {
            (Of::Socket, 0) => 0,
            (Of::Socket, _) => state.unsent,
            (Of::Http1, 0) => 0,
            (Of::Http1, _) => REQUEST + state.unsent + behind(),
            (Of::Stream(_), 0) => 0,
            (Of::Stream(_), _) if state.is_over => state.unsent,
            (Of::Stream(_), _) => REQUEST + state.unsent + behind(),
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
        self.is_not_young(&mut state);
        self.count(&mut state, 0);
        if let Some(connection) = self.connection() {
            connection.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Bytes of a body that wait for their client.
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
