//! The list of faults with their names and facts.

use std::time::Duration;

use super::{Promise, Store};
use crate::history::Reach;

macro_rules! faults {
    ($($variant:ident, $name:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault { $($variant),* }

        impl Fault {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Name, as in docs/faults.md.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

faults! {
    RedisKilled, "Redis killed, and back empty";
    RedisPaused, "Redis stalled (SIGSTOP)";
    RedisFlushed, "Redis emptied (FLUSHALL)";
    RedisRestored, "Redis restored from an old copy";
    RedisFull, "Redis full (noeviction)";
    RedisEvictsLru, "Redis full (allkeys-lru)";
    RedisEvictsRandom, "Redis full (allkeys-random)";
    RedisEvictsTtl, "Redis full (volatile-ttl)";
    RedisReadOnly, "Redis read-only (READONLY)";
    RedisWrongPassword, "Redis with another password";
    RedisRightLost, "Redis without a right (ACL)";
    RedisLoading, "Redis loading its data (LOADING)";
    TwoServers, "Redis of one gateway another than the others'";
    RedisSlow, "Redis 2 s away";
    RedisSilent, "Redis behind a black hole";
    RedisMute, "Redis heard by nobody (one direction)";
    RedisHalfOpen, "Redis with half-open connections";
    RedisReset, "Redis resets every connection";
    RedisSliced, "Redis byte by byte";
    SentinelFailover, "Redis primary killed (Sentinel)";
    SentinelSwitch, "Redis primary switched (Sentinel)";
    FailoverLosesWrites, "Redis failover that loses writes (Sentinel)";
    OldPrimaryBack, "Redis old primary back beside the new one (Sentinel)";
    ClusterFailover, "Redis primary killed (Cluster)";
    ClusterSwitch, "Redis primary switched (Cluster)";
    ClusterMigration, "Redis slots migrated (Cluster)";
    NodeForgotten, "Redis node forgotten (Cluster)";
    PostgresStopped, "Postgres stopped";
    PostgresPaused, "Postgres stalled (SIGSTOP)";
    BackendsTerminated, "Postgres connections terminated";
    PostgresReadOnly, "Postgres read-only";
    ConnectionsUsedUp, "Postgres connections used up";
    PostgresSlow, "Postgres 2 s away";
    PostgresSilent, "Postgres behind a black hole";
    PostgresMute, "Postgres heard by nobody (one direction)";
    PostgresHalfOpen, "Postgres with half-open connections";
    PostgresReset, "Postgres resets every connection";
    PostgresSliced, "Postgres byte by byte";
    SessionRowsLocked, "Postgres lock on the sessions";
    UserRowsLocked, "Postgres lock on the users";
    LogLocked, "Postgres lock on the revocation log";
    TransactionOpen, "Postgres transaction left open";
    CommitsSlow, "Postgres standby stalled";
    StandbyPromoted, "Postgres standby promoted beside its primary";
    DiskFull, "Postgres with a full disk";
    PostgresRestored, "Postgres restored from a backup";
    BothStoresSilent, "both stores behind a black hole";
    GatewayCutOff, "one gateway without both stores";
    GatewayWithoutRedis, "one gateway without Redis";
    GatewayWithoutVault, "one gateway without Postgres";
    LateWrites, "one gateway heard late by Redis, another without Postgres";
    PairOfLinksCut, "any two links cut";
    GatewayKilled, "one gateway killed (SIGKILL)";
    KilledBeforeRedis, "one gateway killed between commit and Redis";
    KilledBeforeAnswer, "one gateway killed between commit and response";
    DescriptorsUsedUp, "one gateway out of file descriptors";
    MemoryUsedUp, "one gateway out of memory";
    ClockStepped, "one gateway's clock an hour ahead, then an hour behind";
    ClockSlewed, "one gateway's clock 5 % fast";
    GatewayPaused, "one gateway stalled (SIGSTOP)";
    AllGatewaysPaused, "all gateways stalled (SIGSTOP)";
    RollingRestart, "rolling restart (SIGTERM)";
    BinaryUpgraded, "binary upgrade (SIGUSR2)";
    Reload, "reload (SIGHUP)";
    KeysRotated, "keys rotated";
}

/// Long enough for the lease to run out, and for a statement that waits to be given up.
const USUAL: Duration = Duration::from_millis(3500);

impl Fault {
    /// The store concerned; `None` for faults of gateways and of their links alone.
    pub(crate) fn store(self) -> Option<Store> {
        let name = self.name();
        if name.starts_with("Redis") {
            Some(Store::Redis)
        } else {
            name.starts_with("Postgres").then_some(Store::Vault)
        }
    }

    /// Whether gateways reach that store meanwhile; `None`: as before.
    pub(super) fn cuts_off(self) -> Option<Reach> {
        match self {
            Self::RedisKilled
            | Self::RedisPaused
            | Self::RedisSilent
            | Self::RedisMute
            | Self::RedisHalfOpen
            | Self::RedisReset
            | Self::PostgresStopped
            | Self::PostgresPaused
            | Self::PostgresSilent
            | Self::PostgresMute
            | Self::PostgresHalfOpen
            | Self::PostgresReset => Some(Reach::Down),
            Self::RedisFlushed
            | Self::SessionRowsLocked
            | Self::UserRowsLocked
            | Self::LogLocked
            | Self::TransactionOpen
            | Self::PostgresRestored
            | Self::RollingRestart
            | Self::BinaryUpgraded
            | Self::Reload
            | Self::KeysRotated => None,
            _ => Some(Reach::Unknown),
        }
    }

    /// Whether Postgres answers short statements in time and long ones late: nobody can tell that from a slow disk, so each
    /// has its `vault.statement_timeout`.
    pub(crate) fn answers_slowly(self) -> bool {
        self == Self::PostgresSliced
    }

    /// Whether tombstones may be lost.
    pub(crate) fn loses_redis_data(self) -> bool {
        matches!(
            self,
            Self::RedisKilled
                | Self::RedisFlushed
                | Self::RedisRestored
                | Self::RedisEvictsLru
                | Self::RedisEvictsRandom
                | Self::RedisEvictsTtl
                | Self::RedisReadOnly
                | Self::RedisLoading
                | Self::TwoServers
                | Self::SentinelFailover
                | Self::SentinelSwitch
                | Self::OldPrimaryBack
                | Self::FailoverLosesWrites
                | Self::ClusterFailover
                | Self::ClusterSwitch
                | Self::ClusterMigration
                | Self::NodeForgotten
        )
    }

    /// Time for which it lasts.
    pub(super) fn length(self) -> Duration {
        match self {
            // Detection takes 2 s, and the election as long again.
            Self::SentinelFailover | Self::FailoverLosesWrites | Self::ClusterFailover => {
                Duration::from_secs(9)
            }
            // Events of a moment; what follows is what is watched.
            Self::SentinelSwitch | Self::ClusterSwitch | Self::BackendsTerminated | Self::KeysRotated => {
                Duration::from_secs(2)
            }
            Self::RollingRestart
            | Self::BinaryUpgraded
            | Self::ClusterMigration
            | Self::KilledBeforeRedis
            | Self::KilledBeforeAnswer => Duration::from_millis(500),
            _ => USUAL,
        }
    }

    /// Effect on users: at signed-in routes, and at sign-in, refresh and sign-out.
    pub(crate) fn promises(self) -> (Promise, Promise) {
        use Promise::{Partly, Refused, Served};
        match self {
            Self::PostgresStopped
            | Self::PostgresPaused
            | Self::PostgresSilent
            | Self::PostgresMute
            | Self::PostgresHalfOpen
            | Self::PostgresReset
            | Self::ConnectionsUsedUp
            | Self::CommitsSlow
            | Self::PostgresReadOnly
            | Self::PostgresSlow => (Served, Refused),
            Self::PostgresSliced
            | Self::SessionRowsLocked
            | Self::UserRowsLocked
            | Self::LogLocked
            | Self::DiskFull
            | Self::StandbyPromoted => (Served, Partly),
            Self::BothStoresSilent => (Refused, Refused),
            Self::GatewayCutOff | Self::PairOfLinksCut | Self::DescriptorsUsedUp | Self::MemoryUsedUp => {
                (Partly, Partly)
            }
            Self::GatewayWithoutVault | Self::LateWrites => (Served, Partly),
            _ => (Served, Served),
        }
    }
}
