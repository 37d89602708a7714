//! A TCP link between one gateway and one store, which can be broken, silenced, slowed or cut into slices.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Way of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the gateway to the store.
    ToStore,
    /// From the store to the gateway.
    ToGateway,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections break, and new ones break at once.
    Broken,
    /// As broken, with RST instead of FIN.
    Reset,
    /// Connections stay open but pass no data, as behind a dead switch.
    Silent,
    /// Data passes in the other direction only.
    Mute(Direction),
    /// The store's side of every connection is closed, and the gateway is not told.
    HalfOpen,
    /// Every piece of data waits for this time. Pieces that come meanwhile wait for it as well.
    Slow(Duration),
    /// Data comes in pieces of this many bytes, one a millisecond.
    Sliced(usize),
    /// Number of the first connections whose bytes reach the store late, and by how much. Later ones are whole.
    Lagging(usize, Duration),
}

/// Texts of equal length that are exchanged in what a store sends: how the addresses that Sentinels and Clusters name
/// become addresses of links.
pub(crate) type Renames = Arc<Mutex<Vec<(Vec<u8>, Vec<u8>)>>>;

/// A TCP link; closed when dropped.
pub(crate) struct Link {
    address: SocketAddr,
    far_end: Arc<Mutex<SocketAddr>>,
    state: watch::Sender<State>,
    /// Number of connections so far.
    accepted: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Link {
    /// A link to a server that listens at `to`, now or later.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        Self::renaming(to, Renames::default()).await
    }

    /// A link that exchanges texts in what the server sends.
    pub(crate) async fn renaming(to: SocketAddr, renames: Renames) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State::Whole);
        let (mut serving, states) = (JoinSet::new(), state.subscribe());
        let far_end = Arc::new(Mutex::new(to));
        let leads_to = Arc::clone(&far_end);
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        serving.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while wires.try_join_next().is_some() {}
                let to = *leads_to.lock().expect("not poisoned");
                let number = counted.fetch_add(1, Ordering::AcqRel);
                wires.spawn(wire(client, number, to, states.clone(), Arc::clone(&renames)));
            }
        });
        Self { address, far_end, state, accepted, _serving: serving }
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

    /// Resets every connection, including new ones.
    pub(crate) fn reset(&self) {
        self.state.send_replace(State::Reset);
    }

    /// Stops passing data without closing any connection.
    pub(crate) fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Stops passing data in one direction.
    pub(crate) fn mute(&self, direction: Direction) {
        self.state.send_replace(State::Mute(direction));
    }

    /// Closes the store's side of every connection, including new ones, without telling the gateway.
    pub(crate) fn half_open(&self) {
        self.state.send_replace(State::HalfOpen);
    }

    /// Delays what passes in either direction, as over a distance.
    pub(crate) fn slow(&self, latency: Duration) {
        self.state.send_replace(State::Slow(latency));
    }

    /// Cuts all data into pieces of `bytes`.
    pub(crate) fn slice(&self, bytes: usize) {
        self.state.send_replace(State::Sliced(bytes));
    }

    /// Delays what present connections carry to the store, as a path that is being replaced does. A gateway that gives them
    /// up and connects anew is heard at once, and later what it wrote before.
    pub(crate) fn lag(&self, latency: Duration) {
        self.state.send_replace(State::Lagging(self.accepted.load(Ordering::Acquire), latency));
    }

    /// Restores the link.
    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn wire(
    client: TcpStream,
    number: usize,
    to: SocketAddr,
    mut state: watch::Receiver<State>,
    renames: Renames,
) {
    // A second handle: halves cannot be reset.
    let client = Arc::new(client.into_std().expect("a socket"));
    if passes(&mut state, Direction::ToStore).await {
        let copy = client.try_clone().and_then(TcpStream::from_std).expect("a socket");
        carry_both(copy, number, to, state.clone(), renames).await;
    }
    // The gateway is not told of a half-open connection before the link is restored.
    let after = state.wait_for(|state| *state != State::HalfOpen).await.map(|state| *state);
    if matches!(after, Ok(State::Reset)) {
        let _ = rustix::net::sockopt::set_socket_linger(&*client, Some(Duration::ZERO));
    }
}

async fn carry_both(
    client: TcpStream,
    number: usize,
    to: SocketAddr,
    state: watch::Receiver<State>,
    renames: Renames,
) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    // Otherwise Nagle's algorithm delays the small responses of a store.
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(from_client, to_server, number, Direction::ToStore, state.clone(), Renames::default()) => {}
        () = carry(from_server, to_client, number, Direction::ToGateway, state.clone(), renames) => {}
        () = ended(state) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: usize,
    direction: Direction,
    mut state: watch::Receiver<State>,
    renames: Renames,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let mut data = bytes[..read].to_vec();
        // Every reply ends with CRLF, and no text to exchange has one: so none is torn apart.
        while is_renaming(&renames) && !data.ends_with(b"\r\n") {
            let Ok(read @ 1..) = from.read(&mut bytes).await else { break };
            data.extend_from_slice(&bytes[..read]);
        }
        rename(&mut data, &renames);
        if !passes(&mut state, direction).await {
            return;
        }
        let now = *state.borrow();
        let written = match now {
            State::Lagging(first, latency) if direction == Direction::ToStore && number < first => {
                tokio::time::sleep(latency).await;
                passes(&mut state, direction).await && to.write_all(&data).await.is_ok()
            }
            State::Slow(latency) => {
                tokio::time::sleep(latency).await;
                passes(&mut state, direction).await && to.write_all(&data).await.is_ok()
            }
            State::Sliced(size) => in_slices(&mut to, &data, size).await,
            _ => to.write_all(&data).await.is_ok(),
        };
        if !written {
            return;
        }
    }
}

async fn in_slices(to: &mut OwnedWriteHalf, data: &[u8], size: usize) -> bool {
    for slice in data.chunks(size) {
        if to.write_all(slice).await.is_err() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

fn is_renaming(renames: &Renames) -> bool {
    !renames.lock().expect("not poisoned").is_empty()
}

fn rename(data: &mut [u8], renames: &Renames) {
    for (old, new) in renames.lock().expect("not poisoned").iter() {
        let found: Vec<usize> =
            data.windows(old.len()).enumerate().filter(|(_, text)| text == old).map(|(at, _)| at).collect();
        for at in found {
            data[at..at + new.len()].copy_from_slice(new);
        }
    }
}

/// Waits until data passes in this direction. Returns false if the connection has ended then.
async fn passes(state: &mut watch::Receiver<State>, direction: Direction) -> bool {
    let decided = |state: &State| !matches!(state, State::Silent) && *state != State::Mute(direction);
    state
        .wait_for(decided)
        .await
        .is_ok_and(|state| !matches!(*state, State::Broken | State::Reset | State::HalfOpen))
}

async fn ended(mut state: watch::Receiver<State>) {
    let ended = |state: &State| matches!(state, State::Broken | State::Reset | State::HalfOpen);
    let _ = state.wait_for(ended).await;
}
