//! The composition root: opens the stores, binds listeners, starts background jobs, and shuts them down in order.
//!
//! Pingora's listening services run on the caller's runtime, without Pingora's own `Server`: that would create one
//! runtime per service, retry a port in use for half a minute, and sleep for a fixed time at shutdown.
//!
//! ```text
//! start:  vault -> keys -> bind listeners -> jobs -> revocation list and keys current -> serve listeners
//! drain:  readiness off -> lameduck -> listeners close -> last request ends (or is cut) -> jobs end
//! ```

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerOptions;
use pingora::apps::http_app::HttpServer;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, AdminApp, Readiness};
use crate::auth::keys;
use crate::auth::{Auth, Cut, Limits, Parts};
use crate::background;
use crate::clock::Clock;
use crate::config::{Config, Effective, SessionsUrl};
use crate::gateway::{Acceptor, Checking, Gateway, Listener, Traffic};
use crate::id::Random;
use crate::metrics::{Metrics, Upgrade};
use crate::password::{Hasher, Peppers};
use crate::session::metered::Metered;
use crate::snapshot::{Current, ProviderParts, Snapshot};
use crate::token::keyring::KeyRing;
use crate::vault::{self, Vault};

mod activation;
mod certificates;
mod error;
mod handover;
mod listen;
mod peppers;
mod reload;
mod stores;

pub use error::StartError;
use handover::Sockets;
pub use handover::{HandoverError, Inherited};
use listen::{Bound, SocketFile, bind_all, serve};
use reload::Reload;
pub use reload::{ConfigFile, ReloadEvent, Reloads};
pub use stores::{
    Credentials, Stores, examine, master_secret, missing_vault, open_shared_sessions, open_vault,
};

/// Maximum time for resolving upstream names before the first request, all at once. A resolver gives up its first
/// server after 5 s and tries the second. Unresolved names are retried soon, and an upgrade must not wait 75 s for
/// them.
const RESOLVE: Duration = Duration::from_secs(10);

/// Maximum time until the revocation list and the keys are current, which must precede serving. An hour of revocations
/// after all users were signed out may be millions of rows; a vault that is down fails at once.
const FIRST_LOAD: Duration = Duration::from_secs(60);

/// Maximum time between accepting a connection and counting it, on a busy machine.
const JUST_ACCEPTED: Duration = Duration::from_millis(250);

/// Time for cut requests to close their sockets.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// Dependencies of a gateway.
#[derive(Clone)]
pub struct Surroundings {
    /// Clock.
    pub clock: Arc<dyn Clock>,
    /// Source of unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Metrics of this gateway.
    pub metrics: Arc<Metrics>,
}

impl Surroundings {
    /// Creates surroundings with all metrics at zero.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random, metrics: Arc::new(Metrics::new()) }
    }
}

/// A running gateway.
pub struct Running {
    auth: Arc<Auth>,
    /// Listening sockets, kept for a handover.
    sockets: Sockets,
    /// Files of Unix sockets, to be removed at shutdown.
    files: Vec<SocketFile>,
    public: Vec<SocketAddr>,
    unix: Vec<PathBuf>,
    redirects: Vec<SocketAddr>,
    admin: Vec<SocketAddr>,
    stop_listening: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    listeners: JoinSet<()>,
    jobs: background::Jobs,
    /// The reload task; it ends before anything else does.
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

/// Starts a gateway on inherited sockets, as far as its configuration still names them.
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
    let peppers = Peppers::new(&config.login.peppers);
    peppers::check(&vault, &peppers).await?;
    let hasher = Hasher::start(config.login.hash_threads, config.login.hash_queue, Arc::clone(&random))
        .map_err(StartError::Hasher)?
        .with_peppers(peppers);
    let mode = config.server.unix_mode;
    let public = bind_all("server.listen", &config.server.listen, mode, inherited)?;
    let redirects = bind_all("server.redirect_listen", &config.server.redirect_listen, mode, inherited)?;
    let admin = bind_all("admin.listen", &config.admin.listen, mode, inherited)?;
    for address in inherited.unused() {
        tracing::warn!(
            reason = "socket_unused",
            address,
            "an inherited socket is not in the configuration: it is closed"
        );
    }
    let files = public.iter().chain(&redirects).chain(&admin).filter_map(Bound::file).collect();
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
    let variable = |name: &str| std::env::var(name).ok();
    let provider_parts =
        ProviderParts::new(&variable, Arc::clone(&clock), Arc::clone(&random), Arc::clone(&metrics));
    let current = Current::new(Snapshot::new(config, &provider_parts, None)?, clock.wall(), &metrics);
    current.load().upstreams.resolve(RESOLVE).await;
    let checking = Checking {
        current: current.clone(),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        metrics: Arc::clone(&metrics),
    };
    let traffic = Arc::new(Traffic::default());
    let jobs = background::start(&auth, checking, vault.clone(), &traffic);
    tokio::time::timeout(FIRST_LOAD, until_ready(&auth)).await.map_err(|_| StartError::NotCurrent)?;

