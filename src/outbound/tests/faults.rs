//! Servers that fail. Each ends in an error of its kind, within the limit.

use std::time::Duration;

use super::*;

/// Time limit of these requests, and the most that one may take: the machine may be busy.
const LIMIT: Duration = Duration::from_millis(300);
const BOUND: Duration = Duration::from_secs(10);

async fn fails(server: &Server, outcome: &str) -> OutboundError {
    let (client, metrics) = client();
    let request = Request::get(Purpose::Keys, &server.url("/")).timeout(LIMIT).max_body(1000);
    let result = tokio::time::timeout(BOUND, client.send(request)).await.expect("it ends");
    let error = result.expect_err("it fails");
    assert!(counted(&metrics, outcome), "{outcome}: {error}");
    error
}

#[tokio::test]
async fn silent_server_times_out() {
    let silent = Server::start(|mut stream| async move {
        head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(fails(&silent, "timeout").await, OutboundError::Timeout);
}

#[tokio::test]
async fn slow_header_and_slow_body_time_out() {
    for start in ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"] {
        let slow = Server::start(move |mut stream| async move {
            head(&mut stream).await;
            if stream.write_all(start.as_bytes()).await.is_err() {
                return;
            }
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            // A byte now and then, which would reset a time limit per read.
            while stream.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
        })
        .await;
        assert_eq!(fails(&slow, "timeout").await, OutboundError::Timeout, "{start:?}");
    }
}

#[tokio::test]
async fn oversize_response_is_cut() {
    let body = "x".repeat(1001);
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for response in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{body}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
        format!("HTTP/1.0 200 OK\r\n\r\n{body}"),
    ] {
        let server = Server::answering(response).await;
        assert_eq!(fails(&server, "too_large").await, OutboundError::TooLarge(1000));
    }
    let endless = Server::start(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(fails(&endless, "too_large").await, OutboundError::TooLarge(1000));
    let fits =
        Server::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}", &body[1..])).await;
    let request = Request::get(Purpose::Keys, &fits.url("/")).max_body(1000);
    assert_eq!(client().0.send(request).await.unwrap().body().len(), 1000);
}

#[tokio::test]
async fn endless_header_is_cut() {
    let endless = Server::start(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-A: b\r\n").await.is_ok() {}
    })
    .await;
    assert!(matches!(fails(&endless, "malformed").await, OutboundError::Malformed(_)));
}

#[tokio::test]
async fn incomplete_or_foreign_response_is_malformed() {
    for response in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let server = Server::answering(response).await;
        let result = get(&server.url("/")).await;
        let shown = String::from_utf8_lossy(response).into_owned();
        match result {
            Err(OutboundError::Malformed(_) | OutboundError::Unreachable(_)) => {}
            Ok(response) if response.status() == 101 => {}
            other => panic!("{shown:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn closed_and_reset_connections_are_errors() {
    let closing = Server::start(|stream| async move { drop(stream) }).await;
    let error = get(&closing.url("/")).await.unwrap_err();
    assert!(matches!(error, OutboundError::Malformed(_) | OutboundError::Unreachable(_)), "{error}");
    let resetting = Server::start(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab").await;
        // Closed with a reset instead of an end.
        let _ = stream.set_zero_linger();
    })
    .await;
    let error = get(&resetting.url("/")).await.unwrap_err();
    assert!(matches!(error, OutboundError::Malformed(_) | OutboundError::Unreachable(_)), "{error}");
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let error = get(&format!("http://{gone}/")).await.unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable(_)) && error.is_temporary(), "{error}");
    let unknown = client_for(&["nowhere.invalid"]).0;
    let error = unknown.send(Request::get(Purpose::Keys, "https://nowhere.invalid/")).await.unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn dropped_request_closes_its_connection() {
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let ended = ended.clone();
        async move {
            head(&mut stream).await;
            ended.send("begun").unwrap();
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
            ended.send("ended").unwrap();
        }
    })
    .await;
    let url = server.url("/");
    let request = tokio::spawn(async move { get(&url).await });
    assert_eq!(ends.recv().await, Some("begun"));
    request.abort();
    let ended = tokio::time::timeout(BOUND, ends.recv()).await.expect("the connection is closed");
    assert_eq!(ended, Some("ended"));
}
