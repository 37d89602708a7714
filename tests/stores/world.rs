//! One Redis and one Postgres per test, and gateways that reach them through separate links.

use std::time::Duration;

use doorward::id::base64url;
use doorward::id::{Random, SystemRandom};

use crate::link::Link;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::support::{Setup, TestGateway, assert_eventually};

/// The stores of one test, private since the test breaks them.
pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    master_key: String,
    _alone: Alone,
}

/// Exclusive use of the machine.
pub(crate) type Alone = tokio::sync::MutexGuard<'static, ()>;

static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits until no other test of this kind runs. These tests count refusals of three gateways under load. On two cores
/// the starting servers of another test keep Redis from responding within its 100 ms.
pub(crate) async fn alone() -> Alone {
    MACHINE.lock().await
}

/// A gateway and its links.
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

    /// Starts a gateway with extra lines for `[sessions]`.
    pub(crate) async fn replica(&self, sessions: &str) -> Replica {
        self.replica_leasing("1s", sessions).await
    }

    /// Starts a gateway with a lease and extra lines for `[sessions]`.
    pub(crate) async fn replica_leasing(&self, lease: &str, sessions: &str) -> Replica {
        self.replica_with(lease, sessions, Setup::default()).await
    }

    /// Starts a gateway with `setup` on these stores.
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

/// Waits until a gateway uses Redis: the connection is made in the background after the start.
pub(crate) async fn until_used(world: &World, replica: &Replica, patience: Duration) {
    assert_eventually("the session store is used", patience, async || {
        world.redis.is_up().await && replica.gateway.sessions.check(nobody()).await.is_ok()
    })
    .await;
}

fn nobody() -> doorward::id::SessionId {
    doorward::id::SessionId::from_bytes([0; 16])
}
