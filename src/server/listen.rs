//! Sockets: bound or inherited, handed to Pingora, and kept to be handed over.

use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use pingora::apps::ServerApp;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Inherited, StartError};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// What is read of a client's connection at once. Each has it for as long as it is open: Pingora's 64 KiB would be 640 MiB
/// for the 10,000 that are allowed. Larger than a header mostly is; bodies are read past it.
const READ_BUFFER: usize = 4 << 10;

/// A listener that is bound but not served; closed when dropped.
pub(super) struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    /// As it stands in the configuration: its port may be 0.
    configured: SocketAddr,
}

impl Bound {
    pub(super) fn to_hand_over(&self) -> io::Result<(SocketAddr, std::net::TcpListener)> {
        Ok((self.configured, self.listener.try_clone()?))
    }
}

pub(super) fn bind_all(
    key: &'static str,
    addresses: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<Vec<Bound>, StartError> {
    let bind = |&address| {
        let bound = match inherited.take(address) {
            Some(listener) => adopt(address, listener),
            None => bind(address),
        };
        bound.map_err(|source| StartError::Listen { key, address, source })
    };
    addresses.iter().map(bind).collect()
}

fn adopt(configured: SocketAddr, listener: std::net::TcpListener) -> io::Result<Bound> {
    listener.set_nonblocking(true)?;
    Ok(Bound { address: listener.local_addr()?, configured, listener })
}

fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    Ok(Bound { address: listener.local_addr()?, configured: address, listener })
}

/// Hands bound listeners to a Pingora service and runs it. Pingora takes a descriptor that is listed under the
/// address it is told to listen on, instead of binding.
pub(super) fn serve<A: ServerApp + Send + Sync + 'static>(
    listeners: &mut JoinSet<()>,
    name: &str,
    app: A,
    bound: Vec<Bound>,
    shutdown: watch::Receiver<bool>,
) -> Vec<SocketAddr> {
    let mut service = Service::new(name.to_owned(), app);
    let mut table = Fds::new();
    let mut addresses = Vec::new();
    for Bound { listener, address, .. } in bound {
        let buffers = L4BufferSettings::default().read(READ_BUFFER);
        service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
        table.add(address.to_string(), listener.into_raw_fd());
        addresses.push(address);
    }
    let table: ListenFds = Arc::new(table.into());
    listeners.spawn(async move { service.start_service(Some(table), shutdown, 1).await });
    addresses
}
