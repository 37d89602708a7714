//! The contract of every session store: one function per sentence of the trait's documentation.

use std::sync::Arc;
use std::time::Duration;

use doorward::clock::{Clock, Timestamp, TravelClock};
use doorward::config::{RedisTopology, RedisUrl, StoreHost};
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::ClientKind;
use doorward::session::memory::MemoryStore;
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Lookup, Record, SessionStore, SessionStoreError};
use tokio::sync::OnceCell;

use crate::eventually::assert_eventually;
use crate::servers::{self, Certificates, NONE, RedisServer};

const TIMEOUT: Duration = Duration::from_millis(100);

/// A session store for one test.
pub(crate) struct World {
    pub(crate) store: Arc<dyn SessionStore>,
    clock: Arc<TravelClock>,
    /// Servers that hold the records outside this process; they have their own clocks.
    servers: &'static [RedisServer],
    key_prefix: String,
    /// Expected value of [`SessionStore::is_shared`].
    is_shared: bool,
}

/// An in-process store.
pub(crate) async fn memory() -> World {
    let clock = Arc::new(TravelClock::new());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    World { store, clock, servers: &[], key_prefix: String::new(), is_shared: false }
}

/// One Redis, shared by all cases.
pub(crate) async fn redis() -> World {
    static SERVER: OnceCell<[RedisServer; 1]> = OnceCell::const_new();
    let servers = SERVER.get_or_init(async || [RedisServer::start(NONE).await]).await;
    World::on(servers, servers::url(RedisTopology::Single(servers[0].host())), None).await
}

/// One Redis with TLS.
pub(crate) async fn redis_tls() -> World {
    static SERVER: OnceCell<(Certificates, u16, [RedisServer; 1])> = OnceCell::const_new();
    let start = async || {
        let (certificates, port) = (Certificates::new(), servers::free_port());
        let server = RedisServer::start(&certificates.settings(port)).await;
        (certificates, port, [server])
    };
    let (certificates, port, servers) = SERVER.get_or_init(start).await;
    let host = StoreHost { name: "localhost".to_owned(), port: *port };
    let url = RedisUrl { tls: true, ..servers::url(RedisTopology::Single(host)) };
    World::on(servers, url, Some(certificates)).await
}

/// A master found through a Sentinel.
pub(crate) async fn redis_sentinel() -> World {
    static SERVERS: OnceCell<(RedisServer, [RedisServer; 1])> = OnceCell::const_new();
    let start = async || {
        let master = RedisServer::start(NONE).await;
        (RedisServer::sentinel(master.port, 1).await, [master])
    };
    let (sentinel, servers) = SERVERS.get_or_init(start).await;
    let (hosts, master) = (vec![sentinel.host()], "main".to_owned());
    let topology = RedisTopology::Sentinel { hosts, master, user: None, password: None };
    World::on(servers, servers::url(topology), None).await
}

