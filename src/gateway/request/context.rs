//! State of one request between Pingora's callbacks.

use std::sync::Arc;

use crate::auth::{Auth, Control, Cut, Progress, Registration};
use crate::config::Scheme;
use crate::error::Refusal;
use crate::identity::Identity;
use crate::policy::Permit;
use crate::snapshot::Snapshot;
use crate::snapshot::upstreams::{Candidate, ServerAttempts};

use crate::gateway::authorize::pipeline::Admitted;
use crate::gateway::authorize::set_cookies::SetCookies;
use crate::gateway::connection::backlog::Backlog;
use crate::gateway::connection::listener::Listener;
use crate::gateway::connection::tls::ClientAuthentication;
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
    pub(crate) connection_refusal: Option<Refusal>,
    /// Client authentication in the connection's TLS handshake.
    pub(crate) client_authentication: Option<Arc<ClientAuthentication>>,
    /// Phase of the request.
    pub(crate) phase: Phase,
    /// Registration under the session; removed when dropped.
    pub(crate) registration: Option<Registration>,
    /// Authenticated user without the roles that the route requires.
    pub(crate) denied_user: Option<Arc<Identity>>,
    /// Cookies that the response sets.
    pub(crate) cookies: SetCookies,
    /// Target that a sign-in at a provider leads to; its page needs it if it fails.
    pub(crate) return_to: Option<String>,
    /// Refusal decided on in a callback; sent when Pingora has ended the request.
    pub(crate) pending_refusal: Option<Refusal>,
    /// Whether the response has no content; bytes that the app sends are dropped.
    pub(crate) response_is_empty: bool,
    /// Whether a complete response of the gateway was sent.
    pub(crate) response_sent: bool,
    pub(crate) log: RequestLog,
}

/// Phase of a request. It moves forward only, except that every further attempt is a new [`Phase::Sent`].
pub(crate) enum Phase {
    /// Not admitted: being decided on, refused, or for an endpoint of the gateway.
    Received,
    /// May be forwarded; no server is chosen yet.
    Admitted(Admitted, ServerAttempts),
    /// Sent to a server, or about to be.
    Sent(Admitted, Attempt),
}

/// Attempt to have a server answer a request.
pub(crate) struct Attempt {
    /// Server of this attempt.
    pub(crate) candidate: Arc<Candidate>,
    /// Servers still to be tried.
    pub(crate) others: ServerAttempts,
    /// Whether a pooled upstream connection had closed, in this attempt or an earlier one.
    pub(crate) pooled_had_closed: bool,
    /// Whether body bytes were sent to the app.
    pub(crate) body_was_sent: bool,
}

impl Phase {
    /// Chooses the next server. Pingora asks again after all were tried only if a pooled connection had closed; then the last server
    /// is tried again, with a new connection. Returns `None` if there is no server, or no permit.
    pub(crate) fn next_attempt(&mut self) -> Option<(&Admitted, &Arc<Candidate>)> {
        *self = match std::mem::replace(self, Self::Received) {
            Self::Received => return None,
            Self::Admitted(admitted, mut others) => match others.next() {
                None => Self::Admitted(admitted, others),
                Some(candidate) => {
                    let (pooled_had_closed, body_was_sent) = (false, false);
                    Self::Sent(admitted, Attempt { candidate, others, pooled_had_closed, body_was_sent })
                }
            },
            Self::Sent(admitted, mut attempt) => {
                if let Some(candidate) = attempt.others.next() {
                    attempt.candidate = candidate;
                }
                Self::Sent(admitted, attempt)
            }
        };
        if let Self::Sent(admitted, attempt) = self { Some((admitted, &attempt.candidate)) } else { None }
    }

    const fn admitted(&self) -> Option<&Admitted> {
        match self {
            Self::Received => None,
            Self::Admitted(admitted, _) | Self::Sent(admitted, _) => Some(admitted),
        }
    }
}

/// Proof of a re-check. Only [`Context::recheck`] creates one; what writes the request, its body or the header of the response
/// requires one.
pub(crate) struct Cleared(());

#[cfg(test)]
impl Cleared {
    /// A token for tests of what requires one.
    pub(crate) const fn for_test() -> Self {
        Self(())
    }
}

impl Context {
    /// Returns the permit, once the request is admitted.
    pub(crate) const fn permit(&self) -> Option<&Permit> {
        match self.phase.admitted() {
            Some(admitted) => Some(&admitted.permit),
            None => None,
        }
    }

    /// Returns the current attempt, once a server is chosen.
    pub(crate) const fn attempt(&self) -> Option<&Attempt> {
        if let Phase::Sent(_, attempt) = &self.phase { Some(attempt) } else { None }
    }

    /// As [`Self::attempt`], to change it.
    pub(crate) const fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        if let Phase::Sent(_, attempt) = &mut self.phase { Some(attempt) } else { None }
    }

    /// Returns the server of the current attempt.
    pub(crate) fn candidate(&self) -> Option<&Arc<Candidate>> {
        self.attempt().map(|attempt| &attempt.candidate)
    }

    /// Returns the protocol of the current attempt's server.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        self.candidate().map(|candidate| candidate.server.scheme)
    }

    /// Checks that the session was not revoked and the request not cut since it was admitted.
    ///
    /// # Errors
    /// The refusal to send instead.
    pub(crate) fn recheck(&self) -> Result<Cleared, Refusal> {
        if self.registration.as_ref().is_some_and(Registration::is_revoked) {
            return Err(Refusal::TokenRevoked);
        }
        match self.control.cause() {
            // Its client refreshes, and gets a token with the new roles.
            Some(Cut::RolesChanged) => Err(Refusal::TokenExpired),
            Some(Cut::Slow) => Err(Refusal::RequestTimeout),
            Some(Cut::UpstreamTimeout) => Err(Refusal::UpstreamTimeout),
            // The registration knows a revocation. The others end streams and stalled responses, and the connection does that.
            Some(Cut::Revoked | Cut::Expired | Cut::StaleRevocations | Cut::Draining | Cut::Stalled)
            | None => Ok(Cleared(())),
        }
    }

    /// Records a part of the request body that passes to the app.
    pub(crate) fn forward_body(&mut self, _: &Cleared, auth: &Auth, bytes: u64) {
        self.record_traffic(auth, bytes, self.log.bytes_in);
        self.log.bytes_in += bytes;
    }

    /// Records that the response passes to the client from now on.
    pub(crate) fn begin_response(&self, _: &Cleared, progress: Progress) {
        self.control.set_progress(progress);
    }

    /// Records traffic as use of the session: `bytes` in one direction, after `bytes_before`. The first bytes of an ordinary body
    /// belong to the header, whose use is recorded already.
    pub(crate) fn record_traffic(&self, auth: &Auth, bytes: u64, bytes_before: u64) {
        if bytes > 0 && (bytes_before > 0 || self.control.progress() == Progress::Open) {
            self.record_use(auth);
        }
    }

    /// Records use of the session.
    pub(crate) fn record_use(&self, auth: &Auth) {
        if let Some(registration) = &self.registration {
            auth.record_use(registration, &self.snapshot.settings);
        }
    }

    /// Ends the request once its response is sent: no more cuts, timeouts or timing.
    pub(crate) fn end(&mut self) {
        self.registration = None;
        self.silence.stop();
        self.control.set_body_complete();
        self.log.record_end();
    }
}
