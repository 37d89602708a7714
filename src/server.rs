//! The composition root: stores are chosen, listeners bound, jobs started; and all of it ended in order.
//!
//! Pingora's listening services run on the runtime this is called on, without Pingora's own `Server`: that would
//! make one runtime per service, retry a taken port for half a minute, and sleep a fixed time at the end.
//!
//! ```text
//! start:  vault -> keys -> listeners bound -> jobs -> set and keys current -> listeners served
//! drain:  readiness off -> lameduck -> listeners close -> last request ends (or is cut) -> jobs end
//! ```

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use pingora::apps::http_app::HttpServer;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{AdminApp, Readiness};
use crate::auth::keys::{self, KeysError};
use crate::auth::{Auth, Cut, Limits, Parts};
use crate::background;
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::{Checking, Gate, Gateway, Listener, Traffic};
use crate::id::Random;
use crate::metrics::{Metrics, Upgrade};
use crate::password::Hasher;
use crate::session::SessionStoreError;
use crate::session::metered::Metered;
use crate::snapshot::{Current, Snapshot, SnapshotError};
use crate::token::keyring::KeyRing;
use crate::token::seal::MasterSecretError;
use crate::vault::{self, Vault, VaultError};

mod certificates;
mod handover;
mod reload;
mod stores;

use handover::Sockets;
pub use handover::{HandoverError, Inherited};
use reload::Reload;
pub use reload::{ConfigFile, Reloads, Told};
pub use stores::{Credentials, Stores, examine, master_secret, open_vault};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// The set and the keys must be current before anything is served. An hour of revocations after everybody was signed out
/// may be millions of rows; a vault that is away says so at once.
const FIRST_LOAD: Duration = Duration::from_secs(60);

/// From a connection's being accepted to its being counted, on a busy machine.
const JUST_ACCEPTED: Duration = Duration::from_millis(250);

/// What was cut gets this long to let go of its sockets.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// Why a gateway does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The session store cannot even be tried.
    #[error(transparent)]
    Sessions(#[from] SessionStoreError),
    /// There is no usable master secret.
    #[error(transparent)]
    MasterSecret(#[from] MasterSecretError),
    /// The vault has keys, so a new master secret would be the wrong one.
    #[error("{missing}; it was not made anew, since the vault already holds keys sealed under the lost one")]
    MasterSecretLost {
        /// What is missing.
        missing: MasterSecretError,
    },
    /// A vault that several gateways share needs the same master secret at each of them.
    #[error(
        "{}: for a new vault make it (`(umask 077; openssl rand -base64 32 | tr '+/' '-_' | tr -d = > FILE)`) and give \
         every gateway the same one; for a vault that has served already, restore it",
        first_words(.0)
    )]
    MasterSecretNeeded(MasterSecretError),
    /// A file of certificates cannot be read.
    #[error("{key}: `{}` cannot be read: {source}; name a PEM file that this user can read", file.display())]
    Certificates {
        /// The setting.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the configuration names cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address} (is another process using it? choose another address)")]
    Listen {
        /// The setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No file for another handle of a socket.
    #[error("cannot keep the sockets at hand: {0} (is the limit on open files too low?)")]
    Sockets(io::Error),
    /// No thread for hashing passwords.
    #[error("cannot start the hashing threads: {0}")]
    Hasher(io::Error),
    /// The vault opened but does not answer.
    #[error("the vault does not answer: the revocation set was not loaded within {} s", FIRST_LOAD.as_secs())]
    NotCurrent,
}

/// What is missing, without the advice for an embedded vault.
fn first_words(missing: &MasterSecretError) -> String {
    match missing {
        MasterSecretError::Missing(path) => format!("there is no master key file {}", path.display()),
        other => other.to_string(),
    }
}

/// What a gateway takes from its surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// What this gateway counts.
    pub metrics: Arc<Metrics>,
}

impl Surroundings {
    /// With nothing counted yet.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random, metrics: Arc::new(Metrics::new()) }
    }
}

