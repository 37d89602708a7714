//! The users of a run, and the sessions that have been ended.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Session;
use crate::fleet::Fleet;
use crate::wait::{PATIENCE, until};

/// Recent graves: enough to be of several kinds, few enough for each to be visited within its bound.
const RECENT: usize = 9;
/// All graves that are visited. What brings an ended session back may come seconds later.
const GRAVES: usize = 30;

/// A user.
pub(crate) struct User {
    pub(crate) name: &'static str,
    /// Version of the password that was set last, and whose change was acknowledged.
    password: AtomicU32,
    /// Last version given to a new password or to new roles.
    pub(crate) issued: AtomicU32,
}

impl User {
    pub(crate) fn password(&self) -> u32 {
        self.password.load(Ordering::Acquire)
    }

    pub(crate) fn set_password(&self, version: u32) {
        self.password.store(version, Ordering::Release);
    }

    /// A version that nobody had before.
    pub(crate) fn next_version(&self) -> u32 {
        self.issued.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// Text of a password.
pub(crate) fn password(version: u32) -> String {
    format!("violet kettle harbour lantern {version}")
}

/// Users whose sessions nobody ends. The roles of the second change.
pub(crate) const STEADY: &[&str] = &["ada", "bea"];
/// Users whose sessions end: singly, all at once, with the user's right to sign in, and with the password.
pub(crate) const CHURN: &[&str] = &["cyd", "dan", "eve"];

/// Names of all users, the steady ones first.
pub(crate) fn users() -> Vec<&'static str> {
    [STEADY, CHURN].concat()
}

/// All users.
#[derive(Default)]
pub(crate) struct People {
    users: Vec<User>,
    graves: Mutex<VecDeque<Session>>,
}

impl People {
    /// Adds the users to the vault.
    pub(crate) async fn add(fleet: &Fleet) -> Self {
        let mut users = Vec::new();
        for name in STEADY.iter().chain(CHURN) {
            let words = ["user", "add", name, "--password-stdin", "--role", "v0"];
            // A command gives Postgres two seconds, which a busy machine may not have. One that was given up may have
            // been carried out.
            let is_added = until(PATIENCE, async || {
                let result = fleet.command(&words, &password(0)).await;
                result.is_ok() || result.is_err_and(|error| error.contains("exists already"))
            });
            assert!(is_added.await, "`{name}` is not added");
            users.push(User { name, password: AtomicU32::new(0), issued: AtomicU32::new(0) });
        }
        Self { users, graves: Mutex::default() }
    }

    pub(crate) fn user(&self, name: &str) -> &User {
        self.users.iter().find(|user| user.name == name).expect("a user of the run")
    }

    /// Remembers an ended session.
    pub(crate) fn bury(&self, session: Session) {
        let mut graves = self.graves.lock().expect("not poisoned");
        graves.push_back(session);
        if graves.len() > GRAVES {
            graves.pop_front();
        }
    }

    /// An ended session, by any number; perhaps one of the last.
    pub(crate) fn grave(&self, number: usize, is_recent: bool) -> Option<Session> {
        let graves = self.graves.lock().expect("not poisoned");
        let count = if is_recent { graves.len().min(RECENT) } else { graves.len() };
        (count > 0).then(|| graves[graves.len() - 1 - number % count].clone())
    }
}
