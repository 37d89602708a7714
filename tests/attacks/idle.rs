//! Idle connections.

use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load::Load;
use crate::stage::Stage;

/// The default connection limit; new connections still find a slot.
const CONNECTIONS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_leave_others_unaffected() {
    let stage = Stage::clear("").await;
    let target = stage.gateway.public;
    let attack = || {
        Load::begin(CONNECTIONS, target, |mut stream, done| async move {
            // One request each, refused; then idle.
            if stream.write_all(b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await.is_err() {
                return;
            }
            let mut buffer = [0; 1024];
            let mut answered = false;
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                if !answered {
                    done.sent(1);
                }
                answered = true;
            }
        })
    };
    let withstood = stage
        .run_attack("10,000 idle connections", attack, async |done| {
            done.sent.load(Ordering::SeqCst) >= CONNECTIONS as u64 && done.held.load(Ordering::SeqCst) > 9_900
        })
        .await;
    assert!(withstood.open >= 9_900.0, "{}", withstood.open);
    let displaced = stage.metric("doorward_connections_evicted_total").await;
    assert!(displaced > 0.0, "there was room for everybody");
}
