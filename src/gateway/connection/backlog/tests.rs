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
    // 2,000 bytes now and then are progress, one byte is not.
    for (bytes, is_stalled) in [(14_000, false), (14_000, false), (1, false), (1, true)] {
        tokio::time::advance(Duration::from_secs(4)).await;
        backlog.was_accepted(bytes, false);
        assert_eq!(stalled(), is_stalled, "{bytes}");
    }
    backlog.was_accepted(300_000, true);
    assert!(!stalled() && !held.is_over_limit());
    backlog.was_blocked(1);
    drop(backlog);
    assert!(!held.is_over_limit(), "a closed connection holds nothing");
}

#[tokio::test(start_paused = true)]
async fn stream_bytes_count_until_they_are_written() {
    let held = held();
    let connection = Connection::new(&held, None);
    let stream = Backlog::of_stream(&connection);
    let stalled = || stream.stalled_since(held.millis(), PATIENCE).is_some();
    let mut body = stream.hold(Bytes::from_static(b"hello"));
    assert_eq!((stream.counted(), connection.counted()), (REQUEST + 5, REQUEST + 5));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(stalled());
    // Its window opens: it is woken and sends a part.
    stream.was_woken();
    drop(body.split_to(2));
    assert!(!stalled());
    // Wake-ups alone do not count as progress forever.
    for _ in 0..100 {
        stream.was_woken();
    }
    tokio::time::advance(Duration::from_secs(6)).await;
    stream.was_woken();
    assert!(stalled());
    // While its connection's socket is busy, a stream may wait for longer.
    connection.socket().was_blocked(100);
    assert!(!stalled());
    tokio::time::advance(Duration::from_secs(15)).await;
    assert!(stalled());
    connection.socket().was_accepted(100, true);
    // The request is over, and its bytes are still buffered.
    stream.request_is_over();
    assert_eq!(connection.counted(), 5);
    drop(body);
    assert_eq!((connection.counted(), stalled()), (0, false));
    // Nothing counts for an idle event stream.
    assert!(!held.is_over_limit());
}

#[tokio::test(start_paused = true)]
async fn requests_of_stalled_connection_wait_beyond_the_limit() {
    const LIMIT: u64 = 20 * REQUEST;
    let held = Arc::new(Held::default());
    held.set_limit(LIMIT);
    let connection = Connection::new(&held, None);
    let patience = Duration::from_secs(10);
    // Within the limit no request waits, however many have no response.
    let mut unanswered = Vec::new();
    for _ in 0..=20 {
        unanswered.push(connection.next_request(patience).await.expect("there is room"));
    }
    let started = Instant::now();
    assert!(connection.next_request(patience).await.is_none(), "it reads nothing");
    assert!(started.elapsed() >= patience);
    // Another connection may start as many as ordinary clients send at once.
    let other = Connection::new(&held, None);
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(other.next_request(patience).await.expect("there is room"));
    }
    // And as many more as it finishes in a second.
    for _ in 0..5 {
        let finished = others.pop().expect("one of ten");
        finished.response_delivered();
    }
    for _ in 0..10 {
        others.push(other.next_request(patience).await.expect("it reads its responses"));
    }
    assert!(tokio::time::timeout(patience / 2, other.next_request(patience)).await.is_err());
    // Requests of an app with long polling do not count.
    let now = held.millis();
    for backlog in unanswered.iter().chain(&others) {
        backlog.stop_expecting_after(now, PATIENCE);
    }
    assert!(!held.may_exceed_limit());
    assert!(connection.next_request(patience).await.is_some());
    // Responses that the client does not read count for longer.
    let bodies: Vec<_> =
        unanswered.iter().map(|unanswered| unanswered.hold(Bytes::from_static(b"hello"))).collect();
    assert!(held.is_over_limit());
    let waiting = connection.next_request(patience);
    let mut waiting = std::pin::pin!(waiting);
    assert!(tokio::time::timeout(patience / 2, waiting.as_mut()).await.is_err());
    // A client that reads one of them may be slow.
    let mut bodies = bodies.into_iter();
    drop(bodies.next());
    assert!(tokio::time::timeout(patience - Duration::from_secs(1), waiting.as_mut()).await.is_err());
    drop((bodies, unanswered));
    assert!(waiting.await.is_some());
}

#[tokio::test(start_paused = true)]
async fn slow_app_alone_leaves_every_connection_its_base_requests() {
    let held = Arc::new(Held::default());
    held.set_limit(REQUEST);
    let patience = Duration::from_secs(10);
    let connections: Vec<_> = (0..20).map(|_| Connection::new(&held, None)).collect();
    let mut expected = Vec::new();
    for connection in &connections {
        for _ in 0..10 {
            expected.push(connection.next_request(patience).await.expect("there is room"));
        }
    }
    assert!(held.may_exceed_limit() && held.excess() == 0, "nothing is held");
}

#[tokio::test(start_paused = true)]
async fn client_with_a_download_may_send_another_request_however_much_is_held() {
    let held = Arc::new(Held::default());
    held.set_limit(REQUEST);
    let patience = Duration::from_secs(10);
    let (other, connection) = (Connection::new(&held, None), Connection::new(&held, None));
    let theirs: Vec<_> = (0..100).map(|_| Backlog::of_stream(&other)).collect();
    let bodies: Vec<_> = theirs.iter().map(|theirs| theirs.hold(Bytes::from_static(b"hello"))).collect();
    assert!(held.excess() >= 100);
    let download = connection.next_request(patience).await.expect("a first request");
    let body = download.hold(Bytes::from(vec![0; 700 << 10]));
    let second = connection.next_request(patience).await.expect("another one");
    assert!(tokio::time::timeout(patience / 2, connection.next_request(patience)).await.is_err());
    second.response_delivered();
    drop(second);
    assert!(connection.next_request(patience).await.is_some());
    drop((body, bodies));
}