    let readiness = Arc::new(Readiness::default());
    let gateway = Gateway::new(
        Arc::clone(&auth),
        current.clone(),
        Arc::clone(&clock),
        Arc::clone(&random),
        Arc::clone(&traffic),
    );
    let listener = if config.server.tls.is_some() { Listener::Tls } else { Listener::Plain };
    let mut proxy = http_proxy(&Arc::new(pingora_conf()), gateway);
    // CONNECT is refused by the gateway, with a log line, and not by Pingora.
    let mut options = HttpServerOptions::default();
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    let acceptor =
        Acceptor::new(listener, proxy, Arc::clone(&traffic), Arc::clone(&metrics), current.clone());
    let (stop_listening, listening) = watch::channel(false);
    let (stop_admin, admin_listening) = watch::channel(false);
    let mut listeners = JoinSet::new();
    let redirecting = acceptor.also(Listener::Redirect);
    let public = serve(&mut listeners, "gateway", || acceptor.clone(), public, &listening)
        .map_err(StartError::Sockets)?;
    let redirects = serve(&mut listeners, "redirect", || redirecting.clone(), redirects, &listening)
        .map_err(StartError::Sockets)?;
    let admin_app = || {
        let (auth, readiness, clock) = (Arc::clone(&auth), Arc::clone(&readiness), Arc::clone(&clock));
        HttpServer::new_app(AdminApp::new(auth, current.clone(), readiness, clock, fixed(config)))
    };
    let admin =
        serve(&mut listeners, "admin", admin_app, admin, &admin_listening).map_err(StartError::Sockets)?;
    let now = clock.wall().millis() as f64 / 1000.0;
    metrics.process.started.set(now);
    metrics.process.config_loaded.set(now);
    certificates::report(config, &metrics, clock.wall());
    auth.record_event("gateway_started", format!("configuration {}", Effective::of(config).digest()));

