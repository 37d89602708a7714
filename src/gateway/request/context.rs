//! State of one request between Pingora's callbacks.

use std::sync::Arc;

use crate::auth::{Auth, Control, Cut, Progress, Registration};
use crate::error::Refusal;
use crate::identity::Identity;
use crate::policy::Permit;
use crate::policy::route::Destination;
use crate::snapshot::Snapshot;
use crate::snapshot::upstreams::{Candidate, ServerAttempts};

use crate::gateway::authorize::silent_renewal::SetCookies;
use crate::gateway::connection::backlog::Backlog;
use crate::gateway::connection::listener::Listener;
use crate::gateway::connection::tls::Proof;
use crate::gateway::request::access_log::RequestLog;
use crate::gateway::request::silence::Silence;

/// State of one request between Pingora's callbacks.
pub struct Context {
    /// Configuration in force when the request began.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Handle by which the request can be cut.
    pub(crate) control: Arc<Control>,
    /// Timeout of the app's silence.
    pub(crate) silence: Arc<Silence>,
    /// Send backlog of the response.
    pub(crate) backlog: Arc<Backlog>,
    /// Listener that accepted the connection.
    pub(crate) listener: Listener,
    /// Refusal that the connection has decided on already.
    pub(crate) refused: Option<Refusal>,
    /// Client authentication in the connection's TLS handshake.
    pub(crate) proof: Option<Arc<Proof>>,
    /// Proof that the request may be forwarded.
    pub(crate) permit: Option<Permit>,
    /// Authenticated user without the roles that the route requires.
    pub(crate) who: Option<Arc<Identity>>,
    /// Registration under the session; removed when dropped.
    pub(crate) registration: Option<Registration>,
    pub(crate) bearer_is_ours: bool,
    /// Checked `Destination` to forward.
    pub(crate) destination: Option<Destination>,
    /// Cookies that the response sets.
    pub(crate) set: SetCookies,
    /// Servers still to be tried.
    pub(crate) turn: ServerAttempts,
    /// Server of the current attempt.
    pub(crate) candidate: Option<Arc<Candidate>>,
    /// Whether a reused upstream connection had closed.
    pub(crate) kept_had_ended: bool,
    /// Whether body bytes were sent to the app.
    pub(crate) body_was_sent: bool,
    /// Refusal decided on in a callback.
    pub(crate) refusal: Option<Refusal>,
    /// Whether the response has no content; bytes that the app sends are dropped.
    pub(crate) response_is_empty: bool,
    /// Whether a complete response of the gateway was sent.
    pub(crate) response_sent: bool,
    pub(crate) account: RequestLog,
}

impl Context {
    /// Re-check: returns the refusal for a revocation or cut since the request was admitted.
    pub(crate) fn obstacle(&self) -> Option<Refusal> {
        if self.registration.as_ref().is_some_and(Registration::is_revoked) {
            return Some(Refusal::TokenRevoked);
        }
        match self.control.cause() {
            Some(Cut::RolesChanged) => Some(Refusal::TokenExpired),
            Some(Cut::Slow) => Some(Refusal::RequestTimeout),
            Some(Cut::UpstreamTimeout) => Some(Refusal::UpstreamTimeout),
            _ => None,
        }
    }

    /// Records traffic as use of the session: `bytes` in one direction, after `bytes_before`. The first bytes of an ordinary body
    /// belong to the header, whose use is recorded already.
    pub(crate) fn note_traffic(&self, auth: &Auth, bytes: u64, bytes_before: u64) {
        if bytes > 0 && (bytes_before > 0 || self.control.progress() == Progress::Open) {
            self.note_use(auth);
        }
    }

    /// Records use of the session.
    pub(crate) fn note_use(&self, auth: &Auth) {
        if let Some(registration) = &self.registration {
            auth.record_use(registration, &self.snapshot.settings);
        }
    }

    /// Ends the request once its response is sent: no more cuts, timeouts or timing.
    pub(crate) fn is_over(&mut self) {
        self.registration = None;
        self.silence.stop();
        self.control.body_is_complete();
        self.account.is_over();
    }
}
