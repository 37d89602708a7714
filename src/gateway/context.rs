//! What is remembered of one request between Pingora's callbacks.

use std::sync::Arc;

use crate::auth::{Auth, Control, Cut, Progress, Registration};
use crate::error::Refusal;
use crate::identity::Identity;
use crate::policy::Permit;
use crate::policy::route::Destination;
use crate::snapshot::Snapshot;
use crate::snapshot::upstreams::{Candidate, Turn};

use super::account::Account;
use super::backlog::Backlog;
use super::renewal::SetCookies;
use super::silence::Silence;
use super::tls::Proof;

/// The state of one request between Pingora's callbacks.
pub struct Context {
    /// The configuration in force when it began.
    pub(super) snapshot: Arc<Snapshot>,
    /// The handle by which it can be cut.
    pub(super) control: Arc<Control>,
    /// How long its app may be silent.
    pub(super) silence: Arc<Silence>,
    /// What its client has not taken yet.
    pub(super) backlog: Arc<Backlog>,
    /// What the handshake of its connection has proved.
    pub(super) proof: Option<Arc<Proof>>,
    /// Proof that it may be forwarded.
    pub(super) permit: Option<Permit>,
    /// Who was found out to be without the roles that are asked for.
    pub(super) who: Option<Arc<Identity>>,
    /// Keeps it entered under its session.
    pub(super) registration: Option<Registration>,
    pub(super) bearer_is_ours: bool,
    /// The checked `Destination`, to be forwarded.
    pub(super) destination: Option<Destination>,
    /// Cookies the answer is to set.
    pub(super) set: SetCookies,
    /// Servers still to be tried.
    pub(super) turn: Turn,
    /// The one being tried.
    pub(super) candidate: Option<Arc<Candidate>>,
    /// A connection that was kept for it had ended.
    pub(super) kept_had_ended: bool,
    /// Some of its body was given to the app.
    pub(super) body_was_sent: bool,
    /// Why it is being refused, once that is known.
    pub(super) refusal: Option<Refusal>,
    /// The app's response has no content, whatever the app sends.
    pub(super) response_is_empty: bool,
    /// It has a whole answer of ours.
    pub(super) was_told: bool,
    pub(super) account: Account,
}

impl Context {
    /// The second look: what has come up since it was admitted.
    pub(super) fn obstacle(&self) -> Option<Refusal> {
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
    pub(super) fn note_traffic(&self, auth: &Auth, came: u64, before: u64) {
        if came > 0 && (before > 0 || self.control.progress() == Progress::Open) {
            self.note_use(auth);
        }
    }

    /// Its session is in use.
    pub(super) fn note_use(&self, auth: &Auth) {
        if let Some(registration) = &self.registration {
            auth.is_used(registration, &self.snapshot.settings);
        }
    }

    /// Its answer is out: there is nothing left to cut, to wait for, or to time.
    pub(super) fn is_over(&mut self) {
        self.registration = None;
        self.silence.stop();
        self.control.body_is_complete();
        self.account.is_over();
    }
}