/// A running gateway.
pub struct Running {
    /// What it listens on, to be handed over.
    sockets: Sockets,
    public: Vec<SocketAddr>,
    redirects: Vec<SocketAddr>,
    admin: Vec<SocketAddr>,
    stop_listening: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    listeners: JoinSet<()>,
    jobs: JoinSet<()>,
    /// The reloads; they end before anything else does.
    following: JoinSet<()>,
    vault: Vault,
    credentials: Credentials,
    config: Arc<Config>,
    current: Current,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    readiness: Arc<Readiness>,
    traffic: Arc<Traffic>,
}

/// Starts a gateway on the current runtime. Nothing listens when this fails.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: &Config, surroundings: Surroundings) -> Result<Running, StartError> {
    take_over(config, surroundings, &mut Inherited::default()).await
}

/// Starts a gateway that listens on what it has inherited, where its configuration still names it.
///
/// # Errors
/// See [`StartError`].
pub async fn take_over(
    config: &Config,
    surroundings: Surroundings,
    inherited: &mut Inherited,
) -> Result<Running, StartError> {
    let stores = Stores::open(config, &surroundings).await?;
    start_on(config, surroundings, stores, inherited).await
}

/// Starts a gateway on given stores.
///
/// # Errors
/// See [`StartError`].
pub async fn start_with(
    config: &Config,
    surroundings: Surroundings,
    stores: Stores,
) -> Result<Running, StartError> {
    start_on(config, surroundings, stores, &mut Inherited::default()).await
}

async fn start_on(
    config: &Config,
    surroundings: Surroundings,
    stores: Stores,
    inherited: &mut Inherited,
) -> Result<Running, StartError> {
    let Surroundings { clock, random, metrics } = surroundings;
    let vault = vault::metered(&stores.vault, &metrics, &clock);
    let sessions = Metered::new(stores.sessions, Arc::clone(&metrics), Arc::clone(&clock));
    let master = master_secret(config, &vault, random.as_ref()).await?;
    let keys = keys::establish(&vault, &master, config.tokens.algorithm, random.as_ref()).await?;
    let hasher = Hasher::start(config.login.hash_threads, config.login.hash_queue, Arc::clone(&random))
        .map_err(StartError::Hasher)?;
    let public = bind_all("server.listen", &config.server.listen, inherited)?;
    let redirects = bind_all("server.redirect_listen", &config.server.redirect_listen, inherited)?;
    let admin = bind_all("admin.listen", &config.admin.listen, inherited)?;
    let sockets =
        public.iter().chain(&redirects).chain(&admin).map(Bound::to_hand_over).collect::<io::Result<_>>();
    let sockets = sockets.map_err(StartError::Sockets)?;

    let parts = Parts {
        vault: vault.clone(),
        sessions: Arc::new(sessions),
        keys: KeyRing::new(keys),
        master,
        hasher,
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        metrics: Arc::clone(&metrics),
    };
    let limits = Limits { lease: config.vault.lease, local_cache_bytes: config.sessions.local_cache_bytes };
    let auth = Auth::new(parts, limits);
    let current = Current::new(Snapshot::new(config, None)?, clock.wall(), &metrics);
    current.load().upstreams.resolve().await;
    let checking = Checking {
        current: current.clone(),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        metrics: Arc::clone(&metrics),
    };
    let jobs = background::start(&auth, checking, vault.clone());
    tokio::time::timeout(FIRST_LOAD, until_ready(&auth)).await.map_err(|_| StartError::NotCurrent)?;

    let (readiness, traffic) = (Arc::new(Readiness::default()), Arc::new(Traffic::default()));
    let gateway = Gateway::new(
        Arc::clone(&auth),
        current.clone(),
        Arc::clone(&clock),
        Arc::clone(&random),
        Arc::clone(&traffic),
    );
    let listener = if config.server.tls.is_some() { Listener::Tls } else { Listener::Plain };
    let gate = Gate::new(
        listener,
        http_proxy(&Arc::new(pingora_conf()), gateway),
        Arc::clone(&traffic),
        Arc::clone(&metrics),
        current.clone(),
    );
    let (stop_listening, listening) = watch::channel(false);
    let (stop_admin, admin_listening) = watch::channel(false);
    let mut listeners = JoinSet::new();
    let redirecting = gate.also(Listener::Redirect);
    let public = serve(&mut listeners, "gateway", gate, public, listening.clone());
    let redirects = serve(&mut listeners, "redirect", redirecting, redirects, listening);
    let admin_app = HttpServer::new_app(AdminApp::new(auth, current.clone(), Arc::clone(&readiness)));
    let admin = serve(&mut listeners, "admin", admin_app, admin, admin_listening);
    let now = clock.wall().millis() as f64 / 1000.0;
    metrics.process.started.set(now);
    metrics.process.config_loaded.set(now);
    certificates::tell(config, &metrics, clock.wall());

    tracing::info!(
        reason = "serving",
        version = env!("CARGO_PKG_VERSION"),
        ?public,
        ?admin,
        "requests are served"
    );
    Ok(Running {
        sockets,
        public,
        redirects,
        admin,
        stop_listening,
        stop_admin,
        listeners,
        jobs,
        following: JoinSet::new(),
        vault,
        credentials: stores.credentials,
        config: Arc::new(config.clone()),
        current,
        metrics,
        clock,
        readiness,
        traffic,
    })
}

