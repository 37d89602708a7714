//! Attacking clients on a few hundred addresses, each reconnecting as soon as it is disconnected.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::support::tls::Trust;

/// Connections per address: fewer than `connections_per_ip`, so that another limit applies.
const PER_ADDRESS: usize = 250;

/// Counters of the attack.
#[derive(Default)]
pub(crate) struct Done {
    /// Connections opened.
    pub(crate) opened: AtomicU64,
    /// Connections currently open.
    pub(crate) held: AtomicU64,
    /// Connections closed by the gateway.
    pub(crate) ended: AtomicU64,
    /// Longest connection duration in milliseconds.
    pub(crate) longest: AtomicU64,
    /// Units sent by the attack: bytes, frames or streams.
    pub(crate) sent: AtomicU64,
}

impl Done {
    pub(crate) fn get(&self, what: impl Fn(&Self) -> &AtomicU64) -> u64 {
        what(self).load(Ordering::SeqCst)
    }

    pub(crate) fn sent(&self, count: usize) {
        self.sent.fetch_add(count as u64, Ordering::SeqCst);
    }
}

/// A running attack; stopped when dropped.
pub(crate) struct Load {
    pub(crate) done: Arc<Done>,
    attackers: JoinSet<()>,
}

impl Load {
    /// Starts `attackers` tasks. Each connects, runs `life` until the gateway closes the connection, and reconnects.
    pub(crate) fn begin<F: Future<Output = ()> + Send + 'static>(
        attackers: usize,
        target: SocketAddr,
        life: impl Fn(TcpStream, Arc<Done>) -> F + Send + Sync + 'static,
    ) -> Self {
        let (done, life) = (Arc::new(Done::default()), Arc::new(life));
        let mut tasks = JoinSet::new();
        for at in 0..attackers {
            let (done, life) = (Arc::clone(&done), Arc::clone(&life));
            tasks.spawn(async move {
                loop {
                    if let Ok(stream) = connect(at, target).await {
                        let visit = Visit::begin(&done);
                        life(stream, Arc::clone(&done)).await;
                        visit.was_ended();
                    }
                    // Limits the rate of reconnects and leaves CPU time to the gateway.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Self { done, attackers: tasks }
    }

    /// Stops the attack.
    pub(crate) async fn end(mut self) -> Arc<Done> {
        self.attackers.shutdown().await;
        Arc::clone(&self.done)
    }
}

/// Lifetime of one connection.
struct Visit<'a> {
    done: &'a Done,
    begun: Instant,
}

impl<'a> Visit<'a> {
    fn begin(done: &'a Done) -> Self {
        done.opened.fetch_add(1, Ordering::SeqCst);
        done.held.fetch_add(1, Ordering::SeqCst);
        Self { done, begun: Instant::now() }
    }

    fn was_ended(self) {
        self.done.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).expect("short");
        self.done.longest.fetch_max(millis, Ordering::SeqCst);
        self.done.held.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Connects from the address of attacker `at`; Linux accepts all of 127.0.0.0/8.
pub(crate) async fn connect(at: usize, target: SocketAddr) -> io::Result<TcpStream> {
    let address = u8::try_from(at / PER_ADDRESS + 1).expect("some hundred addresses at most");
    let socket = TcpSocket::new_v4()?;
    // The smallest buffer the kernel allows, so that unread data waits at the gateway.
    socket.set_recv_buffer_size(4096)?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 9, 0, address), 0)))?;
    socket.connect(target).await
}

/// TLS handshake for HTTP/2.
///
/// Delayed: a handshake costs an unoptimised attacker as much as the gateway, and a handshake flood is a different
/// attack.
pub(crate) async fn secure(trust: &Trust, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stream = trust.offering(&[b"h2"]).over(stream, "gateway.test").await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 was offered");
    Ok(stream)
}

/// Sends `begin`, then `more` after each `pause`, until the gateway closes the connection.
pub(crate) async fn pour(
    stream: impl AsyncRead + AsyncWrite,
    done: Arc<Done>,
    begin: Vec<u8>,
    mut more: impl FnMut() -> Vec<u8>,
    pause: Duration,
) {
    let (mut from, mut to) = tokio::io::split(stream);
    let reading = async {
        let mut buffer = [0; 1024];
        while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    let writing = async {
        let mut next = begin;
        while to.write_all(&next).await.is_ok() && to.flush().await.is_ok() {
            done.sent(next.len());
            next = more();
            // The pause is part of the attack; it waits for nothing.
            tokio::time::sleep(pause).await;
        }
        // The gateway's response is still to be read.
        std::future::pending::<()>().await;
    };
    tokio::select! { () = reading => {} () = writing => {} }
}
