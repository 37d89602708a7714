//! Attacks on the sign-in: two gateways on one Redis and one Postgres, restarts, forged headers, many accounts, many
//! addresses; and ordinary people, who notice nothing of it.

mod attack;
mod codes;
mod delay;
mod outage;
mod people;
mod ways;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use doorward::clock::TravelClock;
use doorward::id::{Random, SessionId, SystemRandom, base64url};
use serde_json::json;

use crate::browser::{Browser, later};
use crate::postgres::{self, Server};
use crate::redis::{NONE, RedisServer};
use crate::support::gateway::SOON;
use crate::support::http::Client;
use crate::support::{PASSWORD, Setup, TestGateway, assert_eventually, tls};

/// The gateways and what they share. The stores are private to one test.
struct Fleet {
    gateways: Vec<TestGateway>,
    redis: RedisServer,
    postgres: Arc<Server>,
    database: String,
    master_key: String,
    clock: Arc<TravelClock>,
}

impl Fleet {
    async fn start(gateways: usize) -> Self {
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
        let mut fleet = Self { gateways: Vec::new(), redis, postgres, database, master_key, clock };
        for _ in 0..gateways {
            let gateway = fleet.gateway().await;
            fleet.gateways.push(gateway);
        }
        fleet
    }

    /// Starts a gateway on the stores, which uses Redis.
    async fn gateway(&self) -> TestGateway {
        let host = format!("127.0.0.1:{}", self.postgres.port);
        let setup = Setup {
            vault: format!(
                // Everything shares the machine: what is late is not away.
                "url = \"{}\"\nmaster_key = \"{}\"\nstatement_timeout = \"60s\"\nlease = \"20s\"",
                postgres::url(&host, &self.database),
                self.master_key
            ),
            // So that the replies of a busy Redis count.
            sessions: format!("url = \"redis://127.0.0.1:{}/0\"\ntimeout = \"1s\"", self.redis.port),
            clock: Arc::clone(&self.clock),
            ..Setup::default()
        };
        let gateway = TestGateway::with(setup).await;
        assert_eventually("Redis is used", SOON, async || {
            gateway.sessions.check(SessionId::from_bytes([0; 16])).await.is_ok()
        })
        .await;
        gateway
    }

    /// Lets time pass at the gateways and in Redis.
    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
        self.redis.travel("dw:{t}", span).await;
        for gateway in &self.gateways {
            later(gateway, Duration::ZERO).await;
        }
    }

    /// Number of attempts that a gateway has counted alone: on a busy machine Redis does not always answer within 200 ms.
    async fn alone(&self) -> usize {
        let mut sum = 0.0;
        for gateway in &self.gateways {
            sum += gateway.metric("doorward_throttle_alone_total").await;
        }
        sum as usize
    }

    /// Number of passwords that the gateways have hashed.
    async fn hashes(&self) -> usize {
        let mut sum = 0.0;
        for gateway in &self.gateways {
            sum += gateway.metric("doorward_hash_seconds_count").await;
        }
        sum as usize
    }
}

/// A guess.
#[derive(Clone, Debug)]
struct Guess {
    name: String,
    password: &'static str,
    from: IpAddr,
    headers: Vec<(&'static str, String)>,
}

impl Guess {
    fn at(name: impl Into<String>) -> Self {
        let from = IpAddr::from([127, 0, 0, 1]);
        Self { name: name.into(), password: "wrong password", from, headers: Vec::new() }
    }

    fn from(self, last: u8) -> Self {
        Self { from: IpAddr::from([127, 0, 0, last]), ..self }
    }

    fn saying(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends the guess and returns the status.
    async fn send(self, to: SocketAddr) -> u16 {
        let stream = tls::connect_from(self.from, to).await.expect("a connection");
        let body = json!({ "username": self.name, "password": self.password }).to_string();
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        Client::over(stream).request("POST", "/auth/login", &headers, body.as_bytes()).await.status
    }
}

/// Sends guesses to gateways in turn, some at a time. Returns how many were tried; the others were refused by the throttle.
async fn tried(gateways: &[TestGateway], guesses: impl IntoIterator<Item = Guess>) -> usize {
    const AT_ONCE: usize = 16;
    let (mut running, mut statuses) = (tokio::task::JoinSet::new(), Vec::new());
    for (at, guess) in guesses.into_iter().enumerate() {
        running.spawn(guess.send(gateways[at % gateways.len()].address()));
        if running.len() >= AT_ONCE {
            statuses.push(running.join_next().await.expect("one").expect("no panic"));
        }
    }
    statuses.extend(running.join_all().await);
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 401).count()
}

/// A browser in which ada has signed in before, and signed out.
async fn known_browser(gateway: &TestGateway, name: &str) -> Browser {
    let mut browser = Browser::signed_in(gateway, name).await;
    browser.cookies.retain(|name, _| !name.ends_with("access") && !name.ends_with("refresh"));
    browser
}

/// Signs in at every gateway from a known browser.
async fn assert_owner_signs_in(known: &Browser, gateways: &[TestGateway], name: &str) {
    for gateway in gateways {
        let response = known.at(gateway).sign_in(name, PASSWORD, "/auth/login", &[]).await;
        assert_eq!(response.status, 303, "{}", response.text());
    }
}
