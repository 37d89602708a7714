//! Time travel on a Redis server.

use std::time::Duration;

use crate::servers::RedisServer;

impl RedisServer {
    /// Moves the expiry of all keys with this prefix forward by `span`; keys that would have expired are deleted.
    pub(crate) async fn travel(&self, prefix: &str, span: Duration) {
        let mut connection = self.connection().await.expect("connected");
        let pattern = format!("{prefix}*");
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(&pattern).query_async(&mut connection).await.expect("keys");
        if keys.is_empty() {
            return;
        }
        let mut times = redis::pipe();
        for key in &keys {
            times.cmd("PEXPIRETIME").arg(key);
        }
        let times: Vec<i64> = times.query_async(&mut connection).await.expect("times");
        let mut moves = redis::pipe();
        for (key, time) in keys.iter().zip(times).filter(|(_, time)| *time > 0) {
            let span = i64::try_from(span.as_millis()).expect("a short journey");
            moves.cmd("PEXPIREAT").arg(key).arg(time - span).ignore();
        }
        moves.query_async::<()>(&mut connection).await.expect("moved");
    }
}
