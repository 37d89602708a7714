//! One Redis and one Postgres of a test's own, and gateways that reach them by wires of their own.

use std::time::Duration;

use doorward::id::base64url;
use doorward::id::{Random, SystemRandom};

use crate::link::Link;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::support::{Setup, TestGateway, assert_eventually};

/// The stores; each test has its own, since it breaks them.
pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    master_key: String,
    _alone: Alone,
}

/// A test that has the machine to itself.
pub(crate) type Alone = tokio::sync::MutexGuard<'static, ()>;

static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits until no other test of these runs: they count what three gateways under load refuse, and on two cores another test's
/// servers, as they start, keep Redis from answering within its 100 ms.
pub(crate) async fn alone() -> Alone {
    MACHINE.lock().await
}

/// A gateway and its wires.
pub(crate) struct Replica {
    pub(crate) gateway: TestGateway,
    pub(crate) redis: Link,
    pub(crate) vault: Link,
}

impl World {
    pub(crate) async fn start() -> Self {
        let alone = alone().await;
        let (redis, postgres) = tokio::join!(Redis::start(), Postgres::start());
        let random: &dyn Random = &SystemRandom;
        Self { redis, postgres, master_key: base64url(random.bytes::<32>()), _alone: alone }
    }

    /// A gateway with more lines for `[sessions]`.
    pub(crate) async fn replica(&self, sessions: &str) -> Replica {
        self.replica_leasing("1s", sessions).await
    }

    /// A gateway with a lease and more lines for `[sessions]`.
    pub(crate) async fn replica_leasing(&self, lease: &str, sessions: &str) -> Replica {
        self.replica_with(lease, sessions, Setup::default()).await
    }

    /// A gateway as `setup` says, on these stores.
    pub(crate) async fn replica_with(&self, lease: &str, sessions: &str, setup: Setup) -> Replica {
        let redis = Link::to(self.redis.address()).await;
        let vault = Link::to(self.postgres.address()).await;
        let setup = Setup {
            vault: format!(
                "url = \"{}\"\nmaster_key = \"{}\"\nlease = \"{lease}\"\n{}",
                self.postgres.url(vault.address()),
                self.master_key,
                setup.vault
            ),
            sessions: format!("url = \"redis://{}/0\"\n{sessions}\n{}", redis.address(), setup.sessions),
            ..setup
        };
        let gateway = TestGateway::with(setup).await;
        let replica = Replica { gateway, redis, vault };
        if self.redis.is_up().await {
            until_used(self, &replica, Duration::from_secs(5)).await;
        }
        replica
    }

    pub(crate) fn master_key(&self) -> &str {
        &self.master_key
    }
}

/// Waits until a gateway uses Redis: it begins to connect when it starts, and nobody waits for that.
pub(crate) async fn until_used(world: &World, replica: &Replica, patience: Duration) {
    assert_eventually("the session store is used", patience, async || {
        world.redis.is_up().await && replica.gateway.sessions.check(nobody()).await.is_ok()
    })
    .await;
}

fn nobody() -> doorward::id::SessionId {
    doorward::id::SessionId::from_bytes([0; 16])
}
