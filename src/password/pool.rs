//! The threads that hash: few, of their own, behind a bounded queue, so that a flood of logins costs the
//! requests beside it nothing but these threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Password;
use super::argon::{self, Match, Workspace};
use crate::id::Random;
use crate::secret::Secret;

/// How long a login may wait for its hash. A full queue of 64 takes 2 s on one core; on a host where the hashing threads
/// get a tenth of one it would be half a minute, and clients give up before. A longer wait only holds connections.
const DEADLINE: Duration = Duration::from_secs(10);

/// Every thread is busy and the queue is full, no thread came to it in time, or the threads are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins are waiting for a hashing thread")]
pub struct HasherBusy;

/// What a stored hash says of a password.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Not the password (or there is no such user).
    Wrong,
    /// The password.
    Right,
    /// The password, stored with other parameters; a hash with today's to replace it.
    Outdated(Secret<String>),
}

/// Hashes and verifies passwords on threads of its own, which end with it.
pub struct Hasher {
    queue: SyncSender<Job>,
    random: Arc<dyn Random>,
    /// What the password of an unknown user is compared with: same parameters, same work, never right.
    decoy: Secret<String>,
}

struct Job {
    work: Box<dyn FnOnce(&mut Workspace) + Send>,
    /// Whether anybody still waits for it.
    wanted: Box<dyn Fn() -> bool + Send>,
}

impl Hasher {
    /// Starts `threads` threads with room for `queue` waiting jobs.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(threads: usize, queue: usize, random: Arc<dyn Random>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Job>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for at in 0..threads {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new().name(format!("hash-{at}")).spawn(move || work(&receiver))?;
        }
        let decoy = Secret::new(argon::decoy(random.as_ref()));
        Ok(Self { queue: sender, random, decoy })
    }

    /// A PHC string for a new password.
    ///
    /// # Errors
    /// [`HasherBusy`].
    pub async fn hash(&self, password: Password) -> Result<Secret<String>, HasherBusy> {
        let salt = self.random.bytes::<16>();
        self.run(move |space| Secret::new(space.hash(&password, &salt))).await
    }

    /// Compares with a stored PHC string, or, for an unknown user, with nothing: at the same cost.
    ///
    /// # Errors
    /// [`HasherBusy`].
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<&Secret<String>>,
    ) -> Result<Verdict, HasherBusy> {
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.decoy).clone();
        let salt = self.random.bytes::<16>();
        self.run(move |space| match space.verify(&password, stored.expose()) {
            Match::Yes if known => Verdict::Right,
            Match::Outdated if known => Verdict::Outdated(Secret::new(space.hash(&password, &salt))),
            _ => Verdict::Wrong,
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Workspace) -> T + Send + 'static,
    ) -> Result<T, HasherBusy> {
        let (answer, answered) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some(answer)));
        let waiting = Arc::clone(&answer);
        let job = Job {
            work: Box::new(move |space| {
                let result = work(space);
                if let Some(answer) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    // Nobody waits any more: the result is of no use.
                    let _ = answer.send(result);
                }
            }),
            wanted: Box::new(move || {
                waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .as_ref()
                    .is_some_and(|answer| !answer.is_closed())
            }),
        };
        match self.queue.try_send(job) {
            // Given up, the job is skipped when its turn comes: nobody waits for it any more.
            Ok(()) => match tokio::time::timeout(DEADLINE, answered).await {
                Ok(answer) => answer.map_err(|_| HasherBusy),
                Err(_) => Err(HasherBusy),
            },
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(HasherBusy),
        }
    }
}

/// How much later than the rest a hashing thread gets a core, where somebody else wants it too. At 10 it has a tenth of it
/// then: a flood of logins waits, the requests that are forwarded beside it do not.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Steps behind the threads that forward. Only Linux knows a niceness of one thread; elsewhere it would be the process's.
fn step_back() {
    // What cannot be lowered stays: it is slower for others, not wrong.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

fn work(receiver: &Mutex<Receiver<Job>>) {
    step_back();
    let mut space = Workspace::default();
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A caller who hung up is not worth 20 ms of a core.
        if (job.wanted)() {
            // A stored hash that nobody foresaw must not take the thread, and every later login, with it: its caller
            // is told that there is no answer, and the memory is begun anew.
            if catch_unwind(AssertUnwindSafe(|| (job.work)(&mut space))).is_err() {
                space = Workspace::default();
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
    async fn a_password_verifies_against_its_own_hash_only() {
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
    async fn hashing_steps_back_and_nothing_else_does() {
        let hasher = hasher(1);
        // Begun when it answers.
        let _ = hasher.hash(Password::new("correct horse battery").unwrap()).await;
        let niceness = |task: &std::fs::DirEntry| -> Option<(String, i32)> {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
            // proc(5): the nineteenth, of which the first two are before.
            Some((name.to_owned(), fields.split_whitespace().nth(16)?.parse().ok()?))
        };
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let all: Vec<_> = tasks.filter_map(|task| niceness(&task)).collect();
        assert!(all.iter().any(|(name, nice)| name == "hash-0" && *nice == NICENESS), "{all:?}");
        let own = rustix::process::getpriority_process(None).unwrap();
        assert!(own < NICENESS, "the thread of this test is at {own}");
    }

    #[tokio::test]
    async fn what_does_not_fit_the_queue_is_turned_away_at_once() {
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
    async fn a_login_that_no_thread_comes_to_is_turned_away_after_the_deadline() {
        // No thread takes from this queue.
        let (queue, receiver) = sync_channel(4);
        let hasher = Hasher { queue, random: Arc::new(SystemRandom), decoy: Secret::new(String::new()) };
        let begun = tokio::time::Instant::now();
        let refused = hasher.hash(Password::new("correct horse battery").unwrap()).await;
        assert_eq!((refused.err(), begun.elapsed()), (Some(HasherBusy), DEADLINE));
        let job = receiver.recv().unwrap();
        assert!(!(job.wanted)(), "nobody waits for it any more");
    }
}
