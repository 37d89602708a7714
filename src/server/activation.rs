//! Sockets opened by the service manager (sd_listen_fds(3)): `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`.

use std::io;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;

/// Name of an unnamed socket.
const UNNAMED: &str = "unknown";

/// Takes over the sockets with their names; `variable` looks up environment variables. Returns none if they are meant
/// for another process, such as the predecessor that has started this one.
///
/// # Errors
/// One of them is not a listening stream socket.
pub(super) fn sockets(variable: &impl Fn(&str) -> Option<String>) -> io::Result<Vec<(String, OwnedFd)>> {
    let is_ours = variable("LISTEN_PID").is_some_and(|pid| pid.parse() == Ok(std::process::id()));
    if !is_ours {
        return Ok(Vec::new());
    }
    // Read first: the crate removes its variables from the environment.
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(given.len());
    for at in 0..given.len() {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or(UNNAMED);
        let socket = match given.take_tcp_listener(at) {
            Ok(tcp) => tcp.map(OwnedFd::from),
            Err(_) => given
                .take_unix_listener(at)
                .map_err(|error| {
                    io::Error::other(format!("socket {name:?} of the service manager: {error}"))
                })?
                .map(OwnedFd::from),
        };
        sockets.extend(socket.map(|socket| (name.to_owned(), socket)));
    }
    Ok(sockets)
}
