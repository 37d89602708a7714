//! Sockets that the service manager has opened (sd_listen_fds(3)): `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`.

use std::io;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;

/// The name of a socket that was given none.
const UNNAMED: &str = "unknown";

/// Takes them over, with their names; `variable` answers for the environment. None where they are for another process, such as
/// the one that has started this one in its place.
///
/// # Errors
/// When one of them is no listening stream socket.
pub(super) fn sockets(variable: &impl Fn(&str) -> Option<String>) -> io::Result<Vec<(String, OwnedFd)>> {
    let is_ours = variable("LISTEN_PID").is_some_and(|pid| pid.parse() == Ok(std::process::id()));
    if !is_ours {
        return Ok(Vec::new());
    }
    // Read before the crate takes its variables out of the environment.
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
