//! Notifications to a service manager: the protocol of sd_notify(3), a datagram to the socket it names. The protocol is
//! one `send`, so forty lines replace a dependency. Without a service manager nothing is sent.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// Reports that the gateway serves.
pub(super) fn ready() {
    notify("READY=1\nSTATUS=serving");
}

/// Reports that the configuration is being reloaded; [`ready`] follows.
pub(super) fn reloading() {
    // Identifies the reload, by the service manager's clock.
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the configuration"));
}

/// Reports that this process is the main one now: its predecessor hands over.
pub(super) fn is_main() {
    notify(&format!("MAINPID={}", std::process::id()));
}

/// Reports that the gateway stops.
pub(super) fn stopping() {
    notify("STOPPING=1\nSTATUS=draining requests");
}

fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = address(&name.to_string_lossy()).and_then(|address| send(state, &address));
    if let Err(error) = sent {
        tracing::warn!(reason = "manager_not_told", cause = %error, "the service manager could not be notified");
    }
}

/// Sends without waiting: a service manager that does not read its socket must not block a worker that serves requests.
/// A message that does not fit the socket's buffer is lost, which the log reports.
fn send(state: &str, address: &SocketAddr) -> std::io::Result<usize> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), address)
}

/// Parses a path, or a name in the abstract namespace if it begins with `@`.
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
    fn notification_does_not_block_on_an_unread_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _unread = UnixDatagram::bind(&path).unwrap();
        let address = address(path.to_str().unwrap()).unwrap();
        // The queue of a datagram socket is short (net.unix.max_dgram_qlen); a blocking send would wait here forever.
        let full = (0..10_000).find_map(|_| send("STATUS=serving", &address).err());
        assert_eq!(full.map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock));
    }
}
