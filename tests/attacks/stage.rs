//! A gateway that is a process, with an app behind it and somebody signed in; and what is asked of it under every attack.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::depot::Depot;
use crate::house::House;
use crate::memory::{Bytes, Memory};
use crate::polite::Polite;
use crate::serving::Serving;
use crate::siege::{Done, Siege};
use crate::support::eventually::eventually;
use crate::support::tls::{self, Trust};
use crate::support::{Client, PASSWORD, assert_eventually, http, measured};

/// Requests of polite people while an attack is at its height: of so many, 99.9 % leaves room for one.
const REQUESTS: u64 = 1000;
/// What an attack may cost, at its height.
const HEIGHT: Bytes = Bytes::mib(256);
/// What of it may stay.
const BACK: Bytes = Bytes::mib(32);
/// Long enough for anything that is bound to happen on two busy cores.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Between two looks at the metrics: they count the process's files, one by one.
const LOOK: Duration = Duration::from_millis(250);

static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The gateway. One at a time: attacks are measured.
pub(crate) struct Stage {
    pub(crate) app: Depot,
    pub(crate) gateway: Serving,
    /// Whom its clients believe, if it speaks TLS.
    pub(crate) trust: Option<Trust>,
    pub(crate) access: String,
    pub(crate) house: House,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Stage {
    /// Without TLS; with more lines for `[server]`.
    pub(crate) async fn clear(server: &str) -> Self {
        Self::raise(server, false).await
    }

    /// With TLS, and so HTTP/2.
    pub(crate) async fn tls(server: &str) -> Self {
        Self::raise(server, true).await
    }

    async fn raise(server: &str, over_tls: bool) -> Self {
        let alone = MACHINE.lock().await;
        raise_limit();
        let (app, house) = (Depot::start().await, House::empty());
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

    /// The sum of the metric lines that start with `name`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = http::request(self.gateway.admin, "GET", "/metrics", &[], b"").await.text();
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines().filter(|line| line.starts_with(name)).filter_map(value).sum()
    }

    fn people(&self) -> Polite {
        Polite::start(self.gateway.public, self.trust.as_ref(), &self.access)
    }

    /// People at work while `attack` is made, from when it is at its `height` on: they must not notice, and the gateway's
    /// memory must stay within bounds.
    pub(crate) async fn withstand(
        &self,
        what: &str,
        attack: impl FnOnce() -> Siege,
        height: impl AsyncFn(&Done) -> bool,
    ) -> Withstood {
        let people = self.people();
        assert_eventually("people are at work", SOON, async || people.asked() >= 500).await;
        let (memory, begun) = (self.memory(), Instant::now());
        memory.forget_peak();
        let before = memory.now();
        let siege = attack();
        assert_eventually("it is at its height", SOON, async || height(&siege.done).await).await;
        let (at_height, from) = (begun.elapsed(), people.asked());
        let mut open = 0.0_f64;
        let mut looks = tokio::time::interval(LOOK);
        assert_eventually("people are served", SOON, async || {
            looks.tick().await;
            open = open.max(self.metric("doorward_connections_open").await);
            people.asked() >= from + REQUESTS && height(&siege.done).await
        })
        .await;
        let requests = people.asked() - from;
        let done = siege.end().await;
        let (took, peak) = (begun.elapsed(), memory.peak());
        // With people at work, as ever: a process in which nothing happens gives nothing back.
        let back = async || {
            looks.tick().await;
            memory.now().over(before) < BACK
        };
        let is_back = eventually(SOON, back).await;
        let (after, manners) = (memory.now(), people.stop().await);
        assert_eventually("nothing is held", SOON, async || {
            looks.tick().await;
            self.metric("doorward_connections_open").await == 0.0
        })
        .await;
        measured(format_args!(
            "{what}: {} connections made, {} ended by the gateway, at most {open} open, {} sent; resident {before}, peak {peak}, \
             afterwards {after}; polite: {:.3} % of {} ({requests} at its height), median {:?}, 99 % {:?}, longest {:?}; \
             height after {at_height:?}, {took:?} in all",
            done.get(|done| &done.opened),
            done.get(|done| &done.ended),
            done.get(|done| &done.sent),
            manners.success(),
            manners.count(),
            manners.at(50),
            manners.at(99),
            manners.at(100),
        ));
        let failed = manners.failed();
        assert!(
            manners.success() >= 99.9,
            "{what}: {} failed: {:#?}",
            failed.len(),
            &failed[..failed.len().min(5)]
        );
        assert!(peak.over(before) < HEIGHT, "{what}: it grew from {before} to {peak}");
        assert!(is_back, "{what}: it grew from {before} to {peak}, and then it was {after}");
        Withstood { done, open }
    }
}

/// What an attack came to.
pub(crate) struct Withstood {
    pub(crate) done: std::sync::Arc<Done>,
    /// The most connections that were seen open at once.
    pub(crate) open: f64,
}

async fn login(gateway: &Serving, trust: Option<&Trust>, scheme: &str) -> String {
    let body = json!({ "username": "ada", "password": PASSWORD }).to_string();
    let origin = format!("{scheme}://gateway.test");
    let headers = [("Content-Type", "application/json"), ("Origin", origin.as_str())];
    let answer = match trust {
        Some(trust) => {
            let stream = trust.connect(gateway.public, "gateway.test").await.expect("a handshake");
            Client::over(stream).request("POST", "/auth/login", &headers, body.as_bytes()).await
        }
        None => http::request(gateway.public, "POST", "/auth/login", &headers, body.as_bytes()).await,
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.member("access_token")
}

/// As many files as this process may have: most systems begin with 1,024.
fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
}
