//! The Redis of one test: as its gateways see it, and as somebody who breaks it does.

use std::net::SocketAddr;
use std::time::Duration;

use crate::servers::{NONE, RedisServer};

/// One server.
pub(crate) struct Redis(RedisServer);

impl Redis {
    pub(crate) async fn start() -> Self {
        Self(RedisServer::start(NONE).await)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.0.port))
    }

    pub(crate) async fn is_up(&self) -> bool {
        self.0.try_ask::<String>(&["PING"]).await.is_ok()
    }

    /// Everything is gone.
    pub(crate) async fn flush(&self) {
        self.0.ask::<()>(&["FLUSHALL"]).await;
    }

    /// A crash.
    pub(crate) fn kill(&self) {
        self.0.kill();
    }

    /// On the same port, with what was saved, or nothing.
    pub(crate) async fn restart(&self) {
        self.0.kill();
        self.0.spawn().await;
    }

    /// Keeps a copy of everything on the disk.
    pub(crate) async fn save(&self) {
        self.0.ask::<()>(&["SAVE"]).await;
    }

    /// Whether a session's revocation is written down.
    pub(crate) async fn is_tombstone(&self, session: &str) -> bool {
        self.value(session).await.is_some_and(|value| value.len() == 2)
    }

    /// Whether a session is on the guest list.
    pub(crate) async fn knows(&self, session: &str) -> bool {
        self.value(session).await.is_some_and(|value| value.len() > 2)
    }

    async fn value(&self, session: &str) -> Option<Vec<u8>> {
        self.0.try_ask(&["GET", &format!("dw:s:{session}")]).await.ok()?
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        self.0.ask(&["KEYS", "*"]).await
    }

    /// How long a session's record or tombstone will stay.
    pub(crate) async fn stays(&self, session: &str) -> Duration {
        Duration::from_millis(self.0.ask(&["PTTL", &format!("dw:s:{session}")]).await)
    }

    /// As if most of that time had passed.
    pub(crate) async fn leave(&self, session: &str, stay: Duration) {
        let millis = stay.as_millis().to_string();
        self.0.ask::<()>(&["PEXPIRE", &format!("dw:s:{session}"), &millis]).await;
    }

    /// Every key and value.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        let mut dump = Vec::new();
        for key in self.keys().await {
            let value: Vec<u8> = self.0.ask(&["GET", &key]).await;
            dump.extend_from_slice(key.as_bytes());
            dump.push(b'\n');
            dump.extend(value);
            dump.push(b'\n');
        }
        dump
    }
}
