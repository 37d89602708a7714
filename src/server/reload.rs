//! Reload: puts a new configuration into force, completely or not at all, without affecting requests.
//!
//! ```text
//! read and check -> read credentials and certificates -> compile -> resolve names -> one swap
//!       \_________________\______________________________\__ error: the old configuration stays, and the log says why
//! ```
//!
//! The files are polled twice a second ([`Watch`] explains how and why), and read at once on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::certificates;
use super::stores::{ChangedStores, Credentials, NewCredentials};
use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::{Change, Config, Digest, Effective, Problems, RESTART, Reading, Sources, Watch};
use crate::metrics::{Metrics, Reload as Outcome};
use crate::snapshot::{Current, ReloadState, Snapshot};

/// Poll interval. A change must be seen twice, so it is in force after about a second. A shorter interval would access
/// the disk for nothing; with a longer one people wonder whether it works.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum time for resolving upstream names before the swap. Unresolved names are resolved in the background, as at
/// the start.
const RESOLVE: Duration = Duration::from_secs(5);

const MASTER_KEY: &str = "vault.master_key";
const MASTER_KEY_FILE: &str = "vault.master_key_file";

/// Looks up environment variables, for the lifetime of the process.
type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The configuration file, which can be read again.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    environment: Environment,
    sources: Sources,
}

impl ConfigFile {
    /// Reads the file for the first time.
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

/// Handle to request a reload.
#[derive(Clone, Debug, Default)]
pub struct Reloads(pub(super) Arc<Notify>);

impl Reloads {
    /// Reads the files now, whether they have changed or not.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Event of a reload, for the surrounding program.
pub enum ReloadEvent<'a> {
    /// The reload starts.
    Started,
    /// The reload has ended, and this configuration is in force.
    Ended(&'a Config),
}

/// State of the reload task.
pub(super) struct Reload {
    pub(super) file: ConfigFile,
    /// Configuration in force; keys that need a restart have their value from the start.
    pub(super) running: Arc<Config>,
    pub(super) auth: Arc<Auth>,
    pub(super) current: Current,
    pub(super) credentials: Credentials,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) on_event: Box<dyn Fn(ReloadEvent<'_>) + Send + Sync>,
}

/// A new configuration, ready for the swap.
struct Ready {
    change: Change,
    snapshot: Snapshot,
    credentials: NewCredentials,
}

/// Result of reading the files.
enum Attempt {
    Unchanged,
    Rejected(Vec<String>),
    Ready(Box<Ready>),
}

impl Reload {
    /// Follows the files; never returns.
    pub(super) async fn follow(mut self, reloads: Reloads) {
        // The master key of an embedded vault is created on the first start.
        self.file.sources.made(MASTER_KEY_FILE);
        self.metrics.process.config_hash.set(self.file.sources.hash() as f64);
        let state = ReloadState { hash: self.file.sources.hash(), ..self.state() };
        self.current.set_state(state);
        let master_key = self.file.sources.digest_of(MASTER_KEY_FILE);
        let mut watch = Watch::new(&self.file.sources);
        loop {
            let by_request = tokio::select! {
                () = reloads.0.notified() => true,
                () = tokio::time::sleep(POLL_INTERVAL) => false,
            };
            if !by_request {
                let changed;
                (watch, changed) = check(watch, &self.file.sources).await;
                if !changed {
                    continue;
                }
            }
            (self.on_event)(ReloadEvent::Started);
            watch = Watch::new(&self.reload(master_key).await);
            (self.on_event)(ReloadEvent::Ended(&self.running));
        }
    }

    fn state(&self) -> ReloadState {
        ReloadState::clone(&self.current.state())
    }

    /// Reads the files and swaps the configuration if it is valid. Returns the files that were read.
    async fn reload(&mut self, master_key: Option<Digest>) -> Sources {
        let (file, running) = (self.file.clone(), Arc::clone(&self.running));
        let (current, credentials) = (self.current.clone(), self.credentials.clone());
        // File systems may be slow, and a route table long.
        let work = tokio::task::spawn_blocking(move || attempt(&file, &running, &current, &credentials));
        let (sources, attempt) = match work.await {
            Ok(done) => done,
            Err(error) => {
                (self.file.sources.clone(), Attempt::Rejected(vec![format!("an internal error: {error}")]))
            }
        };
        let metrics = Arc::clone(&self.metrics);
        let counted = &metrics.process.config_reloads;
        match attempt {
            Attempt::Unchanged => {
                counted.of(Outcome::Unchanged).inc();
                metrics.process.config_rejected.set(0);
                self.current.set_state(ReloadState { rejected: Vec::new(), ..self.state() });
                tracing::info!(reason = "reload_unchanged", "the files match the configuration in force");
                sources
            }
            Attempt::Rejected(problems) => {
                counted.of(Outcome::Rejected).inc();
                metrics.process.config_rejected.set(1);
                for problem in &problems {
                    tracing::error!(
                        reason = "reload_rejected",
                        problem,
                        "the old configuration stays in force"
                    );
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
        // Before the swap: afterwards the log is to follow at once.
        let changes = Effective::of(&config).changes_since(&Effective::of(&self.running));
        snapshot.upstreams.resolve(RESOLVE).await;
        self.current.replace(snapshot);
        credentials.begin();
        self.auth.record_event("configuration_changed", changes);
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
            "the new configuration is in force"
        );
        if !state.restart_needed.is_empty() {
            tracing::warn!(
                reason = "restart_needed",
                keys = state.restart_needed.join(", "),
                "these keys need a restart, or an upgrade (SIGUSR2), which loses no request"
            );
        }
        certificates::report(&self.running, &self.metrics, self.clock.wall());
        self.current.set_state(state);
    }
}

/// Checks the files on a blocking thread, since the disk may be slow.
async fn check(mut watch: Watch, sources: &Sources) -> (Watch, bool) {
    let checked = tokio::task::spawn_blocking(move || {
        let changed = watch.has_changed();
        (watch, changed)
    });
    checked.await.unwrap_or_else(|_| (Watch::new(sources), false))
}

/// Performs every step that can fail.
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
    // An invalid file may not have been read completely, so the files of the configuration in force are watched as
    // well.
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
    let credentials = match credentials.read(&change.config, ChangedStores { vault, sessions }) {
        Ok(credentials) => credentials,
        Err(error) => return rejected(vec![error.to_string()]),
    };
    let in_force = current.load();
    match Snapshot::new(&change.config, &in_force.provider_parts, Some(&in_force)) {
        Ok(snapshot) => (sources, Attempt::Ready(Box::new(Ready { change, snapshot, credentials }))),
        Err(error) => rejected(vec![error.to_string()]),
    }
}
