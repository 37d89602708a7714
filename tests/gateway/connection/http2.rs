//! HTTP/2 with clients: requests, limits and connection shutdown.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use tokio::time::Instant;

use crate::connection::tls::{House, house};
use crate::support::gateway::{SOON, Tokens};
use crate::support::http2::{self, Http2};
use crate::support::{PASSWORD, assert_eventually, measured};

async fn connect(house: &House) -> Http2 {
    Http2::connect(&house.trust, house.gateway.address(), "gateway.test").await
}

async fn login(client: &mut Http2) -> Tokens {
    let headers = [("content-type", "application/json"), ("origin", "https://gateway.test")];
    let body = serde_json::json!({ "username": "ada", "password": PASSWORD }).to_string();
    Tokens::of(&client.request("POST", "/auth/login", &headers, body.as_bytes()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn session_over_http2_looks_to_the_app_like_http1() {
    let house = house("", "").await;
    house.gateway.user("ada", &[]).await;
    let mut client = connect(&house).await;
    let tokens = login(&mut client).await;
    let bearer = format!("Bearer {}", tokens.access);
    let response = client
        .request(
            "POST",
            "/notes?x=1",
            // Split cookies, as RFC 9113 section 8.2.3 allows browsers to send them.
            &[
                ("authorization", &bearer),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("x-auth-user", "root"),
                ("content-length", "6"),
            ],
            b"a body",
        )
        .await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.all("x-request-id").len(), 1);
    let seen = house.gateway.app.last();
    assert_eq!((seen.line(), &seen.body[..]), ("POST /notes?x=1 HTTP/1.1", &b"a body"[..]));
    for (name, value) in [
        ("host", "gateway.test"),
        ("cookie", "a=1; b=2"),
        ("x-auth-user", "ada"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "gateway.test"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}");
    }
    let refused = client.request("GET", "/notes", &[], b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_concurrent_requests_share_a_connection() {
    let house = house("", "").await;
    let mut client = connect(&house).await;
    let mut responses = Vec::new();
    for at in 0..100 {
        let (response, _) = client.send("GET", &format!("/public/{at}"), &[], Some(b"")).await.expect("sent");
        responses
            .push(async move { (at, http2::whole(http2::head(response).await.expect("an answer")).await) });
    }
    for (at, response) in join_all(responses).await {
        assert!(response.status == 200 && response.text().contains(&format!("GET /public/{at} ")), "{at}");
    }
    assert_eq!(house.gateway.metric("doorward_connections_open").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_session_ends_its_streams_but_not_the_connection() {
    let house = house("", "").await;
    house.gateway.user("ada", &[]).await;
    let mut client = connect(&house).await;
    let (mine, other) = (login(&mut client).await, login(&mut client).await);
    let [mine_bearer, other_bearer] = [&mine, &other].map(|tokens| format!("Bearer {}", tokens.access));
    let stream =
        |bearer: &str| vec![("authorization", bearer.to_owned()), ("accept", "text/event-stream".to_owned())];
    let open = async |client: &mut Http2, bearer: &str| {
        let headers = stream(bearer);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut response = client.ask("GET", "/events", &headers, b"").await.expect("an answer");
        assert_eq!(response.status, 200);
        assert!(http2::next(&mut response.body).await.expect("an event").is_some());
        response
    };
    let mut ending = open(&mut client, &mine_bearer).await;
    let mut staying = open(&mut client, &other_bearer).await;

    let headers = [("authorization", mine_bearer.as_str())];
    let response = client.request("POST", "/auth/logout", &headers, b"").await;
    let acknowledged = Instant::now();
    assert_eq!(response.status, 200);
    let end = loop {
        match http2::next(&mut ending.body).await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    let took = acknowledged.elapsed();
    measured(format_args!("a revoked session's HTTP/2 stream is reset {took:?} after the acknowledgement"));
    assert!(end.as_ref().is_err_and(h2::Error::is_reset), "not as if it had come to its end: {end:?}");
    assert!(http2::next(&mut staying.body).await.expect("an event").is_some(), "the other's goes on");
    assert_eq!(client.request("GET", "/notes", &headers, b"").await.status, 401);
    let headers = [("authorization", other_bearer.as_str())];
    assert_eq!(client.request("GET", "/notes", &headers, b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_disconnect_over_http2_aborts_the_request() {
    let house = house("", "").await;
    house.gateway.user("ada", &[]).await;
    let mut client = connect(&house).await;
    let bearer = format!("Bearer {}", login(&mut client).await.access);
    let headers = [("authorization", bearer.as_str())];
    let counted = async |outcome: &str, class: &str, count: f64| {
        let series =
            format!("doorward_requests_total{{class=\"{class}\",outcome=\"{outcome}\",route=\"app\"}}");
        assert_eventually("it is counted", SOON, async || house.gateway.metric(&series).await == count).await;
    };
    let app_has = async |heads: usize| {
        assert_eventually("the app is asked", SOON, async || house.gateway.app.heads() == heads).await;
    };

    // Before the app responds: a closed HTTP/1.1 connection, a reset stream, and a closed HTTP/2 connection.
    let mut plain = house.client("gateway.test").await;
    plain.send(&crate::support::http::message("GET", "/hold", &headers, b"")).await;
    app_has(1).await;
    drop(plain);
    counted("aborted", "none", 1.0).await;
    let (response, mut stream) = client.send("GET", "/hold", &headers, Some(b"")).await.expect("sent");
    app_has(2).await;
    stream.send_reset(Reason::CANCEL);
    drop(response);
    counted("aborted", "none", 2.0).await;
    let mut other = connect(&house).await;
    let held = other.send("GET", "/hold", &headers, Some(b"")).await.expect("sent");
    app_has(3).await;
    drop((held, other));
    counted("aborted", "none", 3.0).await;

    // During the response.
    let mut events = client.ask("GET", "/events", &headers, b"").await.expect("an answer");
    assert!(http2::next(&mut events.body).await.expect("an event").is_some());
    drop(events);
    assert_eventually("it ends", SOON, async || {
        house.gateway.metric("doorward_requests_in_flight").await == 0.0
    })
    .await;
    for class in ["none", "2xx", "4xx"] {
        counted("request_invalid", class, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_headers_are_refused_and_the_connection_is_kept() {
    let house = house("[server.limits]\nheader_bytes = \"8KiB\"\nheader_fields = 20", "").await;
    let mut client = connect(&house).await;
    let many: Vec<(String, String)> = (0..21).map(|at| (format!("x-{at}"), "y".to_owned())).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let response = client.request("GET", "/public", &many, b"").await;
    assert_eq!((response.status, response.code().as_str()), (431, "header_too_large"));
    let long = "y".repeat(9 << 10);
    // The HTTP/2 library's own response: it stops reading at the limit.
    assert_eq!(client.request("GET", "/public", &[("x-long", &long)], b"").await.status, 431);
    assert_eq!(client.request("GET", "/public", &many[..10], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_idle_connections_are_closed() {
    let house = house("keepalive_timeout = \"1s\"\n[server.limits]\nheader_deadline = \"2s\"", "").await;
    let begun = Instant::now();
    let trust = house.trust.offering(&[b"h2"]);
    let silent = trust.connect(house.gateway.address(), "gateway.test").await.expect("a handshake");
    let mut silent = crate::support::Client::over(silent);
    silent.until_closed().await;
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1900) && took < SOON, "{took:?}");

    let mut idle = connect(&house).await;
    assert_eq!(idle.request("GET", "/public", &[], b"").await.status, 200);
    let begun = Instant::now();
    idle.until_closed().await;
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900) && took < SOON, "{took:?}");
    assert_eventually("no place is kept", SOON, async || {
        house.gateway.metric("doorward_connections_open").await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_gets_goaway_at_its_request_limit() {
    let house = house("[server.limits]\nrequests_per_connection = 5", "").await;
    let mut client = connect(&house).await;
    for _ in 0..5 {
        assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
    }
    assert_eq!(client.until_closed().await, None, "GOAWAY without an error");

    // Over HTTP/1.1 the last response has `Connection: close`.
    let mut plain = house.client("gateway.test").await;
    for at in 1..=5 {
        let response = plain.request("GET", "/public", &[], b"").await;
        let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        assert_eq!((response.status, closes), (200, at == 5), "request {at}");
    }
    plain.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_lets_open_streams_finish() {
    let mut house = house("", "").await;
    house.gateway.user("ada", &[]).await;
    let mut client = connect(&house).await;
    let tokens = login(&mut client).await;
    let bearer = format!("Bearer {}", tokens.access);
    let (held, _) =
        client.send("GET", "/hold", &[("authorization", &bearer)], Some(b"")).await.expect("sent");
    let app_has = async || house.gateway.app.heads() == 1;
    assert_eventually("the app is asked", SOON, app_has).await;
    let running = house.gateway.running();
    let draining = tokio::spawn(running.drain());
    // After GOAWAY the client opens no more streams.
    let refused = async || client.send.clone().ready().await.is_err();
    assert_eventually("GOAWAY has come", SOON, refused).await;
    house.gateway.app.release(1);
    assert_eq!(http2::whole(http2::head(held).await.expect("an answer")).await.status, 200);
    assert_eq!(client.until_closed().await, None);
    draining.await.expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_limited_and_http2_can_be_disabled() {
    let few = house("[server.limits]\nhttp2_streams = 2", "").await;
    let mut client = connect(&few).await;
    assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200, "SETTINGS have come");
    assert_eq!(client.send.current_max_send_streams(), 2);

    let none = house("[server.limits]\nhttp2_streams = 0", "").await;
    let trust = none.trust.offering(&[b"h2", b"http/1.1"]);
    let stream = trust.connect(none.gateway.address(), "gateway.test").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut client = crate::support::Client::over(stream);
    assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_body_below_the_minimum_rate_is_cut() {
    let house = house("[server.limits]\nheader_deadline = \"1s\"\nmin_body_rate = \"100B\"", "").await;
    let mut client = connect(&house).await;
    let (slow, mut body) = client.send("POST", "/public/slow", &[], None).await.expect("sent");
    let begun = Instant::now();
    let ended = async {
        let response = http2::head(slow).await;
        response.map(|response| response.status)
    };
    let dribbling = async {
        loop {
            // The slow pace itself.
            tokio::time::sleep(Duration::from_millis(200)).await;
            if body.send_data(Bytes::from_static(b"x"), false).is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let ended = tokio::select! { ended = ended => ended, () = dribbling => unreachable!() };
    let took = begun.elapsed();
    measured(format_args!("a body of 5 bytes a second, where 100 are asked for: {ended:?} after {took:?}"));
    assert_eq!(ended.as_ref().ok(), Some(&408), "{ended:?}");
    assert!(took > Duration::from_millis(1900) && took < SOON, "{took:?}");

    let (fair, mut body) = client.send("POST", "/public/fair", &[], None).await.expect("sent");
    for _ in 0..20 {
        // Twice the minimum rate.
        tokio::time::sleep(Duration::from_millis(200)).await;
        body.send_data(Bytes::from_static(&[b'x'; 40]), false).expect("still taken");
    }
    body.send_data(Bytes::new(), true).expect("still taken");
    assert_eq!(http2::whole(http2::head(fair).await.expect("an answer")).await.status, 200);
    let received = house.gateway.app.last().body.iter().filter(|byte| **byte == b'x').count();
    assert_eq!(received, 800, "in chunks");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_stream_resets_leave_others_unaffected() {
    // CVE-2023-44487: streams opened and reset at once.
    let house = house("", "").await;
    let mut neighbour = connect(&house).await;
    let mut attacker = connect(&house).await;
    let mut opened = 0;
    for _ in 0..5000 {
        let Ok((response, mut stream)) = attacker.send("GET", "/public/attack", &[], None).await else {
            break;
        };
        stream.send_reset(Reason::CANCEL);
        drop(response);
        opened += 1;
        if opened % 500 == 0 {
            assert_eq!(neighbour.request("GET", "/public", &[], b"").await.status, 200);
        }
    }
    measured(format_args!("{opened} of 5000 streams opened and reset before the connection was closed"));
    for _ in 0..20 {
        assert_eq!(neighbour.request("GET", "/public", &[], b"").await.status, 200);
    }
    assert_eventually("nothing of it is left", SOON, async || {
        house.gateway.metric("doorward_requests_in_flight").await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_length_over_http2_must_be_one_plain_number() {
    // The upstream HTTP/1.1 request has an explicit end.
    let house = house("", "").await;
    let mut client = connect(&house).await;
    for lengths in [&["3", "3"][..], &["3", "003"], &["03"], &["3, 3"], &["+3"], &[" 3"], &["3\t"]] {
        let headers: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        match client.ask("POST", "/public", &headers, b"abc").await {
            Ok(response) => assert_eq!(response.status, 400, "{lengths:?}"),
            // The HTTP/2 library checks lengths, too.
            Err(error) => assert!(error.reason().is_some(), "{lengths:?}: {error}"),
        }
    }
    for (name, value) in [("x-custom", " a"), ("x-custom", "a\t"), ("x-custom", " ")] {
        let response = client.request("GET", "/public", &[(name, value)], b"").await;
        assert_eq!((response.status, response.code().as_str()), (400, "request_invalid"), "{value:?}");
    }
    assert_eq!(house.gateway.app.heads(), 0);
    for (lengths, body) in
        [(&[("content-length", "3")][..], &b"abc"[..]), (&[("content-length", "0")], b""), (&[], b"")]
    {
        assert_eq!(client.request("POST", "/public", lengths, body).await.status, 200, "{lengths:?}");
    }
}
