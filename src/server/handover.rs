//! Handover: the listening sockets are given to another process of this program, which serves in our place.
//!
//! ```text
//!  running process                            its successor (the program as it is on the disk now)
//!  SIGUSR2 -> starts it, a socket as stdin -> reads the addresses and the sockets
//!  goes on serving                            opens the stores, loads set and keys, serves
//!  retires: takes nothing new, ends when  <-  "ready"
//!  its last connection has gone
//! ```
//!
//! Until `ready` nothing is lost whatever becomes of the successor: it is ended, and we go on. Both accept from the same
//! sockets, so no connection waits in a queue that nobody reads. The sockets travel over a pair that only the two hold:
//! there is no name in the file system at which somebody else could ask for them, or offer others.

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

/// Says to a successor that its standard input is the channel.
const VARIABLE: &str = "DOORWARD_HANDOVER";
/// Sockets at most: what one message can carry is 253 (`SCM_MAX_FD`), and nobody listens on so many addresses.
const MOST: usize = 64;
/// Of the list of addresses, each some 50 bytes.
const MESSAGE: usize = 16 * 1024;
/// A successor that has not served by then does not: the stores must have answered and the log been loaded, for which a
/// start has a minute.
const PATIENCE: Duration = Duration::from_secs(75);
const READY: &[u8] = b"ready\n";

/// Listening sockets, by the address that the configuration gives them (whose port may be 0).
pub(super) type Sockets = Vec<(String, OwnedFd)>;

/// Why a successor does not serve. This process goes on.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// It cannot be started.
    #[error("`{program}` cannot be started: {source}")]
    Start {
        /// As it was called.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It cannot be told of the sockets.
    #[error("the sockets cannot be handed over: {0}")]
    Channel(#[from] io::Error),
    /// It ended; its own words say why.
    #[error("the new process ended before it served; what it said is above")]
    Ended,
    /// It does not come to an end.
    #[error("the new process did not serve within {} s, and was ended", PATIENCE.as_secs())]
    Late,
    /// More sockets than can be handed over.
    #[error("more than {MOST} addresses to listen on cannot be handed over: restart instead")]
    TooMany,
}

/// A process that is to serve in our place; ended when dropped, until it does.
struct Successor(Option<Child>);

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.start_kill();
        }
    }
}

/// Starts the program anew as it was called, and returns its process id when it serves.
///
/// # Errors
/// Why it does not; it has been ended then.
pub(super) async fn hand_over(sockets: &Sockets, called: &[OsString]) -> Result<Option<u32>, HandoverError> {
    let [program, arguments @ ..] = called else { return Err(HandoverError::Ended) };
    if sockets.len() > MOST {
        return Err(HandoverError::TooMany);
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(program);
    command.args(arguments).env(VARIABLE, "1").stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = command
        .spawn()
        .map_err(|source| HandoverError::Start { program: program.to_string_lossy().into_owned(), source })?;
    // Holds their end of the pair: without it an early end of theirs would not be noticed.
    drop(command);
    let id = child.id();
    let mut successor = Successor(Some(child));
    send(&ours, sockets)?;
    ours.set_nonblocking(true)?;
    let mut ours = tokio::net::UnixStream::from_std(ours)?;
    let mut word = [0; READY.len()];
    match tokio::time::timeout(PATIENCE, ours.read_exact(&mut word)).await {
        Ok(Ok(_)) if word == READY => {
            // Not ours to end any more.
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
    if message.len() > MESSAGE {
        return Err(io::Error::other("the addresses do not fit into one message"));
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("the sockets do not fit into one message"));
    }
    let sent = sendmsg(channel, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// What a process inherits: of the one before it, or of the service manager.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Sockets,
    channel: Option<UnixStream>,
}

impl Inherited {
    /// Takes over what stands behind standard input, if this process was started by an upgrade, or else what the service
    /// manager hands over; `variable` answers for the environment.
    ///
    /// # Errors
    /// When this is no channel, or what comes over it cannot be used.
    pub fn receive(variable: impl Fn(&str) -> Option<String>) -> io::Result<Self> {
        if variable(VARIABLE).is_none() {
            let activated = activation::sockets(&variable)?;
            let sockets =
                activated.into_iter().map(|(name, socket)| (format!("fd:{name}"), socket)).collect();
            return Ok(Self { sockets, channel: None });
        }
        let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let sockets = receive(&channel)
            .map_err(|error| io::Error::other(format!("{VARIABLE} is set, and standard input brings no sockets ({error}): it is for upgrades (SIGUSR2) alone; unset it")))?;
        Ok(Self { sockets, channel: Some(channel) })
    }

    /// The sockets that the configuration gives this address, if they were inherited; each once. Only a name of the service
    /// manager's may stand for several.
    pub(super) fn take(&mut self, address: &ListenAddress) -> Vec<OwnedFd> {
        let most = if matches!(address, ListenAddress::Inherited(_)) { usize::MAX } else { 1 };
        let address = address.to_string();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(at) = self.sockets.iter().position(|(known, _)| *known == address)
        {
            taken.push(self.sockets.remove(at).1);
        }
        taken
    }

    /// The addresses of sockets that nobody has taken: whoever connects to one would wait for ever.
    pub(super) fn left(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|(address, _)| address.as_str())
    }

    /// We serve: whoever served before may retire. What it listened on and the configuration no longer names is closed.
    /// Whether there was anybody.
    pub fn serves(self) -> bool {
        let Some(mut channel) = self.channel else { return false };
        // It may have ended meanwhile.
        let _ = io::Write::write_all(&mut channel, READY);
        true
    }
}

fn receive(channel: &UnixStream) -> io::Result<Sockets> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut message = vec![0; MESSAGE];
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
    fn sockets_arrive_under_the_addresses_they_were_given() {
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
        assert_eq!(inherited.left().count(), 0);
    }

    #[test]
    fn what_is_no_handover_is_refused() {
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
