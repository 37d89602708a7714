//! A gateway process that is stopped, killed, paused and started again, and its log.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Mutex;

use crate::client::Request;
use crate::history::{Note, Recorder, State};
use crate::process;
use crate::wait::{PATIENCE, until};
use crate::watchdog::Watched;

/// Reasons in the log that tell of a store.
const REASONS: &[&str] = &[
    "vault_lost",
    "vault_back",
    "undecided",
    "session_store_lost",
    "session_store_back",
    "session_ended_by_reuse",
];

/// A process that ends with the tests.
struct Running {
    child: Child,
    _watched: Watched,
}

/// How a gateway is run.
pub(crate) struct Program {
    pub(crate) config: PathBuf,
    /// File with its log.
    pub(crate) log: PathBuf,
    /// Guard that it does without; only with the feature `broken-guards`.
    pub(crate) broken: Option<&'static str>,
}

pub(crate) struct Gateway {
    pub(crate) number: usize,
    pub(crate) public: SocketAddr,
    admin: SocketAddr,
    program: Program,
    child: Mutex<Option<Running>>,
    /// Variables for the next start.
    environment: std::sync::Mutex<Vec<(&'static str, String)>>,
    /// Process id of the one that took over, from the log; 0 before.
    named: Arc<AtomicU32>,
    successor: Mutex<Option<Watched>>,
    /// In the load balancer's list.
    pub(crate) is_in: AtomicBool,
    /// Its addresses accept connections.
    listens: AtomicBool,
    recorder: Arc<Recorder>,
}

impl Gateway {
    pub(crate) async fn start(
        number: usize,
        (public, admin): (SocketAddr, SocketAddr),
        program: Program,
        recorder: Arc<Recorder>,
    ) -> Self {
        let (child, is_in, listens) = (Mutex::default(), AtomicBool::new(true), AtomicBool::new(true));
        let (environment, named, successor) = (std::sync::Mutex::default(), Arc::default(), Mutex::default());
        let gateway = Self {
            number,
            public,
            admin,
            program,
            child,
            environment,
            named,
            successor,
            is_in,
            listens,
            recorder,
        };
        gateway.run().await;
        gateway
    }

    pub(crate) fn note(&self, state: State) {
        self.recorder.note(Note::Process { gateway: self.number, state });
    }

    /// Starts the process and waits until it is ready. One that ends because a store does not respond is started again,
    /// as service managers do.
    async fn run(&self) {
        let is_ready = until(PATIENCE, async || {
            if self.child.lock().await.is_none() || self.exited().await.is_some() {
                self.spawn().await;
            }
            Request::get("/readyz", None).send(self.admin).await.status == 200
        });
        assert!(is_ready.await, "gateway {} is not ready: {}", self.number, self.program.log.display());
    }

    async fn spawn(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(&self.program.config).arg("serve").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.envs(self.program.broken.map(|guard| ("DOORWARD_BROKEN_GUARD", guard)));
        command.envs(self.environment.lock().expect("not poisoned").iter().cloned());
        let mut child = command.spawn().expect("it starts");
        let watched = Watched::new(child.id().expect("it runs"));
        let log = Log {
            lines: child.stderr.take().expect("piped"),
            file: self.program.log.clone(),
            gateway: self.number,
            recorder: Arc::clone(&self.recorder),
            successor: Arc::clone(&self.named),
        };
        tokio::spawn(log.follow());
        *self.child.lock().await = Some(Running { child, _watched: watched });
    }

    pub(crate) async fn id(&self) -> u32 {
        self.child.lock().await.as_ref().and_then(|running| running.child.id()).expect("it runs")
    }

    pub(crate) async fn signal(&self, name: &str) {
        process::signal(self.id().await, name);
    }

    /// Kills the process.
    pub(crate) async fn kill(&self) {
        self.note(State::Down);
        self.listens.store(false, Ordering::Release);
        let running = self.child.lock().await.take();
        running.expect("it runs").child.kill().await.expect("killed");
    }

    /// Starts a killed or stopped gateway on the same addresses and puts it into the load balancer's list.
    pub(crate) async fn start_again(&self) {
        self.run().await;
        self.note(State::Runs);
        self.listens.store(true, Ordering::Release);
        self.is_in.store(true, Ordering::Release);
    }

    pub(crate) fn listens(&self) -> bool {
        self.listens.load(Ordering::Acquire)
    }

