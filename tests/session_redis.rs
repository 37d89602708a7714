//! What is particular to the session store in Redis: its keys, its outages, and its kinds of servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward::clock::{Clock, SystemClock};
use doorward::config::{RedisTopology, RedisUrl};
use doorward::id::{SessionId, SystemRandom, UserId};
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Record, SessionStore};

use crate::eventually::assert_eventually;
use crate::servers::RedisServer;

#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/redis_faults.rs"]
mod faults;
#[path = "support/measured.rs"]
mod measured;
#[path = "support/redis.rs"]
mod servers;

#[path = "session_redis/cluster.rs"]
mod cluster;
#[path = "session_redis/outages.rs"]
mod outages;
#[path = "session_redis/replicas.rs"]
mod replicas;
#[path = "session_redis/sentinel.rs"]
mod sentinel;
#[path = "session_redis/shape.rs"]
mod shape;
#[path = "session_redis/tls.rs"]
mod tls;

const MINUTE: Duration = Duration::from_secs(60);

/// A new connection waits up to 2 s for its turn and takes a moment; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn session() -> SessionId {
    SessionId::random(&SystemRandom)
}

fn record() -> Record {
    Record { user_id: UserId::random(&SystemRandom), expires_at: SystemClock::new().wall() + MINUTE * 60 }
}

fn options(url: RedisUrl) -> RedisOptions {
    RedisOptions { url, ca_file: None, key_prefix: "test:".to_owned() }
}

fn start(options: RedisOptions) -> RedisStore {
    RedisStore::start(options, Arc::new(SystemRandom)).expect("started")
}

fn single(server: &RedisServer) -> RedisOptions {
    options(servers::url(RedisTopology::Single(server.host())))
}

/// A store that uses this server, connected.
async fn on(server: &RedisServer) -> RedisStore {
    let store = start(single(server));
    assert_answers(&store).await;
    store
}

async fn assert_answers(store: &RedisStore) {
    assert_eventually("it answers", SOON, async || store.check(session()).await.is_ok()).await;
}

async fn assert_away(store: &RedisStore) {
    assert_eventually("it is away", SOON, async || store.check(session()).await.is_err()).await;
}

fn key(id: SessionId) -> String {
    format!("test:s:{id}")
}

/// What this thread's tasks log, as text.
fn captured() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
    let shared = Arc::clone(&lines);
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(move || Lines(Arc::clone(&shared))).finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

fn text(lines: &Mutex<Vec<u8>>) -> String {
    String::from_utf8(lines.lock().expect("no panic").clone()).expect("text")
}
