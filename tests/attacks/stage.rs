//! A gateway process with an app and a signed-in user, and the checks that run under every attack.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::blob_server::BlobServer;
use crate::house::House;
use crate::load::{Done, Load};
use crate::memory::{Bytes, Memory};
use crate::serving::Serving;
use crate::support::eventually::eventually;
use crate::support::tls::{self, Trust};
use crate::support::{Client, PASSWORD, assert_eventually, http, measured};
use crate::well_behaved_client::WellBehavedClient;

/// Requests of well-behaved clients while an attack is at its height: of this many, 99.9 % allows one failure.
const REQUESTS: u64 = 1000;
/// Allowed memory growth during an attack.
const HEIGHT: Bytes = Bytes::mib(256);
/// Allowed memory growth after an attack.
const BACK: Bytes = Bytes::mib(32);
/// Upper bound for events that must happen on two busy cores.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Interval between metric scrapes: each counts the open files of the process.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(250);

static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A gateway process. Only one exists at a time, since attacks are measured.
pub(crate) struct Stage {
    pub(crate) app: BlobServer,
    pub(crate) gateway: Serving,
    /// Certificates its clients trust, with TLS.
    pub(crate) trust: Option<Trust>,
    pub(crate) access: String,
    pub(crate) house: House,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Stage {
    /// Starts without TLS, with extra lines for `[server]`.
    pub(crate) async fn clear(server: &str) -> Self {
        Self::start(server, false).await
    }

    /// Starts with TLS, and so HTTP/2.
    pub(crate) async fn tls(server: &str) -> Self {
        Self::start(server, true).await
    }

    async fn start(server: &str, over_tls: bool) -> Self {
        let alone = MACHINE.lock().await;
        raise_limit();
        let (app, house) = (BlobServer::start().await, House::empty());
        let trust = over_tls.then(|| Trust::of(&[&tls::make(&house.path(""), "app", &["gateway.test"])]));
        let (scheme, more) = match over_tls {
            true => (
                "https",
                "[server.tls]\ncertificates = [{ cert_file = \"app.crt\", key_file = \"app.key\" }]",
            ),
            false => ("http", ""),
        };
        house.write(
            "gateway.toml",
            &format!(
                r#"[server]
listen = ["127.0.0.1:0"]
public_urls = ["{scheme}://gateway.test"]
{server}
{more}
[admin]
listen = ["127.0.0.1:0"]
[vault]
lease = "5s"
[upstreams.app]
servers = ["http://{}"]
[[routes]]
name = "app"
path = "/"
access = "signed-in"
upstream = "app"
body_limit = "2GiB"
[[routes]]
name = "public"
path = "/public"
access = "public"
upstream = "app"
body_limit = "2GiB"
"#,
                app.address()
            ),
        );
        house.add("ada", &[]);
        let gateway = house.serve();
        let access = login(&gateway, trust.as_ref(), scheme).await;
        Self { app, gateway, trust, access, house, _alone: alone }
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.gateway.process.id())
    }

    /// Sum of the metric lines that start with `name`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = http::request(self.gateway.admin, "GET", "/metrics", &[], b"").await.text();
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines().filter(|line| line.starts_with(name)).filter_map(value).sum()
    }

    fn clients(&self) -> WellBehavedClient {
        WellBehavedClient::start(self.gateway.public, self.trust.as_ref(), &self.access)
    }

    /// Runs `attack` beside well-behaved clients until it has been at its `height` for [`REQUESTS`] requests. The
    /// clients must not notice, and the gateway's memory must stay within bounds.
    pub(crate) async fn run_attack(
        &self,
        what: &str,
        attack: impl FnOnce() -> Load,
        height: impl AsyncFn(&Done) -> bool,
    ) -> AttackOutcome {
        let clients = self.clients();
        assert_eventually("well-behaved clients are running", SOON, async || clients.completed() >= 500)
            .await;
        let (memory, started) = (self.memory(), Instant::now());
        memory.forget_peak();
        let before = memory.now();
        let load = attack();
        assert_eventually("the attack is at its height", SOON, async || height(&load.done).await).await;
        let (at_height, from) = (started.elapsed(), clients.completed());
        let mut open = 0.0_f64;
        let mut scrapes = tokio::time::interval(SCRAPE_INTERVAL);
        assert_eventually("well-behaved clients are served", SOON, async || {
            scrapes.tick().await;
            open = open.max(self.metric("doorward_connections_open").await);
            clients.completed() >= from + REQUESTS && height(&load.done).await
        })
        .await;
        let requests = clients.completed() - from;
        let done = load.end().await;
        let (took, peak) = (started.elapsed(), memory.peak());
        // The well-behaved clients keep running: an idle process returns no memory.
        let back = async || {
            scrapes.tick().await;
            memory.now().over(before) < BACK
        };
        let is_back = eventually(SOON, back).await;
        let (after, results) = (memory.now(), clients.stop().await);
        assert_eventually("all connections are closed", SOON, async || {
            scrapes.tick().await;
            self.metric("doorward_connections_open").await == 0.0
        })
        .await;
        measured(format_args!(
            "{what}: {} connections made, {} ended by the gateway, at most {open} open, {} sent; resident {before}, peak {peak}, \
             afterwards {after}; well-behaved clients: {:.3} % of {} ({requests} at its height), median {:?}, 99 % {:?}, longest {:?}; \
             height after {at_height:?}, {took:?} in all",
            done.get(|done| &done.opened),
            done.get(|done| &done.ended),
            done.get(|done| &done.sent),
            results.success(),
            results.count(),
            results.at(50),
            results.at(99),
            results.at(100),
        ));
        let failed = results.failed();
        assert!(
            results.success() >= 99.9,
            "{what}: {} failed: {:#?}",
            failed.len(),
            &failed[..failed.len().min(5)]
        );
        assert!(peak.over(before) < HEIGHT, "{what}: it grew from {before} to {peak}");
        assert!(is_back, "{what}: it grew from {before} to {peak}, and then it was {after}");
        AttackOutcome { done, open }
    }
}

/// Outcome of an attack.
pub(crate) struct AttackOutcome {
    pub(crate) done: std::sync::Arc<Done>,
    /// Highest number of connections seen open at once.
    pub(crate) open: f64,
}

async fn login(gateway: &Serving, trust: Option<&Trust>, scheme: &str) -> String {
    let body = json!({ "username": "ada", "password": PASSWORD }).to_string();
    let origin = format!("{scheme}://gateway.test");
    let headers = [("Content-Type", "application/json"), ("Origin", origin.as_str())];
    let response = match trust {
        Some(trust) => {
            let stream = trust.connect(gateway.public, "gateway.test").await.expect("a handshake");
            Client::over(stream).request("POST", "/auth/login", &headers, body.as_bytes()).await
        }
        None => http::request(gateway.public, "POST", "/auth/login", &headers, body.as_bytes()).await,
    };
    assert_eq!(response.status, 200, "{}", response.text());
    response.member("access_token")
}

/// Raises the open file limit to the hard limit: most systems start with 1,024.
fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
}
