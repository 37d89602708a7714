//! Sentinels: who is the master now? All are asked, and the answer of the latest failover counts, so one that was cut
//! off with an old master cannot bring it back.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, pipe};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::Fault;
use super::net::{self, Net};
use crate::config::StoreHost;

/// Sentinels answer within a few ms; a dead one must not hold up the word of the others for long.
const ANSWER: Duration = Duration::from_millis(500);

/// Sentinels tell each other of a failover every 2 s: one that has not heard of it for longer than this was set up
/// anew, and the one that had is gone.
const HEARSAY: Duration = Duration::from_secs(10);

/// The Sentinels of one master.
pub(super) struct Sentinels {
    name: String,
    sentinels: Vec<(Client, Option<MultiplexedConnection>)>,
    latest: Option<Latest>,
}

/// The latest failover any of them has told of, and when it last was told.
#[derive(Clone, Copy)]
struct Latest {
    epoch: u64,
    told: Instant,
}

impl Sentinels {
    /// Those that know the master `name`.
    pub(super) fn new(name: String, clients: Vec<Client>) -> Self {
        Self { name, sentinels: clients.into_iter().map(|client| (client, None)).collect(), latest: None }
    }

    /// Of the failovers so far: other credentials are no reason to believe one that is out of date.
    pub(super) fn knows_as_much_as(&mut self, other: &Self) {
        self.latest = other.latest;
    }

    /// Where the master is; `None` when no Sentinel says, or only some that have not heard of the latest failover.
    pub(super) async fn master(&mut self) -> Option<StoreHost> {
        let mut asked = JoinSet::new();
        for (at, (client, kept)) in self.sentinels.iter_mut().enumerate() {
            let (client, kept, name) = (client.clone(), kept.take(), self.name.clone());
            asked.spawn(async move {
                let asking = ask(&client, kept, &name);
                (at, tokio::time::timeout(ANSWER, asking).await)
            });
        }
        let mut best: Option<(u64, StoreHost)> = None;
        while let Some(answered) = asked.join_next().await {
            let Ok((at, Ok(Ok((connection, epoch, host))))) = answered else { continue };
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

/// What is the latest when this is told; `None` when it is out of date. Right after a failover only its leader knows,
/// and its answer may be the one that is lost.
fn newer(latest: Option<Latest>, epoch: u64, now: Instant) -> Option<Latest> {
    let is_stale = |latest: Latest| epoch < latest.epoch && now.duration_since(latest.told) < HEARSAY;
    (!latest.is_some_and(is_stale)).then_some(Latest { epoch, told: now })
}

async fn ask(
    client: &Client,
    kept: Option<MultiplexedConnection>,
    name: &str,
) -> Result<(MultiplexedConnection, u64, StoreHost), Fault> {
    let mut connection = match kept {
        Some(kept) => kept,
        None => net::connect(client).await?,
    };
    let mut questions = pipe();
    // In this order: a failover in between makes a new address look old, never an old one new.
    questions.cmd("SENTINEL").arg("MASTER").arg(name);
    questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let (facts, address): (Vec<String>, Option<(String, u16)>) =
        questions.query_async(&mut connection).await?;
    let (host, port) = address.ok_or_else(|| Fault::Refused("no such master".to_owned()))?;
    let epoch = facts.chunks_exact(2).find(|fact| fact[0] == "config-epoch");
    let epoch = epoch.and_then(|fact| fact[1].parse().ok()).unwrap_or(0);
    Ok((connection, epoch, StoreHost { name: host, port }))
}

impl Net {
    /// Clients for Sentinels.
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
    fn what_is_older_than_the_latest_failover_counts_only_when_nobody_knows_of_that_any_more() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let first = newer(None, 3, begun).expect("the first word counts");
        assert!(newer(Some(first), 2, after(1)).is_none(), "not heard yet");
        let again = newer(Some(first), 3, after(9)).expect("the same");
        assert!(newer(Some(again), 2, after(18)).is_none(), "told 9 s ago");
        assert_eq!(newer(Some(again), 0, after(20)).map(|latest| latest.epoch), Some(0), "set up anew");
        assert_eq!(newer(Some(again), 4, after(10)).map(|latest| latest.epoch), Some(4), "the next failover");
    }
}
