//! Well-behaved slow readers: each receives its complete response under the default limits.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::load::connect;
use crate::stage::Stage;
use crate::support::http2::{self, Http2};
use crate::support::measured;

/// Number of readers.
const READERS: usize = 2000;
/// Readers per HTTP/2 connection: `http2_streams`.
const STREAMS: usize = 100;
/// Response size; larger than the buffers in between.
const SIZE: usize = 400_000;
/// Bytes per read: 100 kB/s where the machine is fast enough.
const BITE: usize = 10_000;
const BETWEEN: Duration = Duration::from_millis(100);
/// Timeout that only ends a hang.
const HANG: Duration = Duration::from_secs(300);

/// Half of the responses use large chunks, half small ones.
fn target(at: usize) -> String {
    let kind = if at.is_multiple_of(2) { "bytes" } else { "pieces" };
    format!("/public/{kind}/{SIZE}")
}

async fn all(stage: &Stage, what: &str, mut readers: JoinSet<Result<(), String>>) {
    let memory = stage.memory();
    memory.forget_peak();
    let reading = async {
        let mut failed = Vec::new();
        while let Some(read) = readers.join_next().await {
            failed.extend(read.expect("a reader").err());
        }
        failed
    };
    let failed = tokio::time::timeout(HANG, reading).await.expect("they get on");
    measured(format_args!("{what}: {READERS} readers, {} failed, peak {}", failed.len(), memory.peak()));
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), &failed[..failed.len().min(3)]);
    assert_eq!(stage.metric("doorward_requests_cut_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_get_whole_responses_over_http1() {
    let stage = Stage::clear("").await;
    let gateway = stage.gateway.public;
    let mut readers = JoinSet::new();
    for at in 0..READERS {
        readers.spawn(async move {
            let mut stream = connect(at, gateway).await.map_err(|error| error.to_string())?;
            let request =
                format!("GET {} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n", target(at));
            stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
            let (mut received, mut last, mut bite) = (0, Vec::new(), vec![0; BITE]);
            loop {
                let read =
                    stream.read(&mut bite).await.map_err(|error| format!("{error} after {received}"))?;
                if read == 0 {
                    break;
                }
                received += read;
                last.extend_from_slice(&bite[..read]);
                last.drain(..last.len().saturating_sub(8));
                // The slow pace itself; it waits for nothing.
                tokio::time::sleep(BETWEEN * u32::try_from(read).expect("small") / BITE as u32).await;
            }
            let is_whole = received > SIZE && (at.is_multiple_of(2) || last.ends_with(b"\r\n0\r\n\r\n"));
            if is_whole { Ok(()) } else { Err(format!("{} ended after {received} bytes", target(at))) }
        });
    }
    all(&stage, "HTTP/1.1", readers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_get_whole_responses_over_http2() {
    let stage = Stage::tls("").await;
    let trust = stage.trust.as_ref().expect("TLS");
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(64 << 10).initial_connection_window_size(1 << 20);
    let mut readers = JoinSet::new();
    for connection in 0..READERS / STREAMS {
        let client = Http2::connect_as(&settings, trust, stage.gateway.public, "gateway.test").await;
        let client = std::sync::Arc::new(tokio::sync::Mutex::new(client));
        for at in 0..STREAMS {
            let (client, at) = (client.clone(), connection * STREAMS + at);
            readers.spawn(async move {
                let sent = client.lock().await.send("GET", &target(at), &[], Some(b"")).await;
                let (response, _) = sent.map_err(|error| error.to_string())?;
                let mut response = http2::head(response).await.map_err(|error| error.to_string())?;
                let mut received = 0;
                loop {
                    match http2::next(&mut response.body).await {
                        Ok(Some(bytes)) => {
                            received += bytes.len();
                            // The slow pace itself; it waits for nothing.
                            tokio::time::sleep(
                                BETWEEN * u32::try_from(bytes.len()).expect("small") / BITE as u32,
                            )
                            .await;
                        }
                        Ok(None) => break,
                        Err(error) => return Err(format!("{error} after {received}")),
                    }
                }
                drop(client);
                if received == SIZE {
                    Ok(())
                } else {
                    Err(format!("{} ended after {received} bytes", target(at)))
                }
            });
        }
    }
    all(&stage, "HTTP/2", readers).await;
}
