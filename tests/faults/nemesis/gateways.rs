//! Faults of gateways and of single links.

use std::sync::Arc;
use std::time::Duration;

use super::{Fault, Held, Plan, Store, clocks, kills, links, resources};
use crate::fleet::Fleet;

/// Delay of what the connections of a moment carry: sessions that are written meanwhile are ended meanwhile.
const LAG: Duration = Duration::from_millis(1500);
/// Time in which a gateway gives such a connection up, connects anew and goes on.
const ROUND: Duration = Duration::from_millis(1200);
const LAGS: usize = 4;

pub(super) async fn begin(plan: &Plan, fleet: &Arc<Fleet>, held: &mut Held) {
    let own = &fleet.replicas[plan.gateway];
    let silence = |gateway: usize, store| {
        for link in links::of(&fleet.replicas[gateway], store) {
            link.fall_silent();
        }
    };
    match plan.fault {
        Fault::BothStoresSilent => {
            for gateway in 0..fleet.replicas.len() {
                silence(gateway, Store::Redis);
                silence(gateway, Store::Vault);
            }
        }
        Fault::GatewayCutOff => {
            silence(plan.gateway, Store::Redis);
            silence(plan.gateway, Store::Vault);
        }
        Fault::GatewayWithoutRedis => silence(plan.gateway, Store::Redis),
        Fault::GatewayWithoutVault => silence(plan.gateway, Store::Vault),
        Fault::LateWrites => {
            silence(plan.other, Store::Vault);
            // Before each round the gateway has connected anew.
            for _ in 0..LAGS {
                own.redis.all.iter().for_each(|link| link.lag(LAG));
                tokio::time::sleep(ROUND).await;
            }
        }
        Fault::PairOfLinksCut => plan.pair.iter().for_each(|&(gateway, store)| silence(gateway, store)),
        Fault::GatewayKilled => {
            own.gateway.kill().await;
        }
        Fault::KilledBeforeRedis | Fault::KilledBeforeAnswer => kills::begin(plan, fleet).await,
        Fault::DescriptorsUsedUp | Fault::MemoryUsedUp => resources::begin(plan, fleet, held).await,
        Fault::ClockStepped | Fault::ClockSlewed => clocks::begin(plan, fleet).await,
        Fault::GatewayPaused => own.gateway.pause().await,
        Fault::AllGatewaysPaused => {
            for replica in &fleet.replicas {
                replica.gateway.pause().await;
            }
        }
        Fault::RollingRestart => {
            for replica in &fleet.replicas {
                replica.gateway.drain().await;
                replica.gateway.start_again().await;
            }
        }
        Fault::BinaryUpgraded => {
            for replica in &fleet.replicas {
                replica.gateway.upgrade().await;
            }
        }
        Fault::Reload => {
            for replica in &fleet.replicas {
                replica.gateway.signal("HUP").await;
            }
        }
        Fault::KeysRotated => {
            fleet.command(&["key", "rotate"], "").await.expect("keys are rotated");
        }
        other => unreachable!("{other:?} is a fault of a store"),
    }
}

pub(super) async fn end(plan: &Plan, fleet: &Fleet, held: &mut Held) {
    let own = &fleet.replicas[plan.gateway];
    match plan.fault {
        Fault::GatewayKilled => own.gateway.start_again().await,
        Fault::KilledBeforeRedis | Fault::KilledBeforeAnswer => {
            links::mend(Store::Redis, fleet);
            links::mend(Store::Vault, fleet);
            own.gateway.start_again().await;
        }
        Fault::DescriptorsUsedUp | Fault::MemoryUsedUp => resources::end(plan, fleet, held).await,
        Fault::ClockStepped | Fault::ClockSlewed => clocks::end(plan, fleet).await,
        Fault::BinaryUpgraded => {
            for replica in &fleet.replicas {
                replica.gateway.replace_successor().await;
            }
        }
        Fault::GatewayPaused => own.gateway.resume().await,
        Fault::AllGatewaysPaused => {
            for replica in &fleet.replicas {
                replica.gateway.resume().await;
            }
        }
        Fault::Reload => {
            for replica in &fleet.replicas {
                replica.gateway.signal("HUP").await;
            }
        }
        _ => {
            links::mend(Store::Redis, fleet);
            links::mend(Store::Vault, fleet);
        }
    }
}
