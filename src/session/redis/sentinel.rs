//! Sentinels: who is the master now? All are asked, and the answer of the latest failover counts, so one that was cut
//! off with an old master cannot bring it back.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, pipe};
use tokio::task::JoinSet;

use super::fault::Fault;
use super::net::{self, Net};
use crate::config::StoreHost;

/// Sentinels answer within a few ms; a dead one must not hold up the word of the others for long.
const ANSWER: Duration = Duration::from_millis(500);

/// The Sentinels of one master.
pub(super) struct Sentinels {
    name: String,
    sentinels: Vec<(Client, Option<MultiplexedConnection>)>,
}

impl Sentinels {
    /// Those that know the master `name`.
    pub(super) fn new(name: String, clients: Vec<Client>) -> Self {
        Self { name, sentinels: clients.into_iter().map(|client| (client, None)).collect() }
    }

    /// Where the master is; `None` when no Sentinel says.
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
        best.map(|(_, host)| host)
    }
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
    questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    questions.cmd("SENTINEL").arg("MASTER").arg(name);
    let (address, facts): (Option<(String, u16)>, Vec<String>) =
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
