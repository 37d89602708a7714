//! A TCP link between one gateway and one store that can be broken or silenced.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections break, and new ones break at once.
    Broken,
    /// Connections stay open but pass no data, as behind a dead switch.
    Silent,
}

/// A TCP link; closed when dropped.
pub(crate) struct Link {
    address: SocketAddr,
    far_end: Arc<Mutex<SocketAddr>>,
    state: watch::Sender<State>,
    delay: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Link {
    /// A link to a server that listens at `to`, now or later.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State::Whole);
        let (mut serving, states) = (JoinSet::new(), state.subscribe());
        let (far_end, delay) = (Arc::new(Mutex::new(to)), Arc::default());
        let (leads_to, delayed_by) = (Arc::clone(&far_end), Arc::clone(&delay));
        serving.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let to = *leads_to.lock().expect("not poisoned");
                wires.spawn(wire(client, to, states.clone(), Arc::clone(&delayed_by)));
            }
        });
        Self { address, far_end, state, delay, _serving: serving }
    }

    /// Address the gateway connects to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Redirects its connections, as when a DNS name moves to another server.
    pub(crate) async fn lead_to(&self, to: SocketAddr) {
        *self.far_end.lock().expect("not poisoned") = to;
        self.break_off();
        // The forwarding tasks see only the latest state.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.mend();
    }

    /// Breaks every connection, including new ones.
    pub(crate) fn break_off(&self) {
        self.state.send_replace(State::Broken);
    }

    /// Stops passing data without closing any connection.
    pub(crate) fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Delays what passes in either direction, as over a distance.
    pub(crate) fn slow(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).expect("a short time");
        self.delay.store(millis, Ordering::Relaxed);
    }

    /// Restores the link.
    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn wire(client: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>, delay: Arc<AtomicU64>) {
    if !passes(&mut state).await {
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else { return };
    // Otherwise Nagle's algorithm delays the small responses of a store.
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(from_client, to_server, state.clone(), &delay) => {}
        () = carry(from_server, to_client, state.clone(), &delay) => {}
        () = broken(state) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    delay: &AtomicU64,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let delay = delay.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if !passes(&mut state).await || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits until a silence ends. Returns false if the link is broken then.
async fn passes(state: &mut watch::Receiver<State>) -> bool {
    state.wait_for(|state| *state != State::Silent).await.is_ok_and(|state| *state == State::Whole)
}

async fn broken(mut state: watch::Receiver<State>) {
    let _ = state.wait_for(|state| *state == State::Broken).await;
}
