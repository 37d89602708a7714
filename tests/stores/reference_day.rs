//! Reference day: database cost of a day of 1,000 users.
//!
//! 1,000 users are signed in at the start. Each makes three visits of half an hour with 100 requests in all. Access
//! tokens last 30 minutes, so each visit starts with a refresh. The day is replayed fast: the gateway's clock jumps
//! between the requests, so that cached data ages as it would. Querying the database for each request would cost
//! 100,000 statements.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward::auth::keys;
use doorward::config::Algorithm;
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::{Epoch, Roles};
use doorward::password::{Hasher, Password};
use doorward::token::access::FIRST_PARTY_CLIENT;
use doorward::token::refresh::{FamilyId, RefreshToken};
use doorward::token::seal::MasterSecret;
use doorward::vault::{NewSession, NewUser};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gateway::{SOON, Tokens};
use crate::support::{Client, PASSWORD, Setup, assert_eventually, measured};
use crate::world::{Replica, World};

const USERS: usize = 1000;
/// Requests per visit.
const VISITS: [u32; 3] = [34, 33, 33];
const VISIT: Duration = Duration::from_secs(30 * 60);
/// Concurrent users.
const AT_ONCE: usize = 16;

/// Background statements of the gateway, independent of traffic: the log, the sweep, and the audit trail, which is linked each
/// second and whose old rows are looked for each minute, in transactions. What traffic does in a transaction counts itself.
const BACKGROUND: &[&str] = &[
    "pg_current_snapshot",
    "pg_try_advisory_xact_lock",
    "LISTEN",
    "FROM audit",
    "audit_chain",
    "AS cutoff",
    "UPDATE audit ",
    "BEGIN",
    "COMMIT",
];

/// Creates a session for every user and returns the refresh tokens. Uses the store traits directly, to avoid hashing
/// each password.
async fn sign_all_users_in(world: &World, replica: &Replica) -> Vec<String> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let hasher = Hasher::start(1, 1, random.clone()).expect("a thread");
    let hash = hasher.hash(Password::new(PASSWORD).expect("short")).await.expect("a hash");
    let master = MasterSecret::parse(world.master_key(), "the test").expect("a key");
    let vault = &replica.gateway.vault;
    let keys = keys::establish(vault, &master, Algorithm::EdDsa, random.as_ref()).await.expect("keys");
    let mut tokens = Vec::new();
    for at in 0..USERS {
        let user_id = UserId::random(random.as_ref());
        let (login, roles) = (format!("user{at}").parse().expect("a login"), Roles::default());
        let new = NewUser::new(user_id, login, hash.clone(), roles);
        vault.users.create(&new).await.expect("a user");
        let token = RefreshToken { family: FamilyId::random(random.as_ref()), generation: 0 };
        let session = NewSession {
            id: SessionId::random(random.as_ref()),
            user_id,
            epoch: Epoch(0),
            client_id: FIRST_PARTY_CLIENT.to_owned(),
            family: token.family.digest(),
            refresh_kid: 0,
            idle: Duration::from_secs(86_400),
            absolute: Duration::from_secs(86_400),
            address: None,
            user_agent: None,
            methods: doorward::identity::Methods::PASSWORD,
            proven_ago: Duration::ZERO,
        };
        let grant = vault.sessions.open(&session).await.expect("a session");
        let token = token.encode(0, &keys, grant.now).expect("the first key");
        tokens.push(token.expose().clone());
    }
    tokens
}

/// Refreshes sequentially on one connection.
async fn refresh(address: SocketAddr, mine: Vec<String>) -> Vec<Tokens> {
    let mut client = Client::connect(address).await;
    let mut renewed = Vec::new();
    for refresh_token in mine {
        let body = json!({ "refresh_token": refresh_token }).to_string();
        let headers = [("Content-Type", "application/json")];
        renewed.push(Tokens::of(&client.request("POST", "/auth/refresh", &headers, body.as_bytes()).await));
    }
    renewed
}

async fn visit(address: SocketAddr, mine: Vec<Tokens>) -> Vec<Tokens> {
    let mut client = Client::connect(address).await;
    for tokens in &mine {
        let bearer = format!("Bearer {}", tokens.access);
        let response = client.request("GET", "/", &[("Authorization", &bearer)], b"").await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    mine
}

/// Runs `work` for every user, several at a time.
async fn each<A, B, W>(people: Vec<A>, work: impl Fn(Vec<A>) -> W) -> Vec<B>
where
    A: Clone,
    B: Send + 'static,
    W: Future<Output = Vec<B>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for some in people.chunks(people.len().div_ceil(AT_ONCE)) {
        tasks.spawn(work(some.to_vec()));
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn day_of_a_thousand_users_costs_three_statements_each() {
    let world = World::start().await;
    // A busy machine must not make a statement time out: this test counts them.
    let vault = "statement_timeout = \"30s\"".to_owned();
    let setup = Setup { tokens: "access_ttl = \"30m\"".to_owned(), vault, ..Setup::default() };
    let replica = world.replica_with("1s", "", setup).await;
    let address = replica.gateway.address();
    let mut refreshes = sign_all_users_in(&world, &replica).await;
    world.postgres.count_statements_from_now();

    let mut requests = 0;
    for visits in VISITS {
        let mut tokens = each(refreshes, |mine| refresh(address, mine)).await;
        for _ in 0..visits {
            tokens = each(tokens, |mine| visit(address, mine)).await;
            requests += tokens.len();
            replica.gateway.clock.advance(VISIT / visits);
            assert_eventually("the lease is held again", SOON, async || {
                replica.gateway.probe("/readyz").await.text() == "ready\n"
            })
            .await;
        }
        refreshes = tokens.into_iter().map(|tokens| tokens.refresh).collect();
        assert_eq!(refreshes.len(), USERS);
    }

    let statements = world.postgres.counted_statements();
    let is_background = |query: &str| BACKGROUND.iter().any(|word| query.contains(word));
    // Which generation was used: many sessions in one statement, four times a second at most.
    let is_use = |query: &str| query.contains("used AS MATERIALIZED");
    let uses: i64 = statements.iter().filter(|(query, _)| is_use(query)).map(|(_, calls)| calls).sum();
    let count = |background: bool| -> i64 {
        statements
            .iter()
            .filter(|(query, _)| !is_use(query) && is_background(query) == background)
            .map(|(_, calls)| calls)
            .sum()
    };
    let (foreground, background) = (count(false), count(true));
    measured(format_args!(
        "reference day: {requests} requests of {USERS} users, {foreground} foreground statements, {background} background, {uses} of use"
    ));
    for (query, calls) in &statements {
        let kind = if is_background(query) { "background" } else { "foreground" };
        measured(format_args!("{calls:7} {kind} {}", query.chars().take(100).collect::<String>()));
    }
    assert_eq!(requests, 100 * USERS);
    let refreshes = i64::try_from(3 * USERS).expect("small");
    assert!(foreground >= refreshes, "{foreground}: is anything counted?");
    assert!((1..=refreshes / 5).contains(&uses), "{uses} statements of use for {refreshes} refreshes");
    // A few more: the sweep and the keys.
    assert!(foreground <= refreshes + 20, "{foreground} foreground statements: {statements:#?}");
}
