//! The faults: what each does, what it repairs, and what users are promised meanwhile.

mod clocks;
mod disk;
mod gateways;
mod kills;
mod links;
mod postgres;
mod redis;
mod resources;
mod table;

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Rlimit;
pub(crate) use table::Fault;

use crate::fleet::{Fleet, GATEWAYS, Topology};
use crate::history::{Micros, Note, Reach};
use crate::instances::Server;
use crate::random::Choices;
use crate::servers::RedisServer;
use crate::stores::postgres::Kind as PostgresKind;
use crate::stores::redis::Kind as RedisKind;

/// Effect of a fault on users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Requests succeed. A few may fail at the moment of the fault.
    Served,
    /// Some requests get 503: those at the gateways concerned, or of the kind concerned.
    Partly,
    /// Every request gets 503.
    Refused,
}

impl Promise {
    /// Word of docs/faults.md.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Partly => "partly 503",
            Self::Refused => "503",
        }
    }
}

/// A store of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Redis,
    Vault,
}

/// A fault with what chance decides about it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    /// The gateway concerned, where it is one.
    pub(crate) gateway: usize,
    /// Another one.
    pub(crate) other: usize,
    /// Two links, for the faults that cut a pair.
    pub(crate) pair: [(usize, Store); 2],
}

impl Plan {
    pub(crate) fn new(fault: Fault, choices: &mut Choices) -> Self {
        let mut links: Vec<(usize, Store)> =
            (0..GATEWAYS).flat_map(|gateway| [(gateway, Store::Redis), (gateway, Store::Vault)]).collect();
        choices.shuffle(&mut links);
        let gateway = choices.below(GATEWAYS);
        let other = (gateway + 1 + choices.below(GATEWAYS - 1)) % GATEWAYS;
        Self { fault, gateway, other, pair: [links[0], links[1]] }
    }

    /// Name for the table of a run.
    pub(crate) fn name(&self) -> String {
        let name = self.fault.name();
        match self.fault {
            Fault::PairOfLinksCut => {
                let link = |(gateway, store)| format!("{gateway}-{store:?}");
                format!("{name} ({}, {})", link(self.pair[0]), link(self.pair[1]))
            }
            _ => name.to_owned(),
        }
    }

    /// Begins the fault. From the moment of the call on, nothing is certain; when it returns, what it says is.
    pub(crate) async fn begin(&self, fleet: &Arc<Fleet>, held: &mut Held) {
        self.note(fleet, |_| Reach::Unknown);
        if self.fault.loses_redis_data() {
            fleet.recorder.note(Note::RedisForgets { begins: true });
        }
        match self.fault.store() {
            Some(Store::Redis) => redis::begin(self, fleet, held).await,
            Some(Store::Vault) => postgres::begin(self, fleet, held).await,
            None => gateways::begin(self, fleet, held).await,
        }
        self.note(fleet, |reach| reach);
    }

    /// Repairs it.
    pub(crate) async fn end(&self, fleet: &Arc<Fleet>, held: &mut Held) {
        self.note(fleet, |_| Reach::Unknown);
        match self.fault.store() {
            Some(Store::Redis) => redis::end(self, fleet, held).await,
            Some(Store::Vault) => postgres::end(self, fleet, held).await,
            None => gateways::end(self, fleet, held).await,
        }
    }

    /// Notes that everything works as before.
    pub(crate) fn recovered(&self, fleet: &Fleet) {
        self.note(fleet, |_| Reach::Up);
        if self.fault.loses_redis_data() {
            fleet.recorder.note(Note::RedisForgets { begins: false });
        }
    }

    fn note(&self, fleet: &Fleet, change: impl Fn(Reach) -> Reach) {
        for (gateway, store, reach) in self.reach() {
            let reach = change(reach);
            fleet.recorder.note(match store {
                Store::Redis => Note::Redis { gateway, reach },
                Store::Vault => Note::Vault { gateway, reach },
            });
        }
    }

    /// Stores that the gateways reach during the fault; everything that is not listed is reached.
    fn reach(&self) -> Vec<(usize, Store, Reach)> {
        let all = |store, reach| (0..GATEWAYS).map(|gateway| (gateway, store, reach)).collect();
        match self.fault {
            Fault::GatewayCutOff => {
                vec![(self.gateway, Store::Redis, Reach::Down), (self.gateway, Store::Vault, Reach::Down)]
            }
            Fault::KilledBeforeRedis => vec![(self.gateway, Store::Redis, Reach::Unknown)],
            Fault::KilledBeforeAnswer => vec![(self.gateway, Store::Vault, Reach::Unknown)],
            // It may have no descriptor for a new connection.
            Fault::DescriptorsUsedUp | Fault::MemoryUsedUp => {
                vec![
                    (self.gateway, Store::Redis, Reach::Unknown),
                    (self.gateway, Store::Vault, Reach::Unknown),
                ]
            }
            Fault::GatewayWithoutRedis => vec![(self.gateway, Store::Redis, Reach::Down)],
            Fault::GatewayWithoutVault => vec![(self.gateway, Store::Vault, Reach::Down)],
            Fault::LateWrites => {
                vec![(self.gateway, Store::Redis, Reach::Unknown), (self.other, Store::Vault, Reach::Down)]
            }
            Fault::PairOfLinksCut => {
                self.pair.iter().map(|&(gateway, store)| (gateway, store, Reach::Down)).collect()
            }
            Fault::BothStoresSilent => {
                [all(Store::Redis, Reach::Down), all(Store::Vault, Reach::Down)].concat()
            }
            fault => match (fault.store(), fault.cuts_off()) {
                (Some(store), Some(reach)) => all(store, reach),
                _ => Vec::new(),
            },
        }
    }

    /// Time for which it lasts.
    pub(crate) fn length(&self) -> Duration {
        self.fault.length()
    }
}

/// Resources that a fault holds until its repair, beside the fleet.
#[derive(Default)]
pub(crate) struct Held {
    pub(super) client: Option<tokio_postgres::Client>,
    /// A second Redis.
    pub(super) redis: Option<RedisServer>,
    /// A Postgres with the backup, and the time from which on it knows nothing.
    pub(super) backup: Option<(Server, Micros)>,
    /// A limit to be restored.
    pub(super) limit: Option<Rlimit>,
}

/// Returns true if a topology has what the fault needs.
pub(crate) fn suits(fault: Fault, topology: Topology) -> bool {
    let Topology { redis, postgres } = topology;
    match fault {
        // Sentinels and Clusters would mend these, or have several passwords.
        Fault::RedisReadOnly
        | Fault::RedisWrongPassword
        | Fault::RedisRestored
        | Fault::RedisLoading
        | Fault::TwoServers => redis == RedisKind::Single,
        Fault::SentinelFailover
        | Fault::SentinelSwitch
        | Fault::FailoverLosesWrites
        | Fault::OldPrimaryBack => redis == RedisKind::Sentinel,
        Fault::ClusterFailover | Fault::ClusterSwitch | Fault::ClusterMigration | Fault::NodeForgotten => {
            redis == RedisKind::Cluster
        }
        Fault::DiskFull => postgres == PostgresKind::Single && disk::may_mount(),
        Fault::PostgresRestored => postgres == PostgresKind::Single,
        Fault::CommitsSlow | Fault::StandbyPromoted => postgres == PostgresKind::Pair,
        // A pooler has its own users, and tells clients otherwise.
        Fault::ConnectionsUsedUp | Fault::PostgresReadOnly => postgres != PostgresKind::Pooled,
        _ => true,
    }
}
