//! The app's silence: how long a request waits for its app, and for nobody else.
//!
//! A route's `timeout` is nginx's `proxy_read_timeout`: it runs while the app owes something. Pingora's own timeouts are per
//! read of the app's connection and fixed before the connect, so over HTTP/2 they count the time a client takes to upload,
//! and they cannot tell an event stream from a slow report.
//!
//! ```text
//!            header sent              last byte of the body taken          header, or a part of the body
//! stopped --------------> sending --------------------------------> awaited -----------------------------> awaited, anew
//!                            |  the app owes while it does not          |
//!                            |  take what it was given                  |  event stream, gRPC, 101, the end
//!                            |                                          v
//!                            +------------ the client is waited for: no clock              stopped
//! ```
//!
//! While the client does not take what the app has sent, the app is not waited for either.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::Session;
use tokio::time::{Instant, Sleep};

/// What a wait for the app that was too long says.
pub(crate) const TIMED_OUT: &str = "the app was silent for too long";

/// The same as an error of a stream.
pub(crate) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, TIMED_OUT)
}

/// Holds an HTTP/2 stream until Pingora gets it back.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<HttpSession>>);

impl Slot {
    pub(crate) fn put(&self, stream: HttpSession) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }

    pub(crate) fn take(&self) -> Option<HttpSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The silence of one request's app.
pub(crate) struct Silence {
    begun: Instant,
    /// In milliseconds.
    timeout: AtomicU64,
    phase: AtomicU8,
    /// Moves with every sign of life.
    signs: AtomicU32,
    /// Parts of the request's body that the app has not taken.
    untaken: AtomicU32,
    /// When it took the last one, in milliseconds since `begun`.
    taken_at: AtomicU64,
    /// The client does not take what the app has sent.
    client_blocks: AtomicBool,
    expired: AtomicBool,
    /// The HTTP/2 stream, while the wait for the app can be interrupted.
    slot: Slot,
}

const STOPPED: u8 = 0;
/// The client has more to send.
const SENDING: u8 = 1;
/// The request is complete.
const AWAITED: u8 = 2;

impl Silence {
    /// Of a request that begins now.
    pub(crate) fn new(begun: Instant) -> Arc<Self> {
        Arc::new(Self {
            begun,
            timeout: AtomicU64::new(0),
            phase: AtomicU8::new(STOPPED),
            signs: AtomicU32::new(0),
            untaken: AtomicU32::new(0),
            taken_at: AtomicU64::new(0),
            client_blocks: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            slot: Slot::default(),
        })
    }

    /// The header is about to be sent; whether the request is complete with it.
    pub(crate) fn begin(&self, session: &mut Session, timeout: Duration) -> bool {
        self.timeout.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        // RFC 9110 section 10.1.1: who announces a body so waits for the app's word.
        let asks_first = session.req_header().headers.contains_key(header::EXPECT);
        let is_whole = session.as_mut().is_body_done();
        self.enter(if is_whole || asks_first { AWAITED } else { SENDING });
        is_whole
    }

    /// A part of the request's body goes to the app, or its end; whether the request is complete with it.
    pub(crate) fn body_came(self: &Arc<Self>, body: &mut Option<Bytes>, is_last: bool) -> bool {
        if self.phase.load(Ordering::Relaxed) == STOPPED {
            return false;
        }
        if let Some(part) = body.take_if(|part| !part.is_empty()) {
            self.untaken.fetch_add(1, Ordering::AcqRel);
            *body = Some(Bytes::from_owner(Part { bytes: part, silence: Arc::clone(self) }));
        }
        self.enter(if is_last { AWAITED } else { SENDING });
        is_last
    }

    /// The app has sent something.
    pub(crate) fn broken(&self) {
        self.signs.fetch_add(1, Ordering::AcqRel);
    }

    /// From now on it may be silent.
    pub(crate) fn stop(&self) {
        self.enter(STOPPED);
    }

    pub(crate) const fn slot(&self) -> &Slot {
        &self.slot
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Release);
        self.broken();
    }

    /// Whether the client can take what the app has sent. Until it does, the app is not waited for.
    pub(crate) fn client_blocks(&self, blocks: bool) {
        self.client_blocks.store(blocks, Ordering::Release);
        self.broken();
    }

    /// Whether the app has been silent for too long.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }

    /// Whether the app leaves some of the request's body lying.
    pub(crate) fn app_blocks(&self) -> bool {
        self.untaken.load(Ordering::Acquire) > 0
    }

    /// Whether it is the app that is waited for.
    fn is_owed(&self) -> bool {
        match self.phase.load(Ordering::Acquire) {
            AWAITED => !self.client_blocks.load(Ordering::Acquire),
            SENDING => self.app_blocks(),
            _ => false,
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Resolves when the app has been silent for too long. To be polled by the task that serves the request, after what
    /// serves it: so it sees every sign of life as it comes.
    ///
    /// Until `woken_at` the task is woken by others; before that no timer is set for an end that lies behind it, which spares
    /// nearly every request one.
    pub(crate) async fn until_expired(&self, woken_at: Instant) {
        let mut timer = std::pin::pin!(None::<Sleep>);
        let (mut seen, mut since) = (None, self.begun);
        std::future::poll_fn(|cx| {
            let signs = self.signs.load(Ordering::Acquire);
            if signs == 0 || !self.is_owed() {
                return Poll::Pending;
            }
            if seen.replace(signs) != Some(signs) {
                since = Instant::now();
            }
            self.poll_expiry(cx, since, woken_at, timer.as_mut())
        })
        .await;
        self.expired.store(true, Ordering::Release);
    }

    fn poll_expiry(
        &self,
        cx: &mut Context<'_>,
        since: Instant,
        woken_at: Instant,
        mut timer: Pin<&mut Option<Sleep>>,
    ) -> Poll<()> {
        let timeout = Duration::from_millis(self.timeout.load(Ordering::Relaxed));
        loop {
            // What was taken by another task was no reason to wake this one.
            let taken_at = self.begun + Duration::from_millis(self.taken_at.load(Ordering::Acquire));
            let end = since.max(taken_at) + timeout;
            if timer.is_none() && end > woken_at && Instant::now() < woken_at {
                return Poll::Pending;
            }
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            // One that is too early only asks again.
            if timer.as_ref().as_pin_ref().is_none_or(|timer| timer.is_elapsed() || timer.deadline() > end) {
                timer.set(Some(tokio::time::sleep_until(end)));
            }
            if let Some(running) = timer.as_mut().as_pin_mut()
                && running.poll(cx).is_pending()
            {
                return Poll::Pending;
            }
        }
    }
}

/// A part of a request's body: tells when it was taken.
struct Part {
    bytes: Bytes,
    silence: Arc<Silence>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.silence.taken_at.store(self.silence.millis(), Ordering::Release);
        self.silence.untaken.fetch_sub(1, Ordering::AcqRel);
    }
}
