//! Several gateways on one Postgres and one Redis, and a real provider.

mod personal_data;
mod rechecks;

use std::sync::Arc;
use std::time::Duration;

use doorward::clock::TravelClock;
use doorward::id::{Random, SessionId, SystemRandom, base64url};
use serde_json::Value;

pub(crate) use personal_data::monitor;

use super::Provider;
use super::Surfer;
use crate::browser::{Browser, ORIGIN, later};
use crate::postgres::{self, Server};
use crate::redis::{NONE, RedisServer};
use crate::support::gateway::{ROUTES, SOON};
use crate::support::port::free_port;
use crate::support::{Setup, TestGateway, assert_eventually};

/// The gateways and what they share. Stores and provider are private to one test.
struct Fleet {
    provider: Provider,
    gateways: Vec<TestGateway>,
    redis: RedisServer,
    postgres: Arc<Server>,
    database: String,
}

impl Fleet {
    /// Starts `gateways`, and a provider with these people. `more` are lines of the provider's table.
    async fn start(gateways: usize, people: &Value, more: &str) -> Self {
        let gateway_port = free_port();
        let provider = Provider::with(ORIGIN, gateway_port, people).await;
        let redis = RedisServer::start(NONE).await;
        let started = tokio::task::spawn_blocking(|| {
            let server = Server::start("");
            let database = server.database();
            (Arc::new(server), database)
        });
        let (postgres, database) = started.await.expect("a server");
        let random: &dyn Random = &SystemRandom;
        let master_key = base64url(random.bytes::<32>());
        let clock = Arc::new(TravelClock::new());
        let mut fleet = Self { provider, gateways: Vec::new(), redis, postgres, database };
        for at in 0..gateways {
            let port = if at == 0 { gateway_port } else { 0 };
            let host = format!("127.0.0.1:{}", fleet.postgres.port);
            let setup = Setup {
                listen: format!("127.0.0.1:{port}"),
                server: "[server.limits]\nconnections_per_ip = 10000".into(),
                vault: format!(
                    // Everything shares the machine: what is late is not away.
                    "url = \"{}\"\nmaster_key = \"{master_key}\"\nstatement_timeout = \"60s\"\nlease = \"20s\"",
                    postgres::url(&host, &fleet.database)
                ),
                sessions: format!("url = \"redis://127.0.0.1:{}/0\"", fleet.redis.port),
                routes: format!("{ROUTES}{}", fleet.provider.table("sso", more)),
                clock: Arc::clone(&clock),
                ..Setup::default()
            };
            let gateway = TestGateway::with(setup).await;
            assert_eventually("Redis is used", SOON, async || {
                gateway.sessions.check(SessionId::from_bytes([0; 16])).await.is_ok()
            })
            .await;
            fleet.gateways.push(gateway);
        }
        fleet
    }

    /// A browser in which a person signs in at a gateway.
    async fn signed_in(&self, name: &str, at: usize) -> Surfer {
        let mut surfer = Surfer::new(&self.gateways[at], self.provider.address());
        surfer.sign_in_as(name).await;
        surfer
    }

    /// Runs SQL in the vault, as the superuser.
    async fn sql(&self, statement: &str) -> String {
        let (server, database) = (Arc::clone(&self.postgres), self.database.clone());
        let statement = statement.to_owned();
        tokio::task::spawn_blocking(move || server.psql(&database, &statement)).await.expect("an answer")
    }

    /// Advances the gateways' clock, so that a renewal is not answered with the one before (five seconds).
    async fn pass(&self, span: Duration) {
        self.gateways[0].clock.advance(span);
        for gateway in &self.gateways {
            later(gateway, Duration::ZERO).await;
        }
    }

    /// Makes the recheck of every session due now.
    async fn make_due(&self) {
        self.pass(Duration::from_secs(10)).await;
        self.sql("UPDATE session_providers SET check_at = now() - interval '1 minute'").await;
    }

    /// Sum of a metric over all gateways.
    async fn metric(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for gateway in &self.gateways {
            sum += gateway.metric(name).await;
        }
        sum
    }
}

/// The browser without its access cookie, as after that has expired: the next request renews it.
fn expired(browser: &Browser) -> Browser {
    let mut browser = browser.clone();
    browser.cookies.remove("__Host-doorward-access");
    browser
}