/// A Cluster of three masters.
pub(crate) async fn redis_cluster() -> World {
    static SERVERS: OnceCell<Vec<RedisServer>> = OnceCell::const_new();
    let servers = SERVERS.get_or_init(servers::cluster).await;
    let hosts = servers.iter().map(RedisServer::host).collect();
    World::on(servers, servers::url(RedisTopology::Cluster(hosts)), None).await
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Longest allowed lifetime of a record requested for `span`.
fn and_a_little(span: Duration) -> Duration {
    span + (span / 10).min(MINUTE)
}

fn session() -> SessionId {
    SessionId::random(&SystemRandom)
}

/// Retries until it succeeds: on a busy machine a response may be late, and every method is idempotent.
pub(crate) async fn sure<T>(what: &str, mut call: impl AsyncFnMut() -> Result<T, SessionStoreError>) -> T {
    let mut error = None;
    for _ in 0..2000 {
        match call().await {
            Ok(answer) => return answer,
            Err(why) => error = Some(why),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not {what}: {error:?}")
}

impl World {
    /// A store on shared servers with its own key prefix.
    async fn on(servers: &'static [RedisServer], url: RedisUrl, certificates: Option<&Certificates>) -> Self {
        let key_prefix = format!("{}:", session());
        let ca_file = certificates.map(Certificates::authority);
        let options = RedisOptions { url, ca_file, key_prefix: key_prefix.clone(), timeout: TIMEOUT };
        let store =
            Arc::new(RedisStore::start(options, Arc::new(SystemRandom), Arc::default()).expect("started"));
        let connected = async || store.check(session()).await.is_ok();
        assert_eventually("the store is connected", Duration::from_secs(10), connected).await;
        World { store, clock: Arc::default(), servers, key_prefix, is_shared: true }
    }

    pub(crate) async fn advance(&self, span: Duration) {
        self.clock.advance(span);
        for server in self.servers {
            server.travel(&self.key_prefix, span).await;
        }
    }

    fn record(&self) -> Record {
        let expires_at = Timestamp::from_millis(self.clock.wall().millis() + 3_600_123);
        let random: &dyn Random = &SystemRandom;
        let idle = Some((Timestamp::from_millis(expires_at.millis() - 60_001), ClientKind::Browser));
        Record { user_id: UserId::from_bytes(random.bytes()), expires_at, idle }
    }

    async fn check(&self, id: SessionId) -> Lookup {
        sure("checked", async || self.store.check(id).await).await
    }

    async fn fill(&self, id: SessionId, record: Record, span: Duration) {
        sure("filled", async || self.store.fill(id, record, span).await).await;
    }

    async fn extend(&self, id: SessionId, span: Duration) {
        sure("extended", async || self.store.extend(id, span).await).await;
    }

    async fn revoke(&self, id: SessionId, span: Duration) {
        sure("revoked", async || self.store.revoke(id, span).await).await;
    }
}

pub(crate) async fn unfilled_session_is_absent(world: World) {
    assert_eq!(world.check(session()).await, Lookup::Absent);
}

pub(crate) async fn filled_session_is_live_until_it_expires(world: World) {
    let (id, record) = (session(), world.record());
    world.fill(id, record, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Live(record));
    assert_eq!(world.check(session()).await, Lookup::Absent);
    world.advance(MINUTE - MINUTE / 10).await;
    assert_eq!(world.check(id).await, Lookup::Live(record));
    world.advance(and_a_little(MINUTE) - (MINUTE - MINUTE / 10)).await;
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn fill_overwrites_no_record(world: World) {
    let (id, first) = (session(), world.record());
    world.fill(id, first, MINUTE).await;
    world.fill(id, world.record(), MINUTE * 5).await;
    assert_eq!(world.check(id).await, Lookup::Live(first));
    world.advance(and_a_little(MINUTE)).await;
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn forgotten_session_can_be_filled_again(world: World) {
    let (id, second) = (session(), world.record());
    world.fill(id, world.record(), MINUTE).await;
    world.advance(and_a_little(MINUTE)).await;
    world.fill(id, second, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Live(second));
}

pub(crate) async fn nothing_overwrites_a_tombstone(world: World) {
    let id = session();
    world.fill(id, world.record(), MINUTE).await;
    world.revoke(id, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Tombstone);
    world.fill(id, world.record(), MINUTE * 5).await;
    world.extend(id, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Tombstone);
}

pub(crate) async fn tombstone_needs_no_earlier_record(world: World) {
    let id = session();
    world.revoke(id, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Tombstone);
    world.advance(MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn tombstone_keeps_the_longest_requested_lifetime(world: World) {
    let id = session();
    world.fill(id, world.record(), MINUTE * 3).await;
    world.revoke(id, MINUTE).await;
    world.revoke(id, MINUTE * 5).await;
    world.revoke(id, MINUTE * 2).await;
    // As a refresh granted earlier does.
    world.extend(id, MINUTE).await;
    world.advance(MINUTE * 4).await;
    assert_eq!(world.check(id).await, Lookup::Tombstone);
    world.advance(MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn extend_never_shortens_a_record(world: World) {
    let (id, record) = (session(), world.record());
    world.fill(id, record, MINUTE * 2).await;
    world.extend(id, MINUTE).await;
    world.advance(MINUTE + MINUTE / 2).await;
    assert_eq!(world.check(id).await, Lookup::Live(record));
    world.extend(id, MINUTE * 5).await;
    world.advance(MINUTE * 4).await;
    assert_eq!(world.check(id).await, Lookup::Live(record));
}

pub(crate) async fn extending_an_absent_record_does_nothing(world: World) {
    let (never, forgotten) = (session(), session());
    world.fill(forgotten, world.record(), MINUTE).await;
    world.advance(and_a_little(MINUTE)).await;
    for id in [never, forgotten] {
        world.extend(id, MINUTE * 5).await;
        assert_eq!(world.check(id).await, Lookup::Absent);
    }
}

pub(crate) async fn fill_racing_a_revocation_never_wins(world: World) {
    for _ in 0..200 {
        let id = session();
        let (store, record) = (world.store.clone(), world.record());
        let filling = tokio::spawn(async move {
            while store.fill(id, record, MINUTE).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        world.revoke(id, MINUTE).await;
        filling.await.expect("no panic");
        assert_eq!(world.check(id).await, Lookup::Tombstone);
    }
}

pub(crate) async fn many_sessions_are_independent(world: World) {
    let records: Vec<_> = (0..2000).map(|_| (session(), world.record())).collect();
    for (at, (id, record)) in records.iter().enumerate() {
        world.fill(*id, *record, MINUTE * 2).await;
        if at % 3 == 0 {
            world.revoke(*id, MINUTE * 4).await;
        }
    }
    world.advance(MINUTE * 3).await;
    for (at, (id, _)) in records.iter().enumerate() {
        let expected = if at % 3 == 0 { Lookup::Tombstone } else { Lookup::Absent };
        assert_eq!(world.check(*id).await, expected);
    }
}

pub(crate) async fn only_a_shared_store_confirms_without_the_vault(world: World) {
    assert_eq!(world.store.is_shared(), world.is_shared);
}
