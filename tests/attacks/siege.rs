//! Attackers: each from an address of a few hundred, and again as soon as it is turned away.

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

/// Connections of one address: fewer than `connections_per_ip`, so that it is another limit that has to hold.
const PER_ADDRESS: usize = 250;

/// What the attackers have done.
#[derive(Default)]
pub(crate) struct Done {
    /// Connections made.
    pub(crate) opened: AtomicU64,
    /// Of them, those that are there.
    pub(crate) held: AtomicU64,
    /// Connections the gateway has ended.
    pub(crate) ended: AtomicU64,
    /// How long the longest was there, in milliseconds.
    pub(crate) longest: AtomicU64,
    /// What the attack is made of: bytes, frames, streams.
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

/// An attack under way; ended when dropped.
pub(crate) struct Siege {
    pub(crate) done: Arc<Done>,
    attackers: JoinSet<()>,
}

impl Siege {
    /// Each attacker connects, lives as `life` says until the gateway has enough of it, and comes again.
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
                    // As somebody who pays for connections would; and others of this process want to run, too.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Self { done, attackers: tasks }
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> Arc<Done> {
        self.attackers.shutdown().await;
        Arc::clone(&self.done)
    }
}

/// One connection's time.
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

/// A connection from the address of the `at`-th attacker: Linux has all of 127.0.0.0/8.
pub(crate) async fn connect(at: usize, target: SocketAddr) -> io::Result<TcpStream> {
    let address = u8::try_from(at / PER_ADDRESS + 1).expect("some hundred addresses at most");
    let socket = TcpSocket::new_v4()?;
    // As little as the kernel allows: what is not taken is to wait at the gateway, not here.
    socket.set_recv_buffer_size(4096)?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 9, 0, address), 0)))?;
    socket.connect(target).await
}

/// HTTP/2 on such a connection, as far as TLS goes.
///
/// Not at once: a handshake costs an unoptimised attacker as much as the gateway, and it is another attack that is made.
pub(crate) async fn secure(trust: &Trust, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stream = trust.offering(&[b"h2"]).over(stream, "gateway.test").await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 was offered");
    Ok(stream)
}

/// Sends `begin`, and then `more` after each `pause`, until the gateway ends it.
pub(crate) async fn pour(
    stream: impl AsyncRead + AsyncWrite,
    done: Arc<Done>,
    begin: Vec<u8>,
    mut more: impl FnMut() -> Vec<u8>,
    pause: Duration,
) {
    let (mut from, mut to) = tokio::io::split(stream);
    let reading = async {
        let mut said = [0; 1024];
        while from.read(&mut said).await.is_ok_and(|read| read > 0) {}
    };
    let writing = async {
        let mut next = begin;
        while to.write_all(&next).await.is_ok() && to.flush().await.is_ok() {
            done.sent(next.len());
            next = more();
            // What the attack is made of, and not a wait for something.
            tokio::time::sleep(pause).await;
        }
        // What the gateway has said is still to be read.
        std::future::pending::<()>().await;
    };
    tokio::select! { () = reading => {} () = writing => {} }
}
