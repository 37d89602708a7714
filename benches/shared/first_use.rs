//! First use of sessions.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::http::Client;

/// Uses each token once, and again while the response is 503: there are more new sessions than vault lookups per
/// second. Returns the number of repetitions.
pub(crate) async fn use_each_once(gateway: SocketAddr, tokens: &[String]) -> anyhow::Result<usize> {
    let mut clients = JoinSet::new();
    for some in tokens.chunks(tokens.len().div_ceil(16)) {
        let some = some.to_vec();
        clients.spawn(async move {
            let (mut client, mut again) = (Client::connect(gateway).await, 0);
            for token in some {
                let bearer = format!("Bearer {token}");
                loop {
                    let response = client.request("GET", "/", &[("Authorization", &bearer)], b"").await;
                    match response.status {
                        200 => break,
                        503 => again += 1,
                        _ => anyhow::bail!("{}", response.text()),
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Ok(again)
        });
    }
    clients.join_all().await.into_iter().sum()
}
