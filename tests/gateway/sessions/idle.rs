//! Idle timeouts: activity that extends a session, consistently at all gateways.

use std::sync::Arc;
use std::time::Duration;

use doorward::clock::Timestamp;
use doorward::server::Stores;
use doorward::session::memory::MemoryStore;
use doorward::vault::SessionPage;

use crate::browser::{Browser, later};
use crate::support::gateway::{SOON, Tokens};
use crate::support::{Client, Faults, Op, Setup, Socket, TestGateway, assert_eventually};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sessions with an idle timeout of ten minutes; a twentieth of it is 30 s.
fn ten_minutes() -> Setup {
    Setup {
        tokens: r#"access_ttl = "10m""#.to_owned(),
        sessions: "idle_timeout = \"10m\"\nstream_lease = \"1h\"".to_owned(),
        ..Setup::default()
    }
}

/// Nearly the whole timeout; the rest is a margin for a busy machine.
const NEARLY: Duration = seconds(500);

/// Browser sessions with this idle timeout.
fn browsers(idle: &str) -> Setup {
    Setup { login: format!("[browser]\nidle_timeout = \"{idle}\""), ..Setup::default() }
}

async fn end_in_vault(gateway: &TestGateway, session: &str) -> Timestamp {
    let id = session.parse().expect("an id");
    gateway.vault.sessions.find(id).await.expect("an answer").expect("the session").grant.ends_at
}

/// Runs `work` and waits until the vault has recorded the use of the session.
async fn noted<T>(gateway: &TestGateway, session: &str, work: impl Future<Output = T>) -> T {
    let before = end_in_vault(gateway, session).await;
    let done = work.await;
    assert_eventually("the use is written", SOON, async || end_in_vault(gateway, session).await > before)
        .await;
    done
}

