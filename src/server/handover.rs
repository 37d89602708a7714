//! Handover: the listening sockets are passed to another process of this program, which serves in place of this one.
//!
//! ```text
//!  running process                            its successor (the current program file)
//!  SIGUSR2 -> starts it, a socket as stdin -> reads the addresses and the sockets
//!  continues to serve                         opens the stores, loads revocations and keys, serves
//!  retires: accepts nothing new, ends after <- "ready"
//!  its last connection
//! ```
//!
//! Until `ready` nothing is lost if the successor fails: it is killed, and this process continues. Both accept from the
//! same sockets, so no connection waits in a queue without a reader. The sockets are passed over a socket pair that
//! only the two processes hold. It has no name in the file system, so nobody else can request sockets or offer others.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::activation;
use crate::config::ListenAddress;

/// Tells a successor that its standard input is the channel.
const VARIABLE: &str = "DOORWARD_HANDOVER";
/// Maximum number of sockets. One message can carry 253 (`SCM_MAX_FD`), and nobody listens on so many addresses.
const MAX_SOCKETS: usize = 64;
/// Maximum size of the list of addresses, each about 50 bytes.
const MAX_MESSAGE: usize = 16 * 1024;
/// Timeout for a successor to serve. The stores must answer and the revocation log must load, for which a start has a
/// minute.
const TIMEOUT: Duration = Duration::from_secs(75);
const READY: &[u8] = b"ready\n";

/// Listening sockets, by their address in the configuration (whose port may be 0).
pub(super) type Sockets = Vec<(String, OwnedFd)>;

/// Reason why a successor does not serve. This process continues.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The program cannot be started.
    #[error("`{program}` cannot be started: {source}")]
    Start {
        /// The program, as it was called.
        program: String,
        /// The I/O error.
        source: io::Error,
    },
    /// The sockets cannot be sent.
    #[error("the sockets cannot be handed over: {0}")]
    Channel(#[from] io::Error),
    /// The new process ended; its own output says why.
    #[error("the new process ended before it served; its output is above")]
    Ended,
    /// The new process did not serve in time.
    #[error("the new process did not serve within {} s, and was stopped", TIMEOUT.as_secs())]
    Late,
    /// There are more sockets than can be handed over.
    #[error("more than {MAX_SOCKETS} addresses to listen on cannot be handed over: restart instead")]
    TooMany,
}

/// A successor process; killed when dropped, unless it serves.
struct Successor(Option<Child>);

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended already.
            let _ = child.start_kill();
        }
    }
}

