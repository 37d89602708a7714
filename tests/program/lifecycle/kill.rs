//! SIGKILL at any moment: acknowledged changes survive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::{House, PASSWORD};
use crate::http;
use crate::process::Running;
use crate::serving::{Serving, Tokens, code, credentials, logout, post};

const ROUNDS: u64 = 12;
const SOON: Duration = Duration::from_secs(30);

/// Changes that the gateway acknowledged before it was killed.
#[derive(Default)]
struct Acknowledged {
    logins: Vec<Tokens>,
    logouts: Vec<Tokens>,
    /// Refresh tokens of each session, in order; the last two are acknowledged.
    refreshes: Vec<[Tokens; 2]>,
}

impl Acknowledged {
    fn merge(&mut self, other: Self) {
        self.logins.extend(other.logins);
        self.logouts.extend(other.logouts);
        self.refreshes.extend(other.refreshes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sigkill_loses_no_acknowledged_change() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let mut all = Acknowledged::default();
    for round in 0..ROUNDS {
        let mut gateway = house.serve();
        let count = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        clients.spawn(sign_in(gateway.public, Arc::clone(&count)));
        clients.spawn(renew(gateway.public, Arc::clone(&count)));
        clients.spawn(sign_out(gateway.public, Arc::clone(&count)));
        // A different moment each round: after a number of responses and some milliseconds.
        let enough = async || count.load(Ordering::SeqCst) as u64 > round % 5;
        assert_eventually("changes are acknowledged", SOON, enough).await;
        let jitter = tokio::time::Instant::now() + Duration::from_millis(round * 17 % 61);
        tokio::time::sleep_until(jitter).await;
        gateway.process.kill();
        let mut round = Acknowledged::default();
        while let Some(acknowledged) = clients.join_next().await {
            round.merge(acknowledged.expect("a client"));
        }
        check(&house.serve(), &round).await;
        all.merge(round);
    }
    assert!(
        !all.logins.is_empty() && !all.logouts.is_empty() && !all.refreshes.is_empty(),
        "nothing was tried"
    );
    // A later crash must not undo what an earlier one left.
    let gateway = house.serve();
    for tokens in &all.logins {
        assert_eq!(gateway.get("/", &tokens.access).await.status, 200);
    }
    for tokens in &all.logouts {
        assert_eq!(gateway.refusal("/", &tokens.access).await, (401, "token_revoked".into()));
    }
}

/// Checks after the restart that every acknowledged change holds.
async fn check(gateway: &Serving, acknowledged: &Acknowledged) {
    for tokens in &acknowledged.logins {
        assert_eq!(gateway.get("/", &tokens.access).await.status, 200, "a login was lost");
    }
    for tokens in &acknowledged.logouts {
        assert_eq!(
            gateway.refusal("/", &tokens.access).await,
            (401, "token_revoked".into()),
            "a logout was lost"
        );
        assert_eq!(code(&gateway.refresh(&tokens.refresh).await), (401, "refresh_invalid".into()));
    }
    for [old, new] in &acknowledged.refreshes {
        for token in [&old.access, &new.access] {
            assert_eq!(gateway.get("/", token).await.status, 200);
        }
        // Within the grace the response is the same, byte for byte.
        let again = Tokens::of(&gateway.refresh(&old.refresh).await);
        assert_eq!(again.refresh, new.refresh, "a refresh was lost");
        let next = Tokens::of(&gateway.refresh(&new.refresh).await);
        assert_eq!(gateway.get("/", &next.access).await.status, 200);
        // Two generations back gets nothing, also across a crash.
        assert_eq!(code(&gateway.refresh(&old.refresh).await), (401, "refresh_invalid".into()));
        assert_eq!(gateway.get("/", &next.access).await.status, 200);
    }
}

async fn sign_in(gateway: SocketAddr, count: Arc<AtomicUsize>) -> Acknowledged {
    let mut all = Acknowledged::default();
    while let Some(tokens) = login(gateway).await {
        all.logins.push(tokens);
        count.fetch_add(1, Ordering::SeqCst);
    }
    all
}

async fn renew(gateway: SocketAddr, count: Arc<AtomicUsize>) -> Acknowledged {
    let mut all = Acknowledged::default();
    while let Some(old) = login(gateway).await {
        let refresh = json!({ "refresh_token": old.refresh });
        let Some(response) = post(gateway, "/auth/refresh", &refresh).await else { break };
        all.refreshes.push([old, Tokens::of(&response)]);
        count.fetch_add(1, Ordering::SeqCst);
    }
    all
}

async fn sign_out(gateway: SocketAddr, count: Arc<AtomicUsize>) -> Acknowledged {
    let mut all = Acknowledged::default();
    while let Some(tokens) = login(gateway).await {
        let Some(response) = logout(gateway, &tokens.access).await else { break };
        assert_eq!(response.status, 200, "{}", response.text());
        all.logouts.push(tokens);
        count.fetch_add(1, Ordering::SeqCst);
    }
    all
}

async fn login(gateway: SocketAddr) -> Option<Tokens> {
    let response = post(gateway, "/auth/login", &credentials("ada", PASSWORD)).await?;
    Some(Tokens::of(&response))
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_during_first_start_leaves_a_startable_folder() {
    for moment in 0..10_u64 {
        let house = House::empty();
        let mut first = Running::start(&mut house.command(&["serve"]));
        // The interesting moments are between and after the creation of the files.
        let file = ["gateway.toml", "doorward.db", "doorward.db-wal", "master.key"][moment as usize % 4];
        assert_eventually(file, SOON, async || house.path(file).exists()).await;
        tokio::time::sleep(Duration::from_millis(moment * 3 / 2)).await;
        first.kill();
        let gateway = house.serve();
        let ready = http::request(gateway.admin, "GET", "/readyz", &[], b"").await;
        assert_eq!(ready.status, 200, "killed after {file}, moment {moment}: {}", ready.text());
        let keys = http::request(gateway.public, "GET", "/.well-known/jwks.json", &[], b"").await.json();
        assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1), "killed after {file}: {keys}");
        assert_eq!(gateway.stop().code(), Some(0));
    }
}
