//! Faults of links.

use std::time::Duration;

use super::{Fault, Store};
use crate::fleet::{Fleet, Replica};
use crate::link::{Direction, Link};

const LATENCY: Duration = Duration::from_secs(2);

/// Bytes of a slice: fewer than any reply has.
const SLICE: usize = 3;

pub(super) fn of(replica: &Replica, store: Store) -> &[Link] {
    match store {
        Store::Redis => &replica.redis.all,
        Store::Vault => &replica.vault,
    }
}

/// Brings the fault to every link to this store. Returns false if it is none of links.
pub(super) fn begin(fault: Fault, store: Store, fleet: &Fleet) -> bool {
    for link in fleet.replicas.iter().flat_map(|replica| of(replica, store)) {
        match fault {
            Fault::RedisSlow | Fault::PostgresSlow => link.slow(LATENCY),
            Fault::RedisSilent | Fault::PostgresSilent => link.fall_silent(),
            Fault::RedisMute | Fault::PostgresMute => link.mute(Direction::ToGateway),
            Fault::RedisHalfOpen | Fault::PostgresHalfOpen => link.half_open(),
            Fault::RedisReset | Fault::PostgresReset => link.reset(),
            Fault::RedisSliced | Fault::PostgresSliced => link.slice(SLICE),
            _ => return false,
        }
    }
    true
}

pub(super) fn mend(store: Store, fleet: &Fleet) {
    for link in fleet.replicas.iter().flat_map(|replica| of(replica, store)) {
        link.mend();
    }
}
