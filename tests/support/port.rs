//! Ports for servers that are told theirs: other processes, and servers that are started again.

use std::net::{SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens on, given out once by this process, and below those that the system gives to outgoing
/// connections and to whoever asks for any (Linux: 32768 on). A port of those that is free now may be an outgoing
/// connection's by the time a server is to listen on it, and the server fails.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static START: OnceLock<u16> = OnceLock::new();
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin in different places.
    let start = START.get_or_init(|| {
        let id = std::process::id().wrapping_mul(7_919) % u32::from(COUNT);
        u16::try_from(id).expect("below the count")
    });
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_ok() {
            return port;
        }
    }
}