/// Starts the program with the same arguments; returns its process id once it serves.
///
/// # Errors
/// The reason why it does not serve; it has been killed then.
pub(super) async fn hand_over(sockets: &Sockets, called: &[OsString]) -> Result<Option<u32>, HandoverError> {
    let [program, arguments @ ..] = called else { return Err(HandoverError::Ended) };
    if sockets.len() > MAX_SOCKETS {
        return Err(HandoverError::TooMany);
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(program);
    command.args(arguments).env(VARIABLE, "1").stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = command
        .spawn()
        .map_err(|source| HandoverError::Start { program: program.to_string_lossy().into_owned(), source })?;
    // The command holds the other end of the pair: without this drop, an early end of the successor would go unnoticed.
    drop(command);
    let id = child.id();
    let mut successor = Successor(Some(child));
    send(&ours, sockets)?;
    ours.set_nonblocking(true)?;
    let mut ours = tokio::net::UnixStream::from_std(ours)?;
    let mut message = [0; READY.len()];
    match tokio::time::timeout(TIMEOUT, ours.read_exact(&mut message)).await {
        Ok(Ok(_)) if message == READY => {
            // It serves now, so it must not be killed.
            drop(successor.0.take());
            Ok(id)
        }
        Ok(_) => Err(HandoverError::Ended),
        Err(_) => Err(HandoverError::Late),
    }
}

fn send(channel: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let addresses: Vec<&String> = sockets.iter().map(|(address, _)| address).collect();
    let message = serde_json::to_vec(&addresses)?;
    if message.len() > MAX_MESSAGE {
        return Err(io::Error::other("the addresses do not fit into one message"));
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("the sockets do not fit into one message"));
    }
    let sent = sendmsg(channel, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Sockets inherited from a predecessor or from the service manager.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Sockets,
    channel: Option<UnixStream>,
}

impl Inherited {
    /// Takes over the sockets: from the channel on standard input if an upgrade started this process, or else from the
    /// service manager. `variable` looks up environment variables.
    ///
    /// # Errors
    /// Standard input is not a channel, or the sockets cannot be used.
    pub fn receive(variable: impl Fn(&str) -> Option<String>) -> io::Result<Self> {
        if variable(VARIABLE).is_none() {
            let activated = activation::sockets(&variable)?;
            let sockets =
                activated.into_iter().map(|(name, socket)| (format!("fd:{name}"), socket)).collect();
            return Ok(Self { sockets, channel: None });
        }
        let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let sockets = receive(&channel)
            .map_err(|error| io::Error::other(format!("{VARIABLE} is set, but standard input has no sockets ({error}): it is only for upgrades (SIGUSR2); unset it")))?;
        Ok(Self { sockets, channel: Some(channel) })
    }

    /// Takes the inherited sockets for this address of the configuration, each only once. Only a name from the service
    /// manager may stand for several.
    pub(super) fn take(&mut self, address: &ListenAddress) -> Vec<OwnedFd> {
        let max = if matches!(address, ListenAddress::Inherited(_)) { usize::MAX } else { 1 };
        let address = address.to_string();
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(at) = self.sockets.iter().position(|(known, _)| *known == address)
        {
            taken.push(self.sockets.remove(at).1);
        }
        taken
    }

    /// Returns the addresses of unused sockets: clients that connect to one would wait forever.
    pub(super) fn unused(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|(address, _)| address.as_str())
    }

    /// Tells the predecessor, if any, that it may retire. Closes sockets that the configuration no longer names.
    /// Returns whether there is a predecessor.
    pub fn serves(self) -> bool {
        let Some(mut channel) = self.channel else { return false };
        // The predecessor may have ended meanwhile.
        let _ = io::Write::write_all(&mut channel, READY);
        true
    }
}

fn receive(channel: &UnixStream) -> io::Result<Sockets> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut message = vec![0; MAX_MESSAGE];
    let received =
        recvmsg(channel, &mut [IoSliceMut::new(&mut message)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let addresses: Vec<String> = serde_json::from_slice(&message[..received.bytes])?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    if descriptors.len() != addresses.len() {
        return Err(io::Error::other("not as many sockets as addresses"));
    }
    Ok(addresses.into_iter().zip(descriptors).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    fn listener() -> (OwnedFd, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener.into(), address)
    }

    #[test]
    fn sockets_arrive_with_their_addresses() {
        let (one, other) = UnixStream::pair().unwrap();
        let named = ListenAddress::from("127.0.0.1:8080".parse::<SocketAddr>().unwrap());
        let any = ListenAddress::from("127.0.0.1:0".parse::<SocketAddr>().unwrap());
        let web = ListenAddress::Inherited("web".to_owned());
        let given = [&any, &named, &any, &web, &web].map(|address| (address.to_string(), listener()));
        let bound: Vec<SocketAddr> = given.iter().map(|(_, (_, address))| *address).collect();
        let sockets: Sockets = given.into_iter().map(|(address, (socket, _))| (address, socket)).collect();
        send(&one, &sockets).unwrap();
        let mut inherited = Inherited { sockets: receive(&other).unwrap(), channel: None };
        let mut take = |address: &ListenAddress| {
            let taken = inherited.take(address).into_iter();
            taken.map(|socket| TcpListener::from(socket).local_addr().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(take(&named), [bound[1]]);
        assert_eq!(take(&named), [], "each once");
        assert_eq!(take(&any), [bound[0]]);
        assert_eq!(take(&any), [bound[2]]);
        assert_eq!(take(&web), bound[3..], "all of one name");
        assert_eq!(inherited.unused().count(), 0);
    }

    #[test]
    fn invalid_handover_is_rejected() {
        let (one, other) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut &one, b"[\"127.0.0.1:1\"]").unwrap();
        assert!(
            receive(&other).unwrap_err().to_string().contains("as many"),
            "an address without its socket"
        );
        io::Write::write_all(&mut &one, b"hello").unwrap();
        assert!(receive(&other).is_err());
        drop(one);
        assert!(receive(&other).is_err(), "nothing");
    }
}
