//! Sentinels: lookup of the current master. All are queried, and the reply with the latest failover counts, so a
//! Sentinel that was cut off with an old master cannot restore it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, pipe};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::Fault;
use super::net::{self, Net};
use crate::config::StoreHost;

/// Timeout of a Sentinel. Sentinels reply within a few ms; a dead one must not delay the others for long.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Time for which a failover epoch is remembered. Sentinels announce a failover to each other every 2 s. One that does
/// not know of it for longer than this was set up again, and the one that knew is gone.
const EPOCH_LIFE: Duration = Duration::from_secs(10);

/// The Sentinels of one master.
pub(super) struct Sentinels {
    name: String,
    sentinels: Vec<(Client, Option<MultiplexedConnection>)>,
    latest: Option<Latest>,
}

/// The latest failover any Sentinel has reported, and the time of the last report.
#[derive(Clone, Copy)]
struct Latest {
    epoch: u64,
    reported_at: Instant,
}

impl Sentinels {
    /// Creates the Sentinels of the master `name`.
    pub(super) fn new(name: String, clients: Vec<Client>) -> Self {
        Self { name, sentinels: clients.into_iter().map(|client| (client, None)).collect(), latest: None }
    }

    /// Takes over the latest failover: other credentials must not make an outdated Sentinel credible.
    pub(super) fn copy_epoch_from(&mut self, other: &Self) {
        self.latest = other.latest;
    }

    /// Returns the master; `None` when no Sentinel names one, or only outdated ones do.
    pub(super) async fn master(&mut self) -> Option<StoreHost> {
        let mut queries = JoinSet::new();
        for (at, (client, kept)) in self.sentinels.iter_mut().enumerate() {
            let (client, kept, name) = (client.clone(), kept.take(), self.name.clone());
            queries.spawn(async move {
                let querying = query(&client, kept, &name);
                (at, tokio::time::timeout(TIMEOUT, querying).await)
            });
        }
        let mut best: Option<(u64, StoreHost)> = None;
        while let Some(finished) = queries.join_next().await {
            let Ok((at, Ok(Ok((connection, epoch, host))))) = finished else { continue };
            self.sentinels[at].1 = Some(connection);
            if best.as_ref().is_none_or(|(latest, _)| *latest < epoch) {
                best = Some((epoch, host));
            }
        }
        let (epoch, host) = best?;
        self.latest = Some(newer(self.latest, epoch, Instant::now())?);
        Some(host)
    }
}

/// Returns the latest failover after this report; `None` when the report is outdated. Right after a failover only its
/// leader knows it, and its reply may be the one that is lost.
fn newer(latest: Option<Latest>, epoch: u64, now: Instant) -> Option<Latest> {
    let is_stale =
        |latest: Latest| epoch < latest.epoch && now.duration_since(latest.reported_at) < EPOCH_LIFE;
    (!latest.is_some_and(is_stale)).then_some(Latest { epoch, reported_at: now })
}

async fn query(
    client: &Client,
    kept: Option<MultiplexedConnection>,
    name: &str,
) -> Result<(MultiplexedConnection, u64, StoreHost), Fault> {
    let mut connection = match kept {
        Some(kept) => kept,
        None => net::connect(client).await?,
    };
    let mut commands = pipe();
    // In this order, a failover in between makes a new address look old, never an old one new.
    commands.cmd("SENTINEL").arg("MASTER").arg(name);
    commands.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let (facts, address): (Vec<String>, Option<(String, u16)>) =
        commands.query_async(&mut connection).await?;
    let (host, port) = address.ok_or_else(|| Fault::Refused("no such master".to_owned()))?;
    let epoch = facts.chunks_exact(2).find(|fact| fact[0] == "config-epoch");
    let epoch = epoch.and_then(|fact| fact[1].parse().ok()).unwrap_or(0);
    Ok((connection, epoch, StoreHost { name: host, port }))
}

impl Net {
    /// Creates clients for the Sentinels.
    pub(super) fn sentinels(
        &self,
        hosts: &[StoreHost],
        name: &str,
        user: Option<&str>,
        password: Option<&str>,
    ) -> Result<Sentinels, Fault> {
        let clients = hosts.iter().map(|host| self.client(host, net::login(user, password, 0)));
        Ok(Sentinels::new(name.to_owned(), clients.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_failover_counts_only_after_the_latest_is_forgotten() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let first = newer(None, 3, start).expect("the first report counts");
        assert!(newer(Some(first), 2, after(1)).is_none(), "outdated");
        let again = newer(Some(first), 3, after(9)).expect("the same");
        assert!(newer(Some(again), 2, after(18)).is_none(), "reported 9 s ago");
        assert_eq!(newer(Some(again), 0, after(20)).map(|latest| latest.epoch), Some(0), "set up again");
        assert_eq!(newer(Some(again), 4, after(10)).map(|latest| latest.epoch), Some(4), "the next failover");
    }
}
