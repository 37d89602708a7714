//! A route's `timeout` limits only the silence of the app (like nginx's `proxy_read_timeout`; F07).
//!
//! The pauses in these tests exceed the timeout; longer ones would not change the result.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::scene::{App, BOTH, Exchange, HANG, Scene, Wire};

const TIMEOUT: &str = "timeout = \"1s\"";

/// Longer than the timeout.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(1600)).await;
}

async fn echo(mut exchange: Exchange) -> Option<tokio::net::TcpStream> {
    let body = exchange.body().await?;
    exchange.done(&body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_pausing_uploads_pass_in_every_version() {
    for app_wire in BOTH {
        let app = App::start(app_wire, echo).await;
        let scene = Scene::before(&app.server, "", TIMEOUT).await;
        for client_wire in BOTH {
            let mut client = scene.ask(client_wire).await;
            client.begin("POST", "/upload", &[], false).await;
            for _ in 0..8 {
                assert!(client.part(b"part,").await);
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            pause().await;
            assert!(client.part(b"and the last").await && client.part(b"").await);
            let response = client.response().await.expect("an answer");
            let expected = format!("{}and the last", "part,".repeat(8));
            assert_eq!(
                (response.status, response.text()),
                (200, expected),
                "{client_wire:?} to {app_wire:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn response_timeout_starts_at_the_end_of_the_request() {
    for app_wire in BOTH {
        let given_up = Arc::new(Notify::new());
        let tells = Arc::clone(&given_up);
        let app = App::start(app_wire, move |mut exchange| {
            let tells = Arc::clone(&tells);
            async move {
                exchange.body().await?;
                exchange.until_given_up().await;
                tells.notify_one();
                None
            }
        })
        .await;
        let scene = Scene::before(&app.server, "", TIMEOUT).await;
        for client_wire in BOTH {
            for is_whole in [true, false] {
                let mut client = scene.ask(client_wire).await;
                client.begin(if is_whole { "GET" } else { "POST" }, "/", &[], is_whole).await;
                if !is_whole {
                    assert!(client.part(b"a body").await && client.part(b"").await);
                }
                let response = client.response().await.expect("an answer");
                assert_eq!(
                    (response.status, response.code().as_str()),
                    (504, "upstream_timeout"),
                    "{client_wire:?} to {app_wire:?}, whole: {is_whole}"
                );
                tokio::time::timeout(HANG, given_up.notified()).await.expect("the app is told");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_app_is_ejected_but_not_for_stalled_clients() {
    let app = App::start(Wire::Http2, |mut exchange| async move {
        exchange.body().await?;
        exchange.until_given_up().await;
        None
    })
    .await;
    let health = "[upstreams.other.health]\neject_after = { timeouts = 1 }\n";
    let scene = Scene::before(&app.server, health, TIMEOUT).await;
    let ejections = r#"doorward_upstream_ejections_total{cause="timeout""#;
    let mut stops = scene.ask(Wire::Http1).await;
    stops.begin("POST", "/", &[], false).await;
    assert!(stops.part(b"half of it").await);
    pause().await;
    drop(stops);
    assert_eq!(scene.gateway.metric(ejections).await, 0.0);
    let mut client = scene.ask(Wire::Http1).await;
    client.begin("GET", "/", &[], true).await;
    assert_eq!(client.response().await.expect("an answer").status, 504);
    assert_eq!(scene.gateway.metric(ejections).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_stream_response_may_be_silent_whatever_the_request() {
    for app_wire in BOTH {
        let app = App::start(app_wire, |mut exchange| async move {
            exchange.body().await?;
            exchange.respond("text/event-stream; charset=utf-8").await;
            exchange.part(b"data: one\n\n").await;
            pause().await;
            exchange.part(b"data: two\n\n").await;
            exchange.end().await
        })
        .await;
        let scene = Scene::before(&app.server, "", TIMEOUT).await;
        for client_wire in BOTH {
            for method in ["GET", "POST"] {
                let mut client = scene.ask(client_wire).await;
                client.begin(method, "/", &[("Accept", "*/*")], method == "GET").await;
                if method == "POST" {
                    assert!(client.part(b"{\"stream\":true}").await && client.part(b"").await);
                }
                let response = client.response().await.expect("the whole answer");
                assert_eq!(
                    response.text(),
                    "data: one\n\ndata: two\n\n",
                    "{method}, {client_wire:?} to {app_wire:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_aborts_other_responses_despite_accept_event_stream() {
    for app_wire in BOTH {
        let app = App::start(app_wire, |mut exchange| async move {
            exchange.respond("application/json").await;
            exchange.part(b"{").await;
            exchange.until_given_up().await;
            None
        })
        .await;
        let scene = Scene::before(&app.server, "", TIMEOUT).await;
        for client_wire in BOTH {
            let mut client = scene.ask(client_wire).await;
            client.begin("GET", "/", &[("Accept", "text/event-stream")], true).await;
            assert!(client.response().await.is_none(), "{client_wire:?} to {app_wire:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn app_not_reading_the_body_does_not_block_the_request() {
    for app_wire in BOTH {
        let app = App::start(app_wire, |exchange| async move {
            // The response is not read, so the windows fill.
            tokio::time::sleep(HANG).await;
            drop(exchange);
            None
        })
        .await;
        let scene = Scene::before(&app.server, "", &format!("{TIMEOUT}\nbody_limit = \"1GiB\"")).await;
        for client_wire in BOTH {
            let mut client = scene.ask(client_wire).await;
            client.begin("POST", "/", &[], false).await;
            let part = vec![b'x'; 64 << 10];
            let sending = async { while client.part(&part).await {} };
            tokio::time::timeout(HANG, sending).await.expect("it ends");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_download_does_not_trigger_the_app_timeout() {
    const BIG: usize = 24 << 20;
    for app_wire in BOTH {
        let app = App::start(app_wire, |mut exchange| async move {
            exchange.respond("application/octet-stream").await;
            let part = vec![b'x'; 1 << 20];
            for _ in 0..BIG >> 20 {
                if !exchange.part(&part).await {
                    return None;
                }
            }
            exchange.end().await
        })
        .await;
        let scene = Scene::before(&app.server, "", TIMEOUT).await;
        for client_wire in BOTH {
            let mut client = scene.ask(client_wire).await;
            client.begin("GET", "/", &[], true).await;
            pause().await;
            pause().await;
            let response = client.response().await.expect("the whole answer");
            assert_eq!(response.body.len(), BIG, "{client_wire:?} to {app_wire:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn app_may_respond_before_the_body_ends() {
    for app_wire in BOTH {
        let app = App::start(app_wire, |mut exchange| async move {
            exchange.respond("text/plain").await;
            exchange.part(b"early ").await;
            let body = exchange.body().await?;
            exchange.part(&body).await;
            exchange.end().await
        })
        .await;
        let scene = Scene::before(&app.server, "", TIMEOUT).await;
        for client_wire in BOTH {
            let mut client = scene.ask(client_wire).await;
            client.begin("POST", "/", &[], false).await;
            assert!(client.part(b"one ").await);
            pause().await;
            assert!(client.part(b"two").await && client.part(b"").await);
            let response = client.response().await.expect("an answer");
            assert_eq!(response.text(), "early one two", "{client_wire:?} to {app_wire:?}");
        }
    }
}