impl Running {
    /// The addresses of the public listener, as bound.
    pub fn public(&self) -> &[SocketAddr] {
        &self.public
    }

    /// The addresses that send on to https, as bound.
    pub fn redirects(&self) -> &[SocketAddr] {
        &self.redirects
    }

    /// The addresses of the admin listener, as bound.
    pub fn admin(&self) -> &[SocketAddr] {
        &self.admin
    }

    /// From now on changes of the file it was started from are taken; `told` hears of each.
    pub fn follow(&mut self, file: ConfigFile, told: impl Fn(Told<'_>) + Send + Sync + 'static) -> Reloads {
        let asked = Reloads::default();
        let reload = Reload {
            file,
            running: Arc::clone(&self.config),
            current: self.current.clone(),
            credentials: self.credentials.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            told: Box::new(told),
        };
        self.following.spawn(reload.follow(asked.clone()));
        asked
    }

    /// Starts the program anew as it was called, gives it the sockets, and returns its process id when it serves. Then
    /// [`Self::retire`].
    ///
    /// # Errors
    /// Why it does not serve; this gateway goes on as before.
    pub async fn hand_over(&self, called: &[OsString]) -> Result<Option<u32>, HandoverError> {
        tracing::info!(
            reason = "upgrading",
            "starting the program anew; this process goes on until it serves"
        );
        let outcome = handover::hand_over(&self.sockets, called).await;
        let counted = &self.metrics.process.upgrades;
        match &outcome {
            Ok(pid) => {
                counted.of(Upgrade::HandedOver).inc();
                tracing::info!(reason = "handed_over", pid, "another process serves");
            }
            Err(error) => {
                counted.of(Upgrade::Failed).inc();
                tracing::error!(reason = "upgrade_failed", cause = %error, "this process goes on");
            }
        }
        outcome
    }

    /// Ends the gateway: nothing new is taken, what is in flight may finish within `drain_timeout`. Returns when the
    /// last request has ended, not after a fixed time.
    pub async fn drain(mut self) {
        tracing::info!(reason = "draining", "no new connections from now on; requests in flight may finish");
        self.readiness.begin_draining();
        self.following.shutdown().await;
        let (lameduck, drain_timeout) = self.patience();
        // Whoever keeps a connection learns with the next answer that it was the last.
        self.traffic.wind_down();
        tokio::time::sleep(lameduck).await;
        self.close_listeners();
        self.traffic.close_idle();
        if tokio::time::timeout(drain_timeout, self.traffic.until_idle()).await.is_err() {
            self.cut().await;
        }
        self.end().await;
    }

    /// Ends the gateway after [`Self::hand_over`]: another process takes what comes. Idle connections stay until they have
    /// brought one more request, so that none is closed under a client that is just sending; at most for `drain_timeout`.
    pub async fn retire(mut self) {
        self.traffic.wind_down();
        self.readiness.begin_draining();
        self.following.shutdown().await;
        let (_, drain_timeout) = self.patience();
        let _ = self.stop_admin.send(true);
        self.close_listeners();
        // What was accepted at the last moment may not have been counted yet.
        tokio::time::sleep(JUST_ACCEPTED).await;
        let deserted = tokio::time::timeout(drain_timeout, self.traffic.until_deserted()).await;
        self.traffic.close_idle();
        if deserted.is_err() && !self.traffic.is_idle() {
            self.cut().await;
        }
        self.end().await;
    }

    fn patience(&self) -> (Duration, Duration) {
        let server = &self.current.load().server;
        (server.lameduck, server.drain_timeout)
    }

    fn close_listeners(&mut self) {
        let _ = self.stop_listening.send(true);
        // Our other handles of the same sockets: they would go on taking connections for nobody.
        self.sockets.clear();
    }

    async fn cut(&self) {
        tracing::warn!(reason = "drain_timeout", "cutting the requests that are left");
        self.traffic.cut_all(Cut::Draining);
        let _ = tokio::time::timeout(AFTER_CUT, self.traffic.until_idle()).await;
    }

    async fn end(mut self) {
        let _ = self.stop_admin.send(true);
        let closed = async { while self.listeners.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(AFTER_CUT, closed).await;
        self.jobs.shutdown().await;
        if let Err(error) = self.vault.audit.settle().await {
            tracing::warn!(
                reason = "vault_unsettled",
                cause = %error,
                "nothing is lost, but the vault's files must be copied together"
            );
        }
        tracing::info!(reason = "stopped", "drained");
    }
}

async fn until_ready(auth: &Auth) {
    while !auth.is_ready() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn pingora_conf() -> ServerConf {
    // The pool of upstream connections is sized by the number of threads.
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    ServerConf { max_retries: Gateway::tries(), threads, ..ServerConf::default() }
}

/// A listener that is bound but not served; closed when dropped.
struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    /// As it stands in the configuration: its port may be 0.
    configured: SocketAddr,
}

impl Bound {
    fn to_hand_over(&self) -> io::Result<(SocketAddr, std::net::TcpListener)> {
        Ok((self.configured, self.listener.try_clone()?))
    }
}

fn bind_all(
    key: &'static str,
    addresses: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<Vec<Bound>, StartError> {
    let bind = |&address| {
        let bound = match inherited.take(address) {
            Some(listener) => adopt(address, listener),
            None => bind(address),
        };
        bound.map_err(|source| StartError::Listen { key, address, source })
    };
    addresses.iter().map(bind).collect()
}

fn adopt(configured: SocketAddr, listener: std::net::TcpListener) -> io::Result<Bound> {
    listener.set_nonblocking(true)?;
    Ok(Bound { address: listener.local_addr()?, configured, listener })
}

fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    Ok(Bound { address: listener.local_addr()?, configured: address, listener })
}

/// Hands bound listeners to a Pingora service and runs it. Pingora takes a descriptor that is listed under the
/// address it is told to listen on, instead of binding.
fn serve<A: ServerApp + Send + Sync + 'static>(
    listeners: &mut JoinSet<()>,
    name: &str,
    app: A,
    bound: Vec<Bound>,
    shutdown: watch::Receiver<bool>,
) -> Vec<SocketAddr> {
    let mut service = Service::new(name.to_owned(), app);
    let mut table = Fds::new();
    let mut addresses = Vec::new();
    for Bound { listener, address, .. } in bound {
        service.add_tcp(&address.to_string());
        table.add(address.to_string(), listener.into_raw_fd());
        addresses.push(address);
    }
    let table: ListenFds = Arc::new(table.into());
    listeners.spawn(async move { service.start_service(Some(table), shutdown, 1).await });
    addresses
}
