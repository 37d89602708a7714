//! The dashboard and the alerts in operation: two gateways under load, a real Prometheus, and an outage in which Redis,
//! Postgres and one gateway are killed and restarted.

use std::net::SocketAddr;
use std::time::Duration;

use doorward::id::{Random, SystemRandom, base64url};
use tokio::time::Instant;

use crate::dashboard;
use crate::file;
use crate::postgres::Postgres;
use crate::prometheus::Prometheus;
use crate::replica::{Replica, Surroundings};
use crate::rules::{RULES, hurried};
use crate::servers::{RedisServer, free_port};
use crate::support::{TestApp, measured};
use crate::traffic::Traffic;

/// An alert fires after its `for` and its window, both a sixtieth of the shipped ones: at most 20 s. The margin is for
/// a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Memory limit of Redis, so that its usage can be shown as a ratio.
const REDIS: &[&str] = &["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"];

/// All parts of one installation.
struct Installation {
    redis: RedisServer,
    postgres: Postgres,
    replicas: [Replica; 2],
    prometheus: Prometheus,
    _app: TestApp,
}

impl Installation {
    async fn start() -> Self {
        let (redis, postgres, app) =
            tokio::join!(RedisServer::start(REDIS), Postgres::start(), TestApp::start());
        let random: &dyn Random = &SystemRandom;
        let around = Surroundings {
            app: app.address(),
            gone: SocketAddr::from(([127, 0, 0, 1], free_port())),
            postgres: &postgres.url(postgres.address()),
            redis: SocketAddr::from(([127, 0, 0, 1], redis.port)),
            master_key: &base64url(random.bytes::<32>()),
        };
        let mut replicas = [Replica::new(&around), Replica::new(&around)];
        for replica in &mut replicas {
            replica.start();
        }
        for user in ["ada", "eve"] {
            replicas[0].add(user);
        }
        let admin = [replicas[0].admin, replicas[1].admin];
        let prometheus = Prometheus::start(&admin, &hurried(&file(RULES))).await;
        Self { redis, postgres, replicas, prometheus, _app: app }
    }

    fn gateways(&self) -> [SocketAddr; 2] {
        [self.replicas[0].public, self.replicas[1].public]
    }

    async fn until(&self, alerts: &[&str], fire: bool) {
        for alert in alerts {
            self.prometheus.until(alert, fire, PATIENCE).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_reflect_live_events() {
    let mut all = Installation::start().await;
    all.prometheus.until_some("count(up == 1) == 2", PATIENCE).await;
    // It was down before the first scrape.
    all.until(&["DoorwardDown"], false).await;
    let (began, start) = (Instant::now(), all.prometheus.now().await);
    assert_rules_are_evaluated(&all.prometheus).await;

    // Ordinary traffic, with shortened durations.
    let mut traffic = Traffic::new();
    traffic.ordinary(all.gateways());
    let busy = "min(sum by (instance) (doorward_requests_total{outcome=\"forwarded\"})) > 600";
    all.prometheus.until_some(busy, PATIENCE).await;
    let fired = all.prometheus.firing().await;
    assert!(fired.is_empty(), "on an ordinary day nobody is called: {fired:?}");

    traffic.unusual(all.gateways());
    // User lookups wait and hold their vault connections.
    all.postgres.execute("BEGIN; LOCK TABLE users; SELECT pg_sleep(0.8); COMMIT");
    all.until(&["DoorwardRefreshReuse", "DoorwardPasswordGuessing", "DoorwardAppUnreachable"], true).await;
    assert!(!all.prometheus.firing().await.contains("DoorwardSessionStoreDown"));

    all.redis.kill();
    all.replicas[1].write("nonsense");
    all.until(&["DoorwardConfigRejected", "DoorwardSessionStoreDown"], true).await;
    all.redis.spawn().await;
    all.replicas[1].write("");
    all.until(&["DoorwardConfigRejected", "DoorwardSessionStoreDown"], false).await;

    all.postgres.stop();
    all.until(&["DoorwardLeaseNotHeld", "DoorwardSignInFailing", "DoorwardUndecided"], true).await;
    all.postgres.start_again();
    all.until(&["DoorwardLeaseNotHeld", "DoorwardSignInFailing", "DoorwardUndecided"], false).await;

    all.replicas[1].kill();
    all.until(&["DoorwardReplicaDown"], true).await;
    all.replicas[1].start();
    all.until(&["DoorwardReplicaDown"], false).await;

    traffic.end().await;
    let end = all.prometheus.now().await;
    assert_every_panel_shows_something(&all.prometheus, start, end).await;
    measured(format_args!("dashboard and alerts: {:?} under load", began.elapsed()));
}

/// Asserts that Prometheus evaluates every rule on real series without errors.
async fn assert_rules_are_evaluated(prometheus: &Prometheus) {
    let response = prometheus.ask("rules", &[]).await;
    let groups = response["groups"].as_array().expect("groups");
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")) {
        assert_ne!(rule["health"], "err", "{}: {}", rule["name"], rule["lastError"]);
    }
}

/// Asserts that every dashboard query returns a value, and a non-zero one at some time.
async fn assert_every_panel_shows_something(prometheus: &Prometheus, start: f64, end: f64) {
    let mut wrong = Vec::new();
    for question in dashboard::questions("doorward", "3s") {
        let history = prometheus.history(&question.query, start, end).await;
        let shows = history.iter().flatten().any(|value| value.is_finite() && *value != 0.0);
        if !shows {
            let seen = if history.is_empty() { "nothing" } else { "only zeros" };
            wrong.push(format!("{} shows {seen}: {}", question.panel, question.query));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
