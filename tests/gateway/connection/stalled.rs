//! The memory limit for stalled responses: which clients are cut and which are spared.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;

use crate::support::gateway::ROUTES;
use crate::support::{Client, Setup, TestGateway, assert_eventually, http, tls};

/// Timeout that only ends a hang.
const HANG: Duration = Duration::from_secs(60);

/// Downloads of another client. Each holds 2 MiB even with a slow app, of which little is read ahead.
const OTHERS: u32 = 24;

/// Longer than the time after which a client that does not read counts as stalled.
const PAUSE: Duration = Duration::from_secs(7);

const CUT: &str = r#"doorward_requests_cut_total{cause="stalled"}"#;

async fn with(server: &str) -> TestGateway {
    let download =
        "[[routes]]\nname = \"download\"\npath = \"/download\"\naccess = \"public\"\nupstream = \"app\"\n";
    let routes = format!("{ROUTES}{download}");
    TestGateway::with(Setup { server: server.to_owned(), routes, ..Setup::default() }).await
}

/// A client that has started a download and stopped reading.
async fn begin(gateway: SocketAddr, address: [u8; 4], forwarded_for: &str) -> Client {
    let stream = tls::connect_from(address.into(), gateway).await.expect("a connection");
    let mut client = Client::over(stream);
    client.send(&http::message("GET", "/download", &[("X-Forwarded-For", forwarded_for)], b"")).await;
    assert_eq!(client.head().await.expect("a response").status, 200);
    client
}

/// Returns true if more data arrives than all buffers hold.
async fn continues(client: &mut Client) -> bool {
    let mut received = 0;
    while received < 32 << 20 {
        let Some(more) = client.some().await else { return false };
        received += more.len();
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn client_holding_most_memory_is_cut_at_the_limit() {
    let gateway = with("[server.limits]\nstalled_bytes = \"2MiB\"").await;
    // The oldest download, but the only one of its client.
    let mut one = begin(gateway.address(), [127, 0, 0, 2], "").await;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        others.push(begin(gateway.address(), [127, 0, 0, 3], "").await);
    }
    assert_eventually("what is held is within the limit", HANG, async || gateway.metric(CUT).await >= 3.0)
        .await;
    assert!(continues(&mut one).await, "another client's responses are not its trouble");
    // Each is closed once it has read enough: one that goes on to stall would be cut after all.
    let read = others.into_iter().map(async |mut client| continues(&mut client).await);
    let left = join_all(read).await.into_iter().map(u32::from).sum::<u32>();
    assert!(left >= 1, "all were cut");
    assert_eq!(gateway.metric(CUT).await, f64::from(OTHERS - left));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_behind_a_trusted_proxy_are_distinguished() {
    let proxy = "trusted_proxies = [\"127.0.0.0/8\"]\n[server.limits]\nstalled_bytes = \"2MiB\"";
    let gateway = with(proxy).await;
    let mut one = begin(gateway.address(), [127, 0, 0, 1], "198.51.100.1").await;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        others.push(begin(gateway.address(), [127, 0, 0, 1], "198.51.100.2").await);
    }
    assert_eventually("what is held is within the limit", HANG, async || gateway.metric(CUT).await >= 3.0)
        .await;
    assert!(continues(&mut one).await, "another client's responses are not its trouble");
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_download_continues_while_memory_is_available() {
    let gateway = with("").await;
    let mut paused = Vec::new();
    for _ in 0..4 {
        paused.push(begin(gateway.address(), [127, 0, 0, 2], "").await);
    }
    // The pause itself.
    tokio::time::sleep(PAUSE).await;
    assert!(join_all(paused.iter_mut().map(continues)).await.into_iter().all(|continues| continues));
    assert_eq!(gateway.metric(CUT).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_is_spared_at_the_memory_limit() {
    let gateway = with("[server.limits]\nstalled_bytes = \"1MiB\"").await;
    let mut stalled = Vec::new();
    for _ in 0..OTHERS {
        stalled.push(begin(gateway.address(), [127, 0, 0, 3], "").await);
    }
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(begin(gateway.address(), [127, 0, 0, 2], "").await);
    }
    // All slow readers together are the client that holds most; each reads a little now and then.
    let started = tokio::time::Instant::now();
    while started.elapsed() < 2 * PAUSE || gateway.metric(CUT).await == 0.0 {
        for client in &mut slow {
            assert!(client.some().await.is_some(), "a slow reader was cut");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Concurrently: a client that waits for its turn does not read.
    assert!(join_all(slow.iter_mut().map(continues)).await.into_iter().all(|continues| continues));
}