    tracing::info!(
        reason = "serving",
        version = env!("CARGO_PKG_VERSION"),
        public = ?public.tcp,
        admin = ?admin.tcp,
        unix = ?public.unix,
        "serving requests"
    );
    Ok(Running {
        auth,
        sockets,
        files,
        public: public.tcp,
        unix: public.unix,
        redirects: redirects.tcp,
        admin: admin.tcp,
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
    /// Returns the bound addresses of the public listener.
    pub fn public(&self) -> &[SocketAddr] {
        &self.public
    }

    /// Returns the Unix sockets of the public listener.
    pub fn unix(&self) -> &[PathBuf] {
        &self.unix
    }

    /// Returns the bound addresses that redirect to https.
    pub fn redirects(&self) -> &[SocketAddr] {
        &self.redirects
    }

    /// Returns the bound addresses of the admin listener.
    pub fn admin(&self) -> &[SocketAddr] {
        &self.admin
    }

    /// Starts reloading on changes of the file that the gateway was started from; `on_event` is called for each reload.
    pub fn follow(
        &mut self,
        file: ConfigFile,
        on_event: impl Fn(ReloadEvent<'_>) + Send + Sync + 'static,
    ) -> Reloads {
        let reloads = Reloads::default();
        let reload = Reload {
            file,
            running: Arc::clone(&self.config),
            auth: Arc::clone(&self.auth),
            current: self.current.clone(),
            credentials: self.credentials.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            on_event: Box::new(on_event),
        };
        self.following.spawn(reload.follow(reloads.clone()));
        reloads
    }

    /// Starts the program again with the same arguments, passes it the sockets, and returns its process id once it
    /// serves. Then call [`Self::retire`].
    ///
    /// # Errors
    /// The reason why it does not serve; this gateway continues as before.
    pub async fn hand_over(&self, called: &[OsString]) -> Result<Option<u32>, HandoverError> {
        tracing::info!(reason = "upgrading", "starting the new process; this one serves until it is ready");
        let outcome = handover::hand_over(&self.sockets, called).await;
        let counted = &self.metrics.process.upgrades;
        match &outcome {
            Ok(pid) => {
                counted.of(Upgrade::HandedOver).inc();
                tracing::info!(reason = "handed_over", pid, "the new process serves");
            }
            Err(error) => {
                counted.of(Upgrade::Failed).inc();
                tracing::error!(reason = "upgrade_failed", cause = %error, "this process continues to serve");
            }
        }
        outcome
    }

    /// Shuts the gateway down: no new connections are accepted, and requests in flight may finish within
    /// `drain_timeout`. Returns when the last request has ended, not after a fixed time.
    pub async fn drain(mut self) {
        tracing::info!(reason = "draining", "no new connections are accepted; requests in flight may finish");
        self.readiness.begin_draining();
        self.traffic.begin_draining();
        self.following.shutdown().await;
        let (lameduck, drain_timeout) = self.timeouts();
        // Clients with a connection learn from the next response that it was the last.
        self.traffic.wind_down();
        tokio::time::sleep(lameduck).await;
        // No other process listens on them: after an upgrade this process is retired instead.
        for file in &self.files {
            file.remove();
        }
        self.close_listeners();
        self.traffic.close_idle();
        if tokio::time::timeout(drain_timeout, self.traffic.until_idle()).await.is_err() {
            self.cut().await;
        }
        self.end().await;
    }

    /// Shuts the gateway down after [`Self::hand_over`]: another process accepts new connections. An idle connection
    /// stays open for one more request, so that none is closed while the client is sending; at most for
    /// `drain_timeout`.
    pub async fn retire(mut self) {
        self.traffic.wind_down();
        self.readiness.begin_draining();
        self.following.shutdown().await;
        let (_, drain_timeout) = self.timeouts();
        let _ = self.stop_admin.send(true);
        self.close_listeners();
        // A connection accepted at the last moment may not be counted yet.
        tokio::time::sleep(JUST_ACCEPTED).await;
        let deserted = tokio::time::timeout(drain_timeout, self.traffic.until_no_connections()).await;
        self.traffic.close_idle();
        if deserted.is_err() && !self.traffic.is_idle() {
            self.cut().await;
        }
        self.end().await;
    }

    fn timeouts(&self) -> (Duration, Duration) {
        let server = &self.current.load().server;
        (server.lameduck, server.drain_timeout)
    }

    fn close_listeners(&mut self) {
        let _ = self.stop_listening.send(true);
        // Other handles of the same sockets would still accept connections.
        self.sockets.clear();
    }

    async fn cut(&self) {
        tracing::warn!(reason = "drain_timeout", "cutting the remaining requests");
        self.traffic.cut_all(Cut::Draining);
        let _ = tokio::time::timeout(AFTER_CUT, self.traffic.until_idle()).await;
    }

    async fn end(mut self) {
        let _ = self.stop_admin.send(true);
        let closed = async { while self.listeners.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(AFTER_CUT, closed).await;
        self.jobs.shutdown().await;
        let snapshot = self.current.load();
        self.auth.settle_logouts(&snapshot.settings).await;
        self.auth.settle_uses(&snapshot.settings).await;
        self.auth.settle_audit().await;
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

fn fixed(config: &Config) -> admin::Fixed {
    admin::Fixed {
        vault: if config.vault.url.is_shared() { "postgres" } else { "sqlite" },
        sessions: match config.sessions.url {
            SessionsUrl::Memory => "memory",
            SessionsUrl::Redis(_) => "redis",
        },
    }
}

async fn until_ready(auth: &Auth) {
    while !auth.is_ready() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn pingora_conf() -> ServerConf {
    // Pingora sizes its pool of upstream connections by the number of threads.
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    ServerConf { max_retries: Gateway::tries(), threads, ..ServerConf::default() }
}