    /// Starts it with these variables the next time.
    pub(crate) fn set_environment(&self, variables: Vec<(&'static str, String)>) {
        *self.environment.lock().expect("not poisoned") = variables;
    }

    /// Takes it out of the load balancer. Returns when requests that are on their way to it have arrived.
    async fn take_out(&self) {
        self.is_in.store(false, Ordering::Release);
        self.listens.store(false, Ordering::Release);
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.note(State::Down);
    }

    /// Takes it out of the load balancer, drains it, and checks that it ends well.
    pub(crate) async fn drain(&self) {
        self.take_out().await;
        self.signal("TERM").await;
        self.assert_ends_well().await;
    }

    async fn assert_ends_well(&self) {
        let mut running = self.child.lock().await.take().expect("it runs");
        let ending = tokio::time::timeout(PATIENCE, running.child.wait());
        let status = ending.await.expect("it stops").expect("waited");
        let log = self.program.log.display();
        assert!(status.success(), "gateway {} ended with {status}: {log}", self.number);
    }

    /// Has a new process take over, under load.
    pub(crate) async fn upgrade(&self) {
        let log = self.program.log.display();
        // On a starved machine the new process gives up its start; then the old one serves, and is asked again.
        for _ in 0..UPGRADES {
            self.named.store(0, Ordering::Release);
            self.signal("USR2").await;
            let named = async || self.named.load(Ordering::Acquire) != 0;
            assert!(until(PATIENCE, named).await, "gateway {} names no successor: {log}", self.number);
            if self.named.load(Ordering::Acquire) != FAILED {
                break;
            }
        }
        assert_ne!(self.named.load(Ordering::Acquire), FAILED, "gateway {}: {log}", self.number);
        self.assert_ends_well().await;
        *self.successor.lock().await = Some(Watched::new(self.named.load(Ordering::Acquire)));
    }

    /// Replaces the process that took over by one that is a child of this one.
    pub(crate) async fn replace_successor(&self) {
        let successor = self.successor.lock().await.take().expect("an upgrade before");
        self.take_out().await;
        process::signal(successor.id(), "TERM");
        let runs = || std::path::Path::new("/proc").join(successor.id().to_string()).exists();
        let has_ended = until(PATIENCE, async || !runs()).await;
        assert!(has_ended, "gateway {} does not end: {}", self.number, self.program.log.display());
        self.start_again().await;
    }

    pub(crate) async fn pause(&self) {
        self.note(State::Paused);
        self.signal("STOP").await;
        // A load balancer notices soon.
        self.is_in.store(false, Ordering::Release);
    }

    pub(crate) async fn resume(&self) {
        // Before the signal: from here on it may work.
        self.note(State::Runs);
        self.signal("CONT").await;
        self.is_in.store(true, Ordering::Release);
    }

    /// Exit status of a process that nobody ended.
    pub(crate) async fn exited(&self) -> Option<ExitStatus> {
        self.child.lock().await.as_mut()?.child.try_wait().expect("a child")
    }

    /// Values of a metric without labels.
    pub(crate) async fn metric(&self, text: &str, name: &str) -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    }

    /// Returns true if both stores are in use.
    pub(crate) async fn uses_both_stores(&self) -> bool {
        let Some(text) = metrics(self.admin).await else { return false };
        let is = async |name| self.metric(&text, name).await == Some(1.0);
        is("doorward_session_store_up").await && is("doorward_lease_held").await
    }
}

/// Attempts of an upgrade.
const UPGRADES: usize = 5;

/// In place of the process id of a successor that did not start.
const FAILED: u32 = u32::MAX;

/// Text of `/metrics`.
async fn metrics(admin: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut text = String::new();
    let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut text));
    reading.await.ok()?.ok()?;
    Some(text)
}

/// The log of a process.
struct Log {
    lines: ChildStderr,
    file: PathBuf,
    gateway: usize,
    recorder: Arc<Recorder>,
    successor: Arc<AtomicU32>,
}

impl Log {
    /// Copies it to a file and notes the lines that tell of a store, and of a process that took over.
    async fn follow(self) -> Option<()> {
        let Self { gateway, recorder, successor, .. } = self;
        let mut file = std::fs::File::options().create(true).append(true).open(self.file).ok()?;
        let mut lines = BufReader::new(self.lines).lines();
        while let Some(line) = lines.next_line().await.ok()? {
            let at = recorder.now();
            let has = |reason: &str| line.contains(&format!("\"reason\":\"{reason}\""));
            if let Some(reason) = REASONS.iter().find(|reason| has(reason)) {
                recorder.note(Note::Log { gateway, reason: (*reason).to_owned() });
            }
            if has("handed_over") {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                let id = line["pid"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
                successor.store(id, Ordering::Release);
            }
            if has("upgrade_failed") {
                successor.store(FAILED, Ordering::Release);
            }
            writeln!(file, "{at} {line}").ok()?;
        }
        Some(())
    }
}
