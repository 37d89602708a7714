//! Faults of gateways and of single links.

use super::{Fault, Plan, Store, links};
use crate::fleet::Fleet;

pub(super) async fn begin(plan: &Plan, fleet: &Fleet) {
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
        Fault::PairOfLinksCut => plan.pair.iter().for_each(|&(gateway, store)| silence(gateway, store)),
        Fault::GatewayKilled => {
            own.gateway.kill().await;
        }
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

pub(super) async fn end(plan: &Plan, fleet: &Fleet) {
    let own = &fleet.replicas[plan.gateway];
    match plan.fault {
        Fault::GatewayKilled => own.gateway.start_again().await,
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
