//! What is remembered of one request between Pingora's callbacks.

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

/// The state of one request between Pingora's callbacks.
pub struct Context {
    /// The configuration in force when it began.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The handle by which it can be cut.
    pub(crate) control: Arc<Control>,
    /// How long its app may be silent.
    pub(crate) silence: Arc<Silence>,
    /// What its client has not taken yet.
    pub(crate) backlog: Arc<Backlog>,
    /// The listener that accepted its connection.
    pub(crate) listener: Listener,
    /// Why it is refused, where its connection knows already.
    pub(crate) refused: Option<Refusal>,
    /// What the handshake of its connection has proved.
    pub(crate) proof: Option<Arc<Proof>>,
    /// Proof that it may be forwarded.
    pub(crate) permit: Option<Permit>,
    /// Who was found out to be without the roles that are asked for.
    pub(crate) who: Option<Arc<Identity>>,
    /// Keeps it entered under its session.
    pub(crate) registration: Option<Registration>,
    pub(crate) bearer_is_ours: bool,
    /// The checked `Destination`, to be forwarded.
    pub(crate) destination: Option<Destination>,
    /// Cookies the answer is to set.
    pub(crate) set: SetCookies,
    /// Servers still to be tried.
    pub(crate) turn: ServerAttempts,
    /// The one being tried.
    pub(crate) candidate: Option<Arc<Candidate>>,
    /// A connection that was kept for it had ended.
    pub(crate) kept_had_ended: bool,
    /// Some of its body was given to the app.
    pub(crate) body_was_sent: bool,
    /// Why it is being refused, once that is known.
    pub(crate) refusal: Option<Refusal>,
    /// The app's response has no content, whatever the app sends.
    pub(crate) response_is_empty: bool,
    /// It has a whole answer of ours.
    pub(crate) response_sent: bool,
    pub(crate) account: RequestLog,
}

impl Context {
    /// The second look: what has come up since it was admitted.
    pub(crate) fn obstacle(&self) -> Option<Refusal> {
        if self.registration.as_ref().is_some_and(Registration::is_revoked) {
            return Some(Refusal::TokenRevoked);
        }
        match self.control.cause() {
            Some(Cut::Rights) => Some(Refusal::TokenExpired),
            Some(Cut::Slow) => Some(Refusal::RequestTimeout),
            Some(Cut::Silent) => Some(Refusal::UpstreamTimeout),
            _ => None,
        }
    }

    /// `came` bytes have passed in one direction, after so many: traffic is use. Of an ordinary body the first bytes come
    /// with the header, which was noted.
    pub(crate) fn note_traffic(&self, auth: &Auth, came: u64, before: u64) {
        if came > 0 && (before > 0 || self.control.progress() == Progress::Open) {
            self.note_use(auth);
        }
    }

    /// Its session is in use.
    pub(crate) fn note_use(&self, auth: &Auth) {
        if let Some(registration) = &self.registration {
            auth.record_use(registration, &self.snapshot.settings);
        }
    }

    /// Its answer is out: there is nothing left to cut, to wait for, or to time.
    pub(crate) fn is_over(&mut self) {
        self.registration = None;
        self.silence.stop();
        self.control.body_is_complete();
        self.account.is_over();
    }
}
