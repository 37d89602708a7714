//! The Redis of one test, with access for gateways and faults.

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

    /// Deletes everything.
    pub(crate) async fn flush(&self) {
        self.0.ask::<()>(&["FLUSHALL"]).await;
    }

    /// Crashes the server.
    pub(crate) fn kill(&self) {
        self.0.kill();
    }

    /// Restarts on the same port, with the saved data or none.
    pub(crate) async fn restart(&self) {
        self.0.kill();
        self.0.spawn().await;
    }

    /// Saves everything to disk.
    pub(crate) async fn save(&self) {
        self.0.ask::<()>(&["SAVE"]).await;
    }

    /// Returns true if the session has a tombstone.
    pub(crate) async fn is_tombstone(&self, session: &str) -> bool {
        self.value(session).await.is_some_and(|value| value.len() == 2)
    }

    /// Returns true if the session has a live record.
    pub(crate) async fn knows(&self, session: &str) -> bool {
        self.value(session).await.is_some_and(|value| value.len() > 2)
    }

    async fn value(&self, session: &str) -> Option<Vec<u8>> {
        self.0.try_ask(&["GET", &format!("dw:s:{session}")]).await.ok()?
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        self.0.ask(&["KEYS", "*"]).await
    }

    /// Remaining lifetime of a session's record or tombstone.
    pub(crate) async fn stays(&self, session: &str) -> Duration {
        Duration::from_millis(self.0.ask(&["PTTL", &format!("dw:s:{session}")]).await)
    }

    /// Sets the remaining lifetime, as if the rest had passed.
    pub(crate) async fn leave(&self, session: &str, stay: Duration) {
        let millis = stay.as_millis().to_string();
        self.0.ask::<()>(&["PEXPIRE", &format!("dw:s:{session}"), &millis]).await;
    }

    /// All keys and values.
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
