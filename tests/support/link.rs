//! The wire between one gateway and one store: forwards bytes, until it is cut in one of two ways.

use std::net::SocketAddr;
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
    /// Connections break, and new ones at once.
    Broken,
    /// Connections stay and nothing arrives any more, as behind a dead switch.
    Silent,
}

/// A wire; gone when dropped.
pub(crate) struct Link {
    address: SocketAddr,
    far_end: Arc<Mutex<SocketAddr>>,
    state: watch::Sender<State>,
    _serving: JoinSet<()>,
}

impl Link {
    /// To a server that listens at `to`, now or later.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State::Whole);
        let (mut serving, told) = (JoinSet::new(), state.subscribe());
        let far_end = Arc::new(Mutex::new(to));
        let leads_to = Arc::clone(&far_end);
        serving.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let to = *leads_to.lock().expect("not poisoned");
                wires.spawn(wire(client, to, told.clone()));
            }
        });
        Self { address, far_end, state, _serving: serving }
    }

    /// Where its near end is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on its connections lead elsewhere, as a name does that moves to another server.
    pub(crate) async fn lead_to(&self, to: SocketAddr) {
        *self.far_end.lock().expect("not poisoned") = to;
        self.break_off();
        // Those that carry see only the last state there was.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.mend();
    }

    /// Every connection breaks, also those to come.
    pub(crate) fn break_off(&self) {
        self.state.send_replace(State::Broken);
    }

    /// Nothing arrives any more; nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// As before.
    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn wire(client: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    if !passes(&mut state).await {
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else { return };
    // Without this the small answers of a store would wait for each other's acknowledgements.
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(from_client, to_server, state.clone()) => {}
        () = carry(from_server, to_client, state.clone()) => {}
        () = broken(state) => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if !passes(&mut state).await || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits out a silence; whether the wire is whole then.
async fn passes(state: &mut watch::Receiver<State>) -> bool {
    state.wait_for(|state| *state != State::Silent).await.is_ok_and(|state| *state == State::Whole)
}

async fn broken(mut state: watch::Receiver<State>) {
    let _ = state.wait_for(|state| *state == State::Broken).await;
}
