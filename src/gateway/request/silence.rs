//! Upstream timeout: the time in which a request waits for its app, and not for its client.
//!
//! A route's `timeout` is like nginx's `proxy_read_timeout`: it runs while it is the app's turn. Pingora's own timeouts apply to
//! each read of the upstream connection and are fixed before the connect. So over HTTP/2 they would include the time of the
//! client's upload, and they could not tell an event stream from a slow report.
//!
//! ```text
//!            header sent              last body byte accepted              header or body part received
//! stopped --------------> sending --------------------------------> awaited -----------------------------> awaited (restarted)
//!                            |                                          |
//!                            |                                          |  event stream, gRPC, 101, end
//!                            |                                          v
//!                            |                                       stopped
//!                            +-- runs only while the app does not accept body bytes; otherwise waits for the client
//! ```
//!
//! A gRPC call that may last as long as its response is in the phase `streaming` to its end: only the time in which the app does not
//! accept body bytes is limited. An app that opens no stream accepts none (RFC 9113 section 5.1.2).
//!
//! The timeout does not run while the client does not read the app's response.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::Session;
use tokio::time::{Instant, Sleep};

use crate::auth::{Control, Cut};
use crate::request_id::RequestId;

/// Error text of an expired timeout.
pub(crate) const TIMED_OUT: &str = "the app was silent for too long";

/// Returns an expired timeout as an error of a stream.
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

/// Timeout of one request's app.
pub(crate) struct Silence {
    started: Instant,
    /// Timeout in milliseconds.
    timeout: AtomicU64,
    phase: AtomicU8,
    /// Incremented with every sign of life; a change restarts the timeout.
    activity: AtomicU32,
    /// Parts of the request body that the app has not accepted.
    unsent: AtomicU32,
    /// Time at which the app accepted the last part, in milliseconds since `started`.
    sent_at: AtomicU64,
    /// Whether the client is not reading the response.
    client_blocks: AtomicBool,
    expired: AtomicBool,
    /// Whether the client's stream will be in the slot when the request is dropped.
    interruptible: AtomicBool,
    request_id: OnceLock<RequestId>,
    /// HTTP/2 stream, while the wait for the app can be interrupted.
    slot: Slot,
}

const STOPPED: u8 = 0;
/// The client is sending its body.
const SENDING: u8 = 1;
/// The request is complete, and the app must respond.
const AWAITED: u8 = 2;
/// The client may send its body for as long as the app responds.
const STREAMING: u8 = 3;

impl Silence {
    /// Creates the timeout of a request that started at `started`. It does not run yet.
    pub(crate) fn new(started: Instant) -> Arc<Self> {
        Arc::new(Self {
            started,
            timeout: AtomicU64::new(0),
            phase: AtomicU8::new(STOPPED),
            activity: AtomicU32::new(0),
            unsent: AtomicU32::new(0),
            sent_at: AtomicU64::new(0),
            client_blocks: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            interruptible: AtomicBool::new(false),
            request_id: OnceLock::new(),
            slot: Slot::default(),
        })
    }

    /// Starts the timeout: the header is about to be sent. Returns whether the request is complete with it.
    pub(crate) fn begin(&self, session: &mut Session, timeout: Duration) -> bool {
        self.set_timeout(timeout);
        // RFC 9110 section 10.1.1: a client that sends `Expect` waits for the app's 100 before it sends its body.
        let expects_continue = session.req_header().headers.contains_key(header::EXPECT);
        let is_complete = session.as_mut().is_body_done();
        self.enter(if is_complete || expects_continue { AWAITED } else { SENDING });
        is_complete
    }

    /// Starts the timeout of a gRPC call: it limits only the time in which the app does not accept body bytes.
    pub(crate) fn begin_streaming(&self, timeout: Duration) {
        self.set_timeout(timeout);
        self.enter(STREAMING);
    }

