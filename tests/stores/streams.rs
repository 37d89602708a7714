//! Streams at one gateway whose session is ended at another.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{Client, Socket, measured};
use crate::world::World;

const ROUNDS: usize = 20;

/// Expected delay where the vault's notification arrives: one vault query and the close.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Guaranteed maximum delay, however the news arrives.
const LEASE: Duration = Duration::from_secs(1);
/// Margin for two busy cores.
const BUSY: Duration = Duration::from_millis(500);

/// Prints the median and the maximum. Returns the sorted durations.
fn assert_prompt(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let (median, longest) = (took[ROUNDS / 2], took[ROUNDS - 1]);
    measured(format_args!(
        "logout on another gateway acknowledged to {what} closed, median {median:?}, longest {longest:?}"
    ));
    assert!(median < AT_ONCE && longest < LEASE + BUSY, "{what}: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_another_gateway_ends_their_session() {
    let world = World::start().await;
    let (one, other) = (world.replica("").await, world.replica("").await);
    one.gateway.user("ada", &[]).await;
    let kept = one.gateway.login("ada").await;
    let mut others = Socket::open(other.gateway.address(), "/ws", &kept.access).await;
    let (mut sockets, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let tokens = one.gateway.login("ada").await;
        let mut socket = Socket::open(other.gateway.address(), "/ws", &tokens.access).await;
        socket.echo("hello").await;
        let mut events = Client::asking(other.gateway.address(), "/events", &tokens.access).await;
        assert_eq!(events.head().await.expect("an answer").status, 200);
        events.some().await.expect("the first of it");
        let (acknowledged, socket, events) = tokio::join!(
            async {
                let response = one.gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await;
                let acknowledged = Instant::now();
                assert_eq!(response.json()["ended"], 1);
                acknowledged
            },
            async {
                socket.until_closed().await;
                Instant::now()
            },
            async {
                events.until_closed().await;
                Instant::now()
            },
        );
        // A close before the acknowledgement counts as zero.
        sockets.push(socket.saturating_duration_since(acknowledged));
        streams.push(events.saturating_duration_since(acknowledged));
    }
    assert_prompt("WebSocket", sockets);
    assert_prompt("event stream", streams);
    others.echo("still here").await;
}
