//! Three gateways on one set of stores, each through links of its own, and the command line beside them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward::id::{Random, SystemRandom, base64url};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::app::App;
use crate::bounds::{REFRESH_GRACE, STREAM_LEASE, VAULT_OUTAGE_GRACE};
use crate::gateway::{Gateway, Program};
use crate::history::Recorder;
use crate::link::Link;
use crate::random::Seed;
use crate::servers::free_port;
use crate::stores::postgres::{self, Postgres};
use crate::stores::redis::{self, Redis, RedisLinks};

pub(crate) const GATEWAYS: usize = 3;

/// Kinds of the stores of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) redis: redis::Kind,
    pub(crate) postgres: postgres::Kind,
}

impl Topology {
    pub(crate) fn name(self) -> String {
        format!("{:?}-{:?}", self.redis, self.postgres).to_lowercase()
    }
}

/// A gateway with its links.
pub(crate) struct Replica {
    pub(crate) gateway: Gateway,
    pub(crate) redis: RedisLinks,
    pub(crate) vault: Vec<Link>,
}

pub(crate) struct Fleet {
    pub(crate) topology: Topology,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) recorder: Arc<Recorder>,
    /// Where the histories, logs and tables go.
    pub(crate) folder: PathBuf,
    cli: PathBuf,
    /// Links of the command line; never broken.
    cli_links: Vec<Link>,
    _app: App,
}

/// Folder with what the runs of a topology leave.
pub(crate) fn folder(topology: Topology) -> PathBuf {
    let base = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    base.join("faults").join(topology.name())
}

impl Fleet {
    /// Starts everything. `broken` names the guard that the gateways do without.
    pub(crate) async fn start(topology: Topology, seed: Seed, broken: Option<&'static str>) -> Self {
        let folder = folder(topology);
        // Logs of a run before; a history that failed is beside it under its seed.
        let _ = std::fs::remove_dir_all(folder.join("run"));
        std::fs::create_dir_all(folder.join("run")).expect("a folder");
        let starting = tokio::task::spawn_blocking(move || Postgres::start(topology.postgres));
        let (redis, postgres) = tokio::join!(Redis::start(topology.redis), starting);
        let postgres = postgres.expect("a server");
        let recorder = Arc::new(Recorder::new());
        let app = App::start().await;
        let random: &dyn Random = &SystemRandom;
        let key = base64url(random.bytes::<32>());
        let (cli_links, vault_url) = postgres.links().await;
        let settings = Settings { app: app.address, key: &key, vault: postgres.settings(), broken };
        let cli = folder.join("run/cli.toml");
        let own = (redis::address(0), redis::address(0));
        std::fs::write(&cli, settings.text(own, &vault_url, "memory:", "5s")).expect("written");
        let mut fleet = Self {
            topology,
            redis,
            postgres,
            replicas: Vec::new(),
            recorder,
            folder,
            cli,
            cli_links,
            _app: app,
        };
        for number in 0..GATEWAYS {
            let replica = fleet.replica(number, &settings, seed).await;
            fleet.replicas.push(replica);
        }
        fleet
    }

    async fn replica(&self, number: usize, settings: &Settings<'_>, seed: Seed) -> Replica {
        let (vault, vault_url) = self.postgres.links().await;
        let redis = self.redis.links().await;
        let own = (redis::address(free_port()), redis::address(free_port()));
        let config = self.folder.join(format!("run/gateway-{number}.toml"));
        // Gateways differ in how often they ask Redis, so that it matters to some and to others it does not.
        let revalidate_after = ["50ms", "0s", "5s"][(number + seed.0 as usize) % 3];
        let text = settings.text(own, &vault_url, &redis.url, revalidate_after);
        std::fs::write(&config, text).expect("written");
        let log = self.folder.join(format!("run/gateway-{number}.log"));
        let program = Program { config, log, broken: settings.broken };
        let gateway = Gateway::start(number, own, program, Arc::clone(&self.recorder)).await;
        Replica { gateway, redis, vault }
    }

    /// Runs a command. Returns its output, or its complaint.
    pub(crate) async fn command(&self, words: &[&str], stdin: &str) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(&self.cli).args(words).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut pipe = child.stdin.take().expect("piped");
        // The command may end without reading.
        let _ = pipe.write_all(stdin.as_bytes()).await;
        drop(pipe);
        let output = child.wait_with_output().await.expect("an end");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Addresses of the gateways in the load balancer's list.
    pub(crate) fn balanced(&self) -> Vec<usize> {
        let is_in = |number: &usize| self.replicas[*number].gateway.is_in.load(Ordering::Acquire);
        (0..GATEWAYS).filter(is_in).collect()
    }

    pub(crate) fn address(&self, gateway: usize) -> SocketAddr {
        self.replicas[gateway].gateway.public
    }

    /// Redirects all links to one Postgres of a pair.
    pub(crate) async fn lead_vault_links(&self, number: usize, port: u16) {
        let of_gateways = self.replicas.iter().map(|replica| &replica.vault[number]);
        for link in of_gateways.chain([&self.cli_links[number]]) {
            link.lead_to(redis::address(port)).await;
        }
    }

    /// Fails the test when a gateway has ended that nobody ended.
    pub(crate) async fn assert_running(&self) {
        for replica in &self.replicas {
            if let Some(status) = replica.gateway.exited().await {
                panic!("gateway {} has ended with {status}", replica.gateway.number);
            }
        }
    }
}

struct Settings<'a> {
    app: SocketAddr,
    key: &'a str,
    vault: &'a str,
    broken: Option<&'static str>,
}

impl Settings<'_> {
    fn text(
        &self,
        (public, admin): (SocketAddr, SocketAddr),
        vault: &str,
        sessions: &str,
        revalidate_after: &str,
    ) -> String {
        let Self { app, key, vault: more, .. } = self;
        let seconds = |span: std::time::Duration| span.as_secs();
        let (grace, refresh) = (seconds(VAULT_OUTAGE_GRACE), seconds(REFRESH_GRACE));
        let stream_lease = seconds(STREAM_LEASE);
        format!(
            r#"[server]
listen = ["{public}"]
public_urls = ["http://gateway.test"]
h2c = true
drain_timeout = "2s"
[server.limits]
connections_per_ip = 10000
[admin]
listen = ["{admin}"]
[log]
format = "json"
[vault]
url = "{vault}"
master_key = "{key}"
{more}
[sessions]
url = "{sessions}"
revalidate_after = "{revalidate_after}"
vault_outage_grace = "{grace}s"
stream_lease = "{stream_lease}s"
[tokens]
issuer = "http://gateway.test"
refresh_grace = "{refresh}s"
[login]
hash_threads = 2
attempts_per_account = 100
attempts_per_address = 100000
[upstreams.app]
servers = ["http://{app}"]
[[routes]]
name = "app"
path = "/"
access = "signed-in"
upstream = "app"
[[routes]]
name = "public"
path = "/public"
access = "public"
upstream = "app"
"#
        )
    }
}
