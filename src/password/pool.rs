//! Hashing threads: few, separate, behind a bounded queue, so that a flood of logins does not slow down other requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Password;
use super::argon::{self, Match, Workspace};
use super::budget::Budget;
use super::pepper::Peppers;
use crate::config::PepperId;
use crate::id::Random;
use crate::metrics::HashKind;
use crate::secret::Secret;

/// Maximum time a login waits for its hash. A full queue of 64 takes 2 s on one core. Where the hashing threads get a
/// tenth of a core it would take half a minute, and clients give up earlier. A longer wait only holds connections.
const DEADLINE: Duration = Duration::from_secs(10);

/// The queue is full, no thread took the job in time, or the threads have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins are waiting for a hashing thread")]
pub struct HasherBusy;

/// Result of comparing a password with a stored hash.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Wrong password, or unknown user.
    Wrong,
    /// Correct password.
    Right,
    /// Correct password, stored in another way.
    Outdated {
        /// The hash with the current parameters and the newest pepper.
        new: Secret<String>,
        /// The kind of the stored hash.
        kind: HashKind,
    },
    /// Unknown: the stored hash needs this pepper, which is not configured.
    PepperMissing(PepperId),
    /// Wrong: bcrypt ignores what comes after 72 bytes and after a zero byte, and this password has such a part.
    TooLong,
}

/// Hashes and verifies passwords on separate threads, which end when it is dropped.
pub struct Hasher {
    queue: SyncSender<Job>,
    random: Arc<dyn Random>,
    peppers: Arc<Peppers>,
    /// Hash to compare with for an unknown user: same parameters, same work, never correct.
    decoy: Secret<String>,
}

struct Job {
    work: Box<dyn FnOnce(&mut Workspace) + Send>,
    /// Returns whether a caller still waits for the result.
    is_wanted: Box<dyn Fn() -> bool + Send>,
}

impl Hasher {
    /// Starts `threads` threads and a queue of `queue` jobs.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub fn start(threads: usize, queue: usize, random: Arc<dyn Random>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Job>(queue);
        let (receiver, budget) = (Arc::new(Mutex::new(receiver)), Arc::new(Budget::default()));
        for at in 0..threads {
            let (receiver, budget) = (Arc::clone(&receiver), Arc::clone(&budget));
            thread::Builder::new().name(format!("hash-{at}")).spawn(move || work(&receiver, &budget))?;
        }
        let decoy = argon::decoy(random.as_ref());
        Ok(Self { queue: sender, random, peppers: Arc::default(), decoy })
    }

    /// Hashes with these peppers.
    #[must_use]
    pub fn with_peppers(mut self, peppers: Peppers) -> Self {
        self.peppers = Arc::new(peppers);
        self
    }

    /// Hashes a new password to a PHC string.
    ///
    /// # Errors
    /// [`HasherBusy`].
    pub async fn hash(&self, password: Password) -> Result<Secret<String>, HasherBusy> {
        let (salt, peppers) = (self.random.bytes::<16>(), Arc::clone(&self.peppers));
        self.run(move |space| space.hash(&password, &salt, &peppers)).await
    }

    /// Compares with a stored hash; for an unknown user (`None`) with one of the current parameters. After a correct password, a
    /// hash of another kind is made anew.
    ///
    /// # Errors
    /// [`HasherBusy`].
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<&Secret<String>>,
    ) -> Result<Verdict, HasherBusy> {
        self.compare(password, stored, true).await
    }

    /// As [`Hasher::verify`], but makes no new hash: a correct password takes as long as a wrong one.
    ///
    /// # Errors
    /// [`HasherBusy`].
    pub async fn verify_only(
        &self,
        password: Password,
        stored: Option<&Secret<String>>,
    ) -> Result<Verdict, HasherBusy> {
        self.compare(password, stored, false).await
    }

    async fn compare(
        &self,
        password: Password,
        stored: Option<&Secret<String>>,
        renews: bool,
    ) -> Result<Verdict, HasherBusy> {
        let is_known_user = stored.is_some();
        let stored = stored.unwrap_or(&self.decoy).clone();
        let (salt, peppers) = (self.random.bytes::<16>(), Arc::clone(&self.peppers));
        self.run(move |space| match space.verify(&password, stored.expose(), &peppers) {
            _ if !is_known_user => Verdict::Wrong,
            Match::No => Verdict::Wrong,
            Match::Outdated(kind) if renews => {
                Verdict::Outdated { new: space.hash(&password, &salt, &peppers), kind }
            }
            Match::Yes | Match::Outdated(_) => Verdict::Right,
            Match::PepperMissing(pepper) => Verdict::PepperMissing(pepper),
            Match::TooLong => Verdict::TooLong,
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Workspace) -> T + Send + 'static,
    ) -> Result<T, HasherBusy> {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let waiting = Arc::clone(&sender);
        let job = Job {
            work: Box::new(move |space| {
                let result = work(space);
                if let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    // No caller waits any more, so the result is dropped.
                    let _ = sender.send(result);
                }
            }),
            is_wanted: Box::new(move || {
                waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .as_ref()
                    .is_some_and(|sender| !sender.is_closed())
            }),
        };
        match self.queue.try_send(job) {
            // After the timeout the job is skipped when a thread takes it, as no caller waits.
            Ok(()) => match tokio::time::timeout(DEADLINE, receiver).await {
                Ok(sender) => sender.map_err(|_| HasherBusy),
                Err(_) => Err(HasherBusy),
            },
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(HasherBusy),
        }
    }
}