async fn served(gateway: &TestGateway, tokens: &Tokens) {
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_with_access_token_keeps_its_session_from_idling() {
    let gateway = TestGateway::with(ten_minutes()).await;
    gateway.user("ada", &[]).await;
    let (used, unused) = (gateway.login("ada").await, gateway.login("ada").await);
    later(&gateway, NEARLY).await;
    noted(&gateway, &used.session, served(&gateway, &used)).await;
    later(&gateway, NEARLY).await;
    assert_eq!(gateway.refresh(&unused.refresh).await.code(), "refresh_invalid");
    Tokens::of(&gateway.refresh(&used.refresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_in_constant_use_outlives_a_timeout_of_one_minute() {
    let gateway = TestGateway::with(browsers("1m")).await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    for round in 0..20 {
        later(&gateway, seconds(20)).await;
        let response = browser.fetch("/").await;
        assert_eq!(response.status, 200, "round {round}: {}", response.text());
    }
    later(&gateway, seconds(61)).await;
    assert_ne!(browser.fetch("/").await.status, 200, "idle for longer than a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_is_signed_out_two_minutes_after_last_request() {
    let gateway = TestGateway::with(browsers("2m")).await;
    let user = gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let session = gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows")[0]
        .grant
        .session_id
        .to_string();
    // With and without a renewal at the same time.
    for pause in [59, 82, 100, 30, 100] {
        later(&gateway, seconds(pause)).await;
        let response = noted(&gateway, &session, browser.fetch("/")).await;
        assert_eq!(response.status, 200, "after {pause} s: {}", response.text());
    }
    later(&gateway, seconds(121)).await;
    assert_ne!(browser.fetch("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_at_one_gateway_keeps_the_session_alive_at_another() {
    let one = TestGateway::with(ten_minutes()).await;
    one.user("ada", &[]).await;
    let setup = Setup { folder: Some(one.folder.clone()), clock: one.clock.clone(), ..ten_minutes() };
    let two = TestGateway::with(setup).await;
    let tokens = one.login("ada").await;
    served(&two, &tokens).await;
    later(&one, NEARLY).await;
    noted(&one, &tokens.session, served(&one, &tokens)).await;
    later(&one, NEARLY).await;
    assert_eventually("the other is current", SOON, async || two.probe("/readyz").await.status == 200).await;
    Tokens::of(&two.refresh(&tokens.refresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_traffic_extends_the_session_and_silence_does_not() {
    let gateway = TestGateway::with(ten_minutes()).await;
    gateway.user("ada", &[]).await;
    let (talking, silent) = (gateway.login("ada").await, gateway.login("ada").await);
    let mut socket = Socket::open(gateway.address(), "/ws", &talking.access).await;
    let mut other = Socket::open(gateway.address(), "/ws", &silent.access).await;
    other.echo("hello").await;
    for _ in 0..4 {
        later(&gateway, NEARLY).await;
        noted(&gateway, &talking.session, socket.echo("still talking")).await;
    }
    other.until_closed().await;
    assert_eq!(gateway.metric(r#"doorward_requests_cut_total{cause="expired"}"#).await, 1.0);
    socket.echo("still here").await;
    later(&gateway, seconds(601)).await;
    socket.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_events_and_downloads_extend_the_session() {
    let gateway = TestGateway::with(ten_minutes()).await;
    gateway.user("ada", &[]).await;
    for target in ["/events", "/download"] {
        let tokens = gateway.login("ada").await;
        let mut stream = Client::asking(gateway.address(), target, &tokens.access).await;
        assert_eq!(stream.head().await.expect("an answer").status, 200);
        for _ in 0..4 {
            let before = end_in_vault(&gateway, &tokens.session).await;
            later(&gateway, NEARLY).await;
            // Activity from before the clock jump moves the end by the seconds that really passed.
            let moved = before + NEARLY / 2;
            assert_eventually("activity is written", SOON, async || {
                stream.some().await.expect("it goes on");
                end_in_vault(&gateway, &tokens.session).await > moved
            })
            .await;
        }
        Tokens::of(&gateway.refresh(&tokens.refresh).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_confirmed_by_session_store_closes_at_idle_timeout() {
    let clock = ten_minutes().clock;
    let shared = Arc::new(MemoryStore::new(clock.clone()));
    let sharing = |setup: Setup| {
        let sessions = Arc::clone(&shared);
        Setup { stores: Box::new(|stores| Stores { sessions, ..stores }), clock: clock.clone(), ..setup }
    };
    let one = TestGateway::with(sharing(ten_minutes())).await;
    one.user("ada", &[]).await;
    let two = TestGateway::with(sharing(Setup { folder: Some(one.folder.clone()), ..ten_minutes() })).await;
    // The other gateway knows her name from an earlier session.
    served(&two, &one.login("ada").await).await;
    let lookups = two.metric(r#"doorward_vault_statement_seconds_count{statement="find_session"}"#).await;
    let tokens = one.login("ada").await;
    let mut socket = Socket::open(two.address(), "/ws", &tokens.access).await;
    assert_eq!(
        two.metric(r#"doorward_vault_statement_seconds_count{statement="find_session"}"#).await,
        lookups,
        "confirmed by the session store"
    );
    later(&two, seconds(601)).await;
    socket.until_closed().await;
    assert_eq!(two.metric(r#"doorward_requests_cut_total{cause="expired"}"#).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_survives_when_its_last_use_cannot_be_written() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..ten_minutes() }).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    faults.fail(&[Op::Touch]);
    for _ in 0..4 {
        later(&gateway, NEARLY).await;
        socket.echo("in use").await;
    }
    assert_eventually("it was tried", SOON, async || faults.calls(Op::Touch) > 1).await;
    assert_eq!(gateway.refresh(&tokens.refresh).await.code(), "refresh_invalid", "the vault cannot know");
    faults.heal();
    assert_eventually("it is written now", SOON, async || {
        gateway.refresh(&tokens.refresh).await.status == 200
    })
    .await;
    socket.echo("still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_use_is_written_at_most_once_per_interval() {
    const TOUCHES: &str = r#"doorward_vault_statement_seconds_count{statement="touch"}"#;
    // A twentieth of it is three minutes.
    let sessions = "idle_timeout = \"1h\"\nstream_lease = \"1h\"".to_owned();
    let gateway = TestGateway::with(Setup { sessions, ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    for round in 1..=2_u32 {
        for _ in 0..20 {
            served(&gateway, &tokens).await;
        }
        later(&gateway, seconds(400)).await;
        noted(&gateway, &tokens.session, async {
            for _ in 0..20 {
                served(&gateway, &tokens).await;
            }
        })
        .await;
        assert_eq!(gateway.metric(TOUCHES).await, f64::from(round));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn last_use_is_written_when_the_gateway_stops() {
    let mut gateway = TestGateway::with(ten_minutes()).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let before = end_in_vault(&gateway, &tokens.session).await;
    later(&gateway, NEARLY).await;
    served(&gateway, &tokens).await;
    gateway.drain().await;
    assert!(end_in_vault(&gateway, &tokens.session).await > before);
}
