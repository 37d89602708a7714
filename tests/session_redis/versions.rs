//! A server too old for the required commands is refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward::config::{RedisTopology, StoreHost};
use doorward::session::SessionStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::eventually::assert_eventually;
use crate::log::{capture, captured};
use crate::servers::{NONE, RedisServer, url};
use crate::{SOON, assert_answers, assert_fails_at_once, options, session, start};

/// Proxies a server. While `aged` is set it reports version 6.2, in as many bytes.
async fn aging(server: &RedisServer, aged: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, port, aged) = (listener.local_addr().expect("an address"), server.port, Arc::clone(aged));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut client_reads, mut client_writes) = client.into_split();
            let server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server");
            let (mut server_reads, mut server_writes) = server.into_split();
            tokio::spawn(
                async move { tokio::io::copy(&mut client_reads, &mut server_writes).await.map(drop) },
            );
            let aged = Arc::clone(&aged);
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(length @ 1..) = server_reads.read(&mut buffer).await {
                    let (said, name) = (&mut buffer[..length], b"redis_version:");
                    if aged.load(Ordering::SeqCst)
                        && let Some(at) = said.windows(name.len()).position(|window| window == name)
                    {
                        said[at + name.len()..][..4].copy_from_slice(b"6.2.");
                    }
                    if client_writes.write_all(said).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn redis_before_7_0_is_refused_with_a_reason() {
    capture();
    let (server, aged) = (RedisServer::start(NONE).await, Arc::new(AtomicBool::new(true)));
    let address = aging(&server, &aged).await;
    let host = StoreHost { name: "127.0.0.1".to_owned(), port: address.port() };
    let store = start(options(url(RedisTopology::Single(host))));
    assert_eventually("it is said", SOON, async || captured().contains("session_store_too_old")).await;
    let text = captured();
    assert!(
        text.contains("Redis 6.2.") && text.contains("doorward needs Redis 7.0, or Valkey 7.2"),
        "{text}"
    );
    // After several attempts it is still refused, and the reason was logged only once.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_fails_at_once(&store).await;
    assert_eq!(captured().matches("session_store_too_old").count(), 1, "{}", captured());
    aged.store(false, Ordering::SeqCst);
    assert_answers(&store).await;
    store.check(session()).await.expect("used");
}
