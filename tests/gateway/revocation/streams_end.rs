//! Ends of streams other than a revocation: the session's end and a stale revocation set. Also events that do not end a
//! stream.

use std::time::Duration;

use doorward::vault::UserChange;
use tokio::time::Instant;

use crate::support::gateway::{ROUTES, SOON, Tokens};
use crate::support::{Client, Faults, Op, Setup, Socket, TestGateway, assert_eventually, measured};

/// Short sessions; the clock jumps by less than the stream lease.
fn short_lived() -> Setup {
    Setup {
        tokens: r#"access_ttl = "30s""#.to_owned(),
        sessions: "idle_timeout = \"1m\"\nabsolute_timeout = \"2m\"\nstream_lease = \"1h\"".to_owned(),
        ..Setup::default()
    }
}

async fn cuts(gateway: &TestGateway, cause: &str) -> f64 {
    gateway.metric(&format!(r#"doorward_requests_cut_total{{cause="{cause}"}}"#)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_at_the_absolute_timeout_despite_refreshes() {
    let gateway = TestGateway::with(short_lived()).await;
    gateway.user("ada", &[]).await;
    let mut tokens = gateway.login("ada").await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    let mut events = Client::asking(gateway.address(), "/events", &tokens.access).await;
    assert_eq!(events.head().await.expect("an answer").status, 200);
    for _ in 0..2 {
        gateway.clock.advance(Duration::from_secs(45));
        assert_eventually("the lease is held", SOON, async || gateway.probe("/readyz").await.status == 200)
            .await;
        tokens = Tokens::of(&gateway.refresh(&tokens.refresh).await);
        socket.echo("past the idle end it began with").await;
    }
    gateway.clock.advance(Duration::from_secs(31));
    let ended = Instant::now();
    tokio::join!(socket.until_closed(), events.until_closed());
    measured(format_args!("session's end to streams closed {:?}", ended.elapsed()));
    assert!(ended.elapsed() < SOON, "{:?}", ended.elapsed());
    assert_eventually("both are counted", SOON, async || cuts(&gateway, "expired").await == 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_continues_when_another_gateway_refreshes_its_session() {
    let faults = Faults::new();
    let one = TestGateway::with(Setup { stores: faults.wrap(), ..short_lived() }).await;
    one.user("ada", &[]).await;
    let tokens = one.login("ada").await;
    let setup = Setup { folder: Some(one.folder.clone()), clock: one.clock.clone(), ..short_lived() };
    let two = TestGateway::with(setup).await;
    let mut socket = Socket::open(one.address(), "/ws", &tokens.access).await;
    one.clock.advance(Duration::from_secs(45));
    assert_eventually("the lease is held", SOON, async || two.probe("/readyz").await.status == 200).await;
    let renewed = Tokens::of(&two.refresh(&tokens.refresh).await);
    let lookups = faults.calls(Op::FindSession);
    one.clock.advance(Duration::from_secs(45));
    assert_eventually("the vault is asked", SOON, async || faults.calls(Op::FindSession) > lookups).await;
    socket.echo("still here").await;
    assert_eq!(cuts(&one, "expired").await, 0.0);
    drop(renewed);
    one.clock.advance(Duration::from_secs(31));
    socket.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_revocations_are_stale_for_stream_lease() {
    let faults = Faults::new();
    let setup =
        Setup { sessions: r#"stream_lease = "10s""#.to_owned(), stores: faults.wrap(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    faults.fail(&[Op::ReadLog]);
    gateway.clock.advance(Duration::from_secs(5));
    assert_eventually("not ready", SOON, async || gateway.probe("/readyz").await.status == 503).await;
    socket.echo("the lease is lost, the stream lease is not").await;
    // A watch that would close the stream has run by now.
    let reads = faults.calls(Op::ReadLog);
    assert_eventually("a second has passed", SOON, async || faults.calls(Op::ReadLog) >= reads + 6).await;
    socket.echo("still here").await;
    gateway.clock.advance(Duration::from_secs(6));
    let unproven = Instant::now();
    socket.until_closed().await;
    measured(format_args!("stream lease over to WebSocket closed {:?}", unproven.elapsed()));
    assert!(unproven.elapsed() < SOON, "{:?}", unproven.elapsed());
    gateway.app.until_closed().await;
    assert_eventually("it is counted", SOON, async || cuts(&gateway, "stale_revocations").await == 1.0).await;
    faults.heal();
    assert_eventually("ready again", SOON, async || gateway.probe("/readyz").await.status == 200).await;
    let mut again = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    again.echo("and back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_user_closes_their_streams() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    gateway.user("bob", &[]).await;
    let (ada_s, bobs) = (gateway.login("ada").await, gateway.login("bob").await);
    let mut socket = Socket::open(gateway.address(), "/ws", &ada_s.access).await;
    let mut others = Socket::open(gateway.address(), "/ws", &bobs.access).await;
    gateway.vault.users.change(ada, &UserChange::Disabled(true)).await.expect("a change");
    let disabled = Instant::now();
    socket.until_closed().await;
    assert!(disabled.elapsed() < SOON, "{:?}", disabled.elapsed());
    others.echo("still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_websocket_outlives_every_request_timeout() {
    let routes = ROUTES.replace("upstream = \"app\"", "upstream = \"app\"\ntimeout = \"1s\"");
    let server = "keepalive_timeout = \"1s\"\n[server.limits]\nheader_deadline = \"1s\"".to_owned();
    let gateway = TestGateway::with(Setup { server, routes, ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    socket.echo("hello").await;
    // The HTTP library's timeouts use the machine's clock: this is the silence itself.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    socket.echo("still here").await;
}
