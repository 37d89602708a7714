//! What a service manager is told: the protocol of sd_notify(3), a datagram to the socket it names. Forty lines of ours
//! instead of a dependency: the protocol is one `send`. Without a manager nothing is said.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// It serves.
pub(super) fn ready() {
    tell("READY=1\nSTATUS=serving");
}

/// It reads its configuration again; [`ready`] follows.
pub(super) fn reloading() {
    // Which reload is meant, by the clock the manager goes by.
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the configuration"));
}

/// This process is the main one from now on: the one before hands over.
pub(super) fn is_main() {
    tell(&format!("MAINPID={}", std::process::id()));
}

/// It ends.
pub(super) fn stopping() {
    tell("STOPPING=1\nSTATUS=requests in flight may finish");
}

fn tell(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = address(&name.to_string_lossy()).and_then(|address| send(state, &address));
    if let Err(error) = sent {
        tracing::warn!(reason = "manager_not_told", cause = %error, "the service manager cannot be told how this is");
    }
}

/// Sends without waiting: a manager that does not read its socket must not hold up a worker that serves requests. What does
/// not fit its buffer is lost, and said in the log.
fn send(state: &str, address: &SocketAddr) -> std::io::Result<usize> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), address)
}

/// A path, or a name in the abstract namespace when it begins with `@`.
fn address(name: &str) -> std::io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _unread = UnixDatagram::bind(&path).unwrap();
        let address = address(path.to_str().unwrap()).unwrap();
        // The queue of a datagram socket is short (net.unix.max_dgram_qlen); a blocking send would wait here for ever.
        let full = (0..10_000).find_map(|_| send("STATUS=serving", &address).err());
        assert_eq!(full.map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock));
    }
}