    fn set_timeout(&self, timeout: Duration) {
        self.timeout.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Records a part of the request body, or its end, on its way to the app. Returns whether the request is complete with it.
    pub(crate) fn body_received(self: &Arc<Self>, body: &mut Option<Bytes>, is_last: bool) -> bool {
        if self.phase.load(Ordering::Relaxed) == STOPPED {
            return false;
        }
        if let Some(part) = body.take_if(|part| !part.is_empty()) {
            self.unsent.fetch_add(1, Ordering::AcqRel);
            *body = Some(Bytes::from_owner(Part { bytes: part, silence: Arc::clone(self) }));
        }
        match self.phase.load(Ordering::Relaxed) {
            STREAMING => self.restart(),
            _ => self.enter(if is_last { AWAITED } else { SENDING }),
        }
        is_last
    }

    /// Restarts the timeout: the app has sent something.
    pub(crate) fn restart(&self) {
        self.activity.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the request is a gRPC call.
    pub(crate) fn is_streaming(&self) -> bool {
        self.phase.load(Ordering::Acquire) == STREAMING
    }

    /// Stops the timeout for a response that may be silent. That of a gRPC call goes on: it does not wait for the response.
    pub(crate) fn response_may_be_silent(&self) {
        if !self.is_streaming() {
            self.stop();
        }
    }

    /// Stops the timeout.
    pub(crate) fn stop(&self) {
        self.enter(STOPPED);
    }

    pub(crate) const fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Records whether the client's stream will be in the slot when the request is dropped.
    pub(crate) fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.store(interruptible, Ordering::Release);
    }

    /// Whether the client's stream will be in the slot when the request is dropped.
    pub(crate) fn is_interruptible(&self) -> bool {
        self.interruptible.load(Ordering::Acquire)
    }

    /// Records the id of the request, for a response that is sent after it was dropped.
    pub(crate) fn set_request_id(&self, id: Option<&RequestId>) {
        if let Some(id) = id {
            let _ = self.request_id.set(id.clone());
        }
    }

    /// Returns the id of the request.
    pub(crate) fn request_id(&self) -> Option<&RequestId> {
        self.request_id.get()
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Release);
        self.restart();
    }

    /// Records whether the client is blocked. The timeout does not run while it is.
    pub(crate) fn client_blocks(&self, blocks: bool) {
        self.client_blocks.store(blocks, Ordering::Release);
        self.restart();
    }

    /// Forgets that the timeout has expired: the request has its response, and the rest of its body is not read for the app.
    pub(crate) fn settle(&self) {
        self.expired.store(false, Ordering::Release);
    }

    /// Whether the timeout has expired.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }

    /// Whether the app has not accepted all body parts received so far.
    pub(crate) fn app_blocks(&self) -> bool {
        self.unsent.load(Ordering::Acquire) > 0
    }

    /// Whether the timeout runs: the gateway waits for the app.
    fn is_running(&self) -> bool {
        match self.phase.load(Ordering::Acquire) {
            AWAITED => !self.client_blocks.load(Ordering::Acquire),
            SENDING => self.app_blocks(),
            STREAMING => self.app_blocks() && !self.client_blocks.load(Ordering::Acquire),
            _ => false,
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Resolves when the timeout expires. Must be polled by the task that serves the request, after the future that serves it,
    /// so that it sees every sign of life.
    ///
    /// Another timer wakes the task at `woken_at`. Until then no timer is set for a later expiry, which spares nearly every
    /// request one.
    pub(crate) async fn until_expired(&self, woken_at: Instant) {
        let mut timer = std::pin::pin!(None::<Sleep>);
        let (mut seen, mut since) = (None, self.started);
        std::future::poll_fn(|cx| {
            let activity = self.activity.load(Ordering::Acquire);
            if activity == 0 || !self.is_running() {
                return Poll::Pending;
            }
            if seen.replace(activity) != Some(activity) {
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
            // Parts accepted in another task did not wake this one.
            let sent_at = self.started + Duration::from_millis(self.sent_at.load(Ordering::Acquire));
            let end = since.max(sent_at) + timeout;
            if timer.is_none() && end > woken_at && Instant::now() < woken_at {
                return Poll::Pending;
            }
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            // An early timer is kept: it only causes another check.
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

/// A part of a request body that records when it was accepted, on drop.
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
        self.silence.sent_at.store(self.silence.millis(), Ordering::Release);
        self.silence.unsent.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Cuts the request when its app has been silent for too long. Never resolves.
pub(crate) async fn cut_on_silence(control: &Control, silence: &Silence, woken_at: Instant) {
    silence.until_expired(woken_at).await;
    control.cut(Cut::UpstreamTimeout);
    std::future::pending::<()>().await;
}
