//! Reload: another configuration comes into force, whole or not at all, and no request notices.
//!
//! ```text
//! read and check -> credentials and certificates read -> compiled -> names looked up -> one swap
//!       \_________________\______________________________\__ fault: the old one stays, and it is said why
//! ```
//!
//! The files are looked at twice a second ([`Watch`] says how and why so), and read at once on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::certificates;
use super::stores::{Credentials, NewCredentials, Reached};
use crate::clock::Clock;
use crate::config::{Change, Config, Digest, Problems, RESTART, Reading, Sources, Watch};
use crate::metrics::{Metrics, Reload as Outcome};
use crate::snapshot::{Current, ReloadState, Snapshot};

/// A change must be seen twice, so it is in force within a second or so. More often would read the clock of a disk for
/// nothing; more seldom, and people ask whether it works.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long names of upstreams may be looked up before the swap: what does not answer is looked up beside the requests,
/// as at the start.
const RESOLVE: Duration = Duration::from_secs(5);

const MASTER_KEY: &str = "vault.master_key";
const MASTER_KEY_FILE: &str = "vault.master_key_file";

/// Answers for environment variables, for as long as the process lives.
type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The file a configuration was read from, to be read again.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    environment: Environment,
    sources: Sources,
}

impl ConfigFile {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn read(
        path: &Path,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<(Config, Self), Problems> {
        let Reading { config, sources } = Reading::of(path, &environment);
        Ok((config?, Self { path: path.to_owned(), environment: Arc::new(environment), sources }))
    }
}

/// Asks for a reload.
#[derive(Clone, Debug, Default)]
pub struct Reloads(pub(super) Arc<Notify>);

impl Reloads {
    /// The files are read now, whether they have changed or not.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// What a reload is to the program around the gateway.
pub enum Told<'a> {
    /// It begins.
    Begins,
    /// It has ended, and this is in force.
    Ends(&'a Config),
}

/// What a reload works on.
pub(super) struct Reload {
    pub(super) file: ConfigFile,
    /// In force; what only a restart changes is as it was at the start.
    pub(super) running: Arc<Config>,
    pub(super) current: Current,
    pub(super) credentials: Credentials,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) told: Box<dyn Fn(Told<'_>) + Send + Sync>,
}

/// A configuration that only needs to be swapped in.
struct Ready {
    change: Change,
    snapshot: Snapshot,
    credentials: NewCredentials,
}

/// What a file came to.
enum Attempt {
    Unchanged,
    Rejected(Vec<String>),
    Ready(Box<Ready>),
}

impl Reload {
    /// Follows the files; never ends by itself.
    pub(super) async fn follow(mut self, asked: Reloads) {
        // Of an embedded vault, it is made on the first start.
        self.file.sources.made(MASTER_KEY_FILE);
        self.metrics.process.config_hash.set(self.file.sources.hash() as f64);
        let state = ReloadState { hash: self.file.sources.hash(), ..self.state() };
        self.current.set_state(state);
        let master_key = self.file.sources.digest_of(MASTER_KEY_FILE);
        let mut watch = Watch::new(&self.file.sources);
        loop {
            let by_request = tokio::select! {
                () = asked.0.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            if !by_request {
                let changed;
                (watch, changed) = look(watch, &self.file.sources).await;
                if !changed {
                    continue;
                }
            }
            (self.told)(Told::Begins);
            watch = Watch::new(&self.reload(master_key).await);
            (self.told)(Told::Ends(&self.running));
        }
    }

    fn state(&self) -> ReloadState {
        ReloadState::clone(&self.current.state())
    }

    /// Reads, and swaps if it is good. What it has read, and so what need not be read again.
    async fn reload(&mut self, master_key: Option<Digest>) -> Sources {
        let (file, running) = (self.file.clone(), Arc::clone(&self.running));
        let (current, credentials) = (self.current.clone(), self.credentials.clone());
        // Files may be far away, and a table of routes long.
        let work = tokio::task::spawn_blocking(move || attempt(&file, &running, &current, &credentials));
        let (sources, attempt) = match work.await {
            Ok(done) => done,
            Err(error) => (self.file.sources.clone(), Attempt::Rejected(vec![format!("a defect: {error}")])),
        };
        let metrics = Arc::clone(&self.metrics);
        let counted = &metrics.process.config_reloads;
        match attempt {
            Attempt::Unchanged => {
                counted.of(Outcome::Unchanged).inc();
                metrics.process.config_rejected.set(0);
                self.current.set_state(ReloadState { rejected: Vec::new(), ..self.state() });
                tracing::info!(reason = "reload_unchanged", "the files say what is in force already");
                sources
            }
            Attempt::Rejected(problems) => {
                counted.of(Outcome::Rejected).inc();
                metrics.process.config_rejected.set(1);
                for problem in &problems {
                    tracing::error!(reason = "reload_rejected", problem, "the configuration in force stays");
                }
                self.current.set_state(ReloadState { rejected: problems, ..self.state() });
                sources
            }
            Attempt::Ready(ready) => {
                let is_new = master_key.is_some()
                    && sources.digest_of(MASTER_KEY_FILE).is_some_and(|now| Some(now) != master_key);
                self.swap(*ready, is_new, &sources).await;
                self.file.sources = sources.clone();
                counted.of(Outcome::Applied).inc();
                sources
            }
        }
    }

    async fn swap(&mut self, ready: Ready, master_key_is_new: bool, sources: &Sources) {
        let Ready { change: Change { config, mut restart }, snapshot, credentials } = ready;
        if master_key_is_new && !restart.contains(&MASTER_KEY) {
            restart.push(MASTER_KEY);
            restart.sort_by_key(|key| RESTART.iter().position(|known| known == key));
        }
        snapshot.upstreams.resolve(RESOLVE).await;
        self.current.replace(snapshot);
        credentials.begin();
        self.running = Arc::new(config);
        let state = ReloadState {
            generation: self.current.state().generation + 1,
            loaded_at: self.clock.wall(),
            hash: sources.hash(),
            rejected: Vec::new(),
            restart_needed: restart,
        };
        let process = &self.metrics.process;
        process.config_generation.set(i64::try_from(state.generation).unwrap_or(i64::MAX));
        process.config_hash.set(state.hash as f64);
        process.config_loaded.set(state.loaded_at.millis() as f64 / 1000.0);
        process.config_rejected.set(0);
        process.config_restart_needed.set(i64::from(!state.restart_needed.is_empty()));
        tracing::info!(
            reason = "reloaded",
            generation = state.generation,
            "another configuration is in force"
        );
        if !state.restart_needed.is_empty() {
            tracing::warn!(
                reason = "restart_needed",
                keys = state.restart_needed.join(", "),
                "these stay as this process was started: restart it, or upgrade it (SIGUSR2), which loses no request"
            );
        }
        certificates::tell(&self.running, &self.metrics, self.clock.wall());
        self.current.set_state(state);
    }
}

/// One look, which may have to wait for a disk.
async fn look(mut watch: Watch, sources: &Sources) -> (Watch, bool) {
    let looked = tokio::task::spawn_blocking(move || {
        let changed = watch.has_changed();
        (watch, changed)
    });
    looked.await.unwrap_or_else(|_| (Watch::new(sources), false))
}

/// Everything that can fail.
fn attempt(
    file: &ConfigFile,
    running: &Config,
    current: &Current,
    credentials: &Credentials,
) -> (Sources, Attempt) {
    let Reading { config, sources } = Reading::of(&file.path, &*file.environment);
    if sources == file.sources {
        return (sources, Attempt::Unchanged);
    }
    // Of a file that is no good, not every part was read: what those in force name is looked at as well.
    let watched = sources.clone().and(&file.sources);
    let rejected = |problems| (watched.clone(), Attempt::Rejected(problems));
    let new = match config {
        Ok(config) => config,
        Err(problems) => return rejected(problems.iter().map(ToString::to_string).collect()),
    };
    let change = Change::between(running, new);
    let is_other = |key| sources.digest_of(key) != file.sources.digest_of(key);
    let (vault, sessions) = (&change.config.vault, &change.config.sessions);
    let vault = (&vault.url, &vault.ca_file, vault.pool_size)
        != (&running.vault.url, &running.vault.ca_file, running.vault.pool_size)
        || is_other("vault.ca_file");
    let sessions = (&sessions.url, &sessions.ca_file) != (&running.sessions.url, &running.sessions.ca_file)
        || is_other("sessions.ca_file");
    let credentials = match credentials.read(&change.config, Reached { vault, sessions }) {
        Ok(credentials) => credentials,
        Err(error) => return rejected(vec![error.to_string()]),
    };
    match Snapshot::new(&change.config, Some(&current.load())) {
        Ok(snapshot) => (sources, Attempt::Ready(Box::new(Ready { change, snapshot, credentials }))),
        Err(error) => rejected(vec![error.to_string()]),
    }
}
