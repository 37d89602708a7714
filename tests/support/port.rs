//! Ports for servers that need a fixed one: other processes, and servers that restart.

use std::net::{SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// A free port, given out once per process. It is below the ephemeral range (Linux: from 32768 on): a free port of that
/// range may become the source port of an outgoing connection before the server listens on it.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static START: OnceLock<u16> = OnceLock::new();
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Each process starts at a different offset.
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
