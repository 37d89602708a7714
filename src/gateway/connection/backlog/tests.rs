use std::time::Duration;

use tokio::time::Instant;

use super::*;

const PATIENCE: u64 = 5000;

fn held() -> Arc<Held> {
    let held = Arc::new(Held::default());
    held.set_limit(0);
    held
}

#[tokio::test(start_paused = true)]
async fn blocked_writer_stalls_unless_it_makes_progress() {
    let held = held();
    let backlog = Backlog::of_http1(&held, None, false);
    let stalled = || backlog.stalled_since(held.millis(), PATIENCE).is_some();
    backlog.was_blocked(300_000);
    assert!(held.is_over_limit() && !stalled());
    // A slow reader takes something now and then, and one that takes a byte takes nothing.
    for (bytes, is_stalled) in [(2000, false), (2000, false), (1, false), (1, true)] {
        tokio::time::advance(Duration::from_secs(4)).await;
        backlog.was_accepted(bytes, false);
        assert_eq!(stalled(), is_stalled, "{bytes}");
    }
    backlog.was_accepted(300_000, true);
    assert!(!stalled() && !held.is_over_limit());
    backlog.was_blocked(1);
    drop(backlog);
    assert!(!held.is_over_limit(), "nothing is left of a connection that is gone");
}

#[tokio::test(start_paused = true)]
async fn bytes_of_a_stream_count_until_they_have_left() {
    let held = held();
    let connection = Connection::new(&held, None);
    let stream = Backlog::of_stream(&connection);
    let stalled = || stream.stalled_since(held.millis(), PATIENCE).is_some();
    let mut body = stream.hold(Bytes::from_static(b"hello"));
    assert_eq!((stream.counted(), connection.counted()), (REQUEST + 5, REQUEST + 5));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(stalled());
    // Its window opens: it is woken, and sends a part.
    stream.was_woken();
    drop(body.split_to(2));
    assert!(!stalled());
    // No number of wake-ups is progress for ever.
    for _ in 0..100 {
        stream.was_woken();
    }
    tokio::time::advance(Duration::from_secs(6)).await;
    stream.was_woken();
    assert!(stalled());
    // While its connection's socket is busy it may wait for its turn.
    connection.socket().was_blocked(100);
    assert!(!stalled());
    tokio::time::advance(Duration::from_secs(15)).await;
    assert!(stalled());
    connection.socket().was_accepted(100, true);
    // Its request is over, and its bytes are still here.
    stream.request_is_over();
    assert_eq!(connection.counted(), 5);
    drop(body);
    assert_eq!((connection.counted(), stalled()), (0, false));
    // An idle event stream holds nothing that counts.
    assert!(!held.is_over_limit());
}

#[tokio::test(start_paused = true)]
async fn connection_that_takes_nothing_waits_with_its_next_requests_where_much_is_held() {
    const LIMIT: u64 = 20 * REQUEST;
    let held = Arc::new(Held::default());
    held.set_limit(LIMIT);
    let connection = Connection::new(&held, None);
    let patience = Duration::from_secs(10);
    // Within the limit nobody waits, however many requests are without a response.
    let mut young = Vec::new();
    for _ in 0..=20 {
        young.push(connection.next_request(patience).await.expect("there is room"));
    }
    let begun = Instant::now();
    assert!(connection.next_request(patience).await.is_none(), "it takes nothing");
    assert!(begun.elapsed() >= patience);
    // Another begins with as many as ordinary clients ask for at once.
    let other = Connection::new(&held, None);
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(other.next_request(patience).await.expect("there is room"));
    }
    // And has as many more as it finishes in a second.
    for _ in 0..5 {
        let finished = others.pop().expect("one of ten");
        finished.was_taken();
    }
    for _ in 0..10 {
        others.push(other.next_request(patience).await.expect("it takes its responses"));
    }
    assert!(tokio::time::timeout(patience / 2, other.next_request(patience)).await.is_err());
    // An app that is asked to wait for news holds many requests, and none of them counts.
    let now = held.millis();
    for backlog in young.iter().chain(&others) {
        backlog.grow_old(now, PATIENCE);
    }
    assert!(!held.may_exceed_limit());
    assert!(connection.next_request(patience).await.is_some());
    // Responses that are not taken count for longer.
    let bodies: Vec<_> = young.iter().map(|young| young.hold(Bytes::from_static(b"hello"))).collect();
    assert!(held.is_over_limit());
    let waiting = connection.next_request(patience);
    let mut waiting = std::pin::pin!(waiting);
    assert!(tokio::time::timeout(patience / 2, waiting.as_mut()).await.is_err());
    // Whoever takes one of them may be slow.
    let mut bodies = bodies.into_iter();
    drop(bodies.next());
    assert!(tokio::time::timeout(patience - Duration::from_secs(1), waiting.as_mut()).await.is_err());
    drop((bodies, young));
    assert!(waiting.await.is_some());
}