/// Niceness of hashing threads. At 10 a thread gets a tenth of a contended core: a flood of logins waits, and forwarded
/// requests do not.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lowers the priority of this thread below those that forward requests. Only Linux has a niceness per thread;
/// elsewhere it would apply to the process.
fn lower_priority() {
    // A failure is ignored: hashing then competes with requests, but works.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

fn work(receiver: &Mutex<Receiver<Job>>, budget: &Arc<Budget>) {
    lower_priority();
    let mut space = Workspace::new(Arc::clone(budget));
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The caller has hung up: skip the job and save 20 ms of a core.
        if (job.is_wanted)() {
            // A panic on an unexpected stored hash must not end the thread. Its caller gets `HasherBusy`, and the
            // memory is allocated anew.
            if catch_unwind(AssertUnwindSafe(|| (job.work)(&mut space))).is_err() {
                space = Workspace::new(Arc::clone(budget));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    fn hasher(queue: usize) -> Hasher {
        Hasher::start(1, queue, Arc::new(SystemRandom)).unwrap()
    }

    #[tokio::test]
    async fn password_verifies_only_against_its_own_hash() {
        let hasher = hasher(4);
        let right = Password::new("correct horse battery").unwrap();
        let stored = hasher.hash(right.clone()).await.unwrap();
        assert!(matches!(hasher.verify(right.clone(), Some(&stored)).await, Ok(Verdict::Right)));
        let wrong = Password::new("incorrect horse battery").unwrap();
        assert!(matches!(hasher.verify(wrong, Some(&stored)).await, Ok(Verdict::Wrong)));
        assert!(matches!(hasher.verify(right, None).await, Ok(Verdict::Wrong)));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_hashing_threads_have_a_lower_priority() {
        let hasher = hasher(1);
        // The thread has started once it responds.
        let _ = hasher.hash(Password::new("correct horse battery").unwrap()).await;
        let niceness = |task: &std::fs::DirEntry| -> Option<(String, i32)> {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
            // proc(5): field 19; two fields precede the split.
            Some((name.to_owned(), fields.split_whitespace().nth(16)?.parse().ok()?))
        };
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let all: Vec<_> = tasks.filter_map(|task| niceness(&task)).collect();
        assert!(all.iter().any(|(name, nice)| name == "hash-0" && *nice == NICENESS), "{all:?}");
        let own = rustix::process::getpriority_process(None).unwrap();
        assert!(own < NICENESS, "the thread of this test is at {own}");
    }

    #[tokio::test]
    async fn hash_of_another_program_is_renewed_unless_only_verified() {
        let hasher = hasher(4);
        let right = Password::new("violet kettle harbour l\u{e4}ntern").unwrap();
        let stored =
            "$argon2i$v=19$m=256,t=2,p=2$/Ywl0iopZrDxbIJn/oCdnA$NM3MjzLNqdSMJOKpA9k5671HuiB4zP8OKY1fpsQg/6M";
        let stored = Secret::new(stored.to_owned());
        let Ok(Verdict::Outdated { new, kind }) = hasher.verify(right.clone(), Some(&stored)).await else {
            panic!("it is outdated")
        };
        assert_eq!(kind, HashKind::Argon2i);
        assert!(matches!(hasher.verify(right.clone(), Some(&new)).await, Ok(Verdict::Right)));
        assert!(matches!(hasher.verify_only(right.clone(), Some(&stored)).await, Ok(Verdict::Right)));
        let wrong = Password::new("incorrect horse battery").unwrap();
        assert!(matches!(hasher.verify(wrong, Some(&stored)).await, Ok(Verdict::Wrong)));
    }

    #[tokio::test]
    async fn full_queue_refuses_at_once() {
        let hasher = Arc::new(hasher(2));
        let password = Password::new("correct horse battery").unwrap();
        let all = (0..16).map(|_| {
            let (hasher, password) = (Arc::clone(&hasher), password.clone());
            tokio::spawn(async move { hasher.hash(password).await.is_ok() })
        });
        let mut done = 0;
        for one in all.collect::<Vec<_>>() {
            done += usize::from(one.await.unwrap());
        }
        assert!((1..16).contains(&done), "{done} of 16 were hashed");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_login_is_refused_after_the_deadline() {
        // No thread takes from this queue.
        let (queue, receiver) = sync_channel(4);
        let hasher = Hasher {
            queue,
            random: Arc::new(SystemRandom),
            peppers: Arc::default(),
            decoy: Secret::new(String::new()),
        };
        let start = tokio::time::Instant::now();
        let refused = hasher.hash(Password::new("correct horse battery").unwrap()).await;
        assert_eq!((refused.err(), start.elapsed()), (Some(HasherBusy), DEADLINE));
        let job = receiver.recv().unwrap();
        assert!(!(job.is_wanted)(), "no caller waits for it");
    }
}
