//! Listening sockets: bound, inherited, or opened by the service manager; served, and kept for a handover.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::protocols::GetSocketDigest as _;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::stream::Stream as Socket;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpSocket, UnixSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Inherited, StartError};
use crate::config::ListenAddress;

/// Length of the accept queue; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Size of a connection's read buffer, which exists as long as the connection. Pingora's 64 KiB would use 640 MiB for
/// the default limit of 10,000 connections. It is larger than most headers; bodies bypass it.
const READ_BUFFER: usize = 4 << 10;

/// Pause after a failed accept, for example without free file descriptors: the next one would fail at once.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// A bound listener that is not served yet; closed when dropped.
pub(super) struct Bound {
    listener: Listener,
    configured: ListenAddress,
}

enum Listener {
    Tcp(std::net::TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

/// Addresses of served listeners.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) tcp: Vec<SocketAddr>,
    pub(super) unix: Vec<PathBuf>,
}

/// File of a Unix socket that this program created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another socket may have replaced it.
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), id: (metadata.dev(), metadata.ino()) })
    }

    /// Removes the file if it is still the same. Must be called after the listener has closed.
    pub(super) fn remove(&self) {
        if Self::of(&self.path).is_ok_and(|there| there == *self) {
            // It may already be gone, or the directory may be read-only. The next start replaces a stale file.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Bound {
    /// Duplicates the socket; returns it with its address in the configuration.
    pub(super) fn to_hand_over(&self) -> io::Result<(String, OwnedFd)> {
        let socket: BorrowedFd<'_> = match &self.listener {
            Listener::Tcp(listener, _) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        };
        Ok((self.configured.to_string(), socket.try_clone_to_owned()?))
    }

    /// Returns the file to remove at shutdown. A socket file of the service manager is not removed.
    pub(super) fn file(&self) -> Option<SocketFile> {
        match &self.configured {
            ListenAddress::Unix(path) => SocketFile::of(path).ok(),
            ListenAddress::Tcp(_) | ListenAddress::Inherited(_) => None,
        }
    }
}

pub(super) fn bind_all(
    key: &'static str,
    addresses: &[ListenAddress],
    unix_mode: u32,
    inherited: &mut Inherited,
) -> Result<Vec<Bound>, StartError> {
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |source| StartError::Listen { key, address: address.to_string(), source };
        let sockets = inherited.take(address);
        let is_inherited = !sockets.is_empty();
        for socket in sockets {
            let listener = adopt(socket).map_err(failed)?;
            bound.push(Bound { listener, configured: address.clone() });
        }
        let listener = match address {
            _ if is_inherited => continue,
            ListenAddress::Tcp(address) => bind(*address),
            ListenAddress::Unix(path) => bind_unix(path, unix_mode),
            ListenAddress::Inherited(_) => Err(io::ErrorKind::NotFound.into()),
        };
        bound.push(Bound { listener: listener.map_err(failed)?, configured: address.clone() });
    }
    Ok(bound)
}

fn adopt(socket: OwnedFd) -> io::Result<Listener> {
    if !sockopt::socket_acceptconn(&socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a listening socket"));
    }
    if sockopt::socket_domain(&socket)? == AddressFamily::UNIX {
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let path = address.as_pathname().map_or_else(|| PathBuf::from("-"), Path::to_owned);
        return Ok(Listener::Unix(listener, path));
    }
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Listener::Tcp(listener, address))
}

fn bind(address: SocketAddr) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let address = listener.local_addr()?;
    Ok(Listener::Tcp(listener, address))
}

/// Binds a Unix socket. A stale file of a killed process is replaced; one with a listener is not.
fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if is_listened_on(path)? => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => std::fs::remove_file(path)?,
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Set before listening: until then nobody can connect.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    Ok(Listener::Unix(listener, path.to_owned()))
}

/// Returns whether a process listens on the socket, without waiting: a listener with a full queue counts.
fn is_listened_on(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT) => Ok(false),
        Err(rustix::io::Errno::AGAIN) | Ok(()) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Serves bound listeners. Pingora uses a descriptor listed for the address instead of binding. Unix sockets are served
/// here: Pingora would change the permissions of their files, which the service manager may own.
pub(super) fn serve<A: ServerApp + Send + Sync + 'static>(
    listeners: &mut JoinSet<()>,
    name: &str,
    app: impl Fn() -> A,
    bound: Vec<Bound>,
    shutdown: &watch::Receiver<bool>,
) -> io::Result<Addresses> {
    let mut service = Service::new(name.to_owned(), app());
    let mut table = Fds::new();
    let mut addresses = Addresses::default();
    let mut unix = Vec::new();
    for Bound { listener, .. } in bound {
        match listener {
            Listener::Tcp(listener, address) => {
                let buffers = L4BufferSettings::default().read(READ_BUFFER);
                service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
                table.add(address.to_string(), listener.into_raw_fd());
                addresses.tcp.push(address);
            }
            Listener::Unix(listener, path) => {
                unix.push(tokio::net::UnixListener::from_std(listener)?);
                addresses.unix.push(path);
            }
        }
    }
    if !addresses.tcp.is_empty() {
        let (table, shutdown): (ListenFds, _) = (Arc::new(table.into()), shutdown.clone());
        listeners.spawn(async move { service.start_service(Some(table), shutdown, 1).await });
    }
    if !unix.is_empty() {
        let (app, shutdown) = (Arc::new(app()), shutdown.clone());
        listeners.spawn(async move {
            let mut accepting = JoinSet::new();
            for listener in unix {
                accepting.spawn(accept(Arc::clone(&app), listener, shutdown.clone()));
            }
            accepting.join_all().await;
            app.cleanup().await;
        });
    }
    Ok(addresses)
}

/// Accepts and serves connections of a Unix socket until `shutdown`.
async fn accept<A: ServerApp + Send + Sync + 'static>(
    app: Arc<A>,
    listener: tokio::net::UnixListener,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            // An error means that the sender is gone, which counts as a shutdown.
            _ = shutdown.wait_for(|stopping| *stopping) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let digest = SocketDigest::from_raw_fd(std::os::fd::AsRawFd::as_raw_fd(&stream));
                // A peer of a Unix socket has no address.
                let _ = digest.peer_addr.set(None);
                let mut stream = Socket::from(stream);
                stream.set_socket_digest(digest);
                let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
                tokio::spawn(async move { app.process_new(Box::new(stream), &shutdown).await });
            }
            Err(error) => {
                tracing::warn!(reason = "accept_failed", cause = %error, "a connection was not accepted");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(path: &Path) -> io::Result<UnixListener> {
        match bind_unix(path, 0o640)? {
            Listener::Unix(listener, _) => Ok(listener),
            Listener::Tcp(..) => unreachable!(),
        }
    }

    #[tokio::test]
    async fn unix_socket_replaces_a_stale_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let first = bound(&path).expect("a socket");
        assert_eq!(std::fs::metadata(&path).expect("its file").mode() & 0o777, 0o640);
        let first_file = SocketFile::of(&path).expect("its file");
        assert_eq!(bound(&path).expect_err("it is listened on").kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let _second = bound(&path).expect("the file is stale");
        let second_file = SocketFile::of(&path).expect("its file");
        if first_file != second_file {
            first_file.remove();
            assert!(path.exists(), "it is another's now");
        }
        second_file.remove();
        assert!(!path.exists());
        std::fs::write(&path, "precious").expect("written");
        assert_eq!(bound(&path).expect_err("no socket").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
        let dead = folder.path().join("no").join("s");
        assert_eq!(bound(&dead).expect_err("no folder").kind(), io::ErrorKind::NotFound);
    }
}
