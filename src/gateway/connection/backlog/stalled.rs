//! Stalled clients: how much memory may be held for clients that make no progress.
//!
//! `send_timeout` ends each of them in its time; this ends some of them sooner, where all together hold too much. Only a
//! client that took nothing for several seconds is stalled, however slow it is otherwise, and none is cut while there is
//! memory. Beyond the limit whoever holds most loses what has been stalled for longest.

use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Control, Cut};
use crate::gateway::connection::backlog::Connection;
use crate::gateway::connection::traffic::Traffic;
use crate::snapshot::Current;

/// Stalled clients are looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A client that takes nothing for this long is stalled. Readers of 10 kB/s take something more often, whatever their
/// system buffers; a longer time would give attackers as much longer to fill the memory.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The same where `send_timeout` is short: half of that.
const PART_OF_SEND_TIMEOUT: u32 = 2;

/// A stalled response, or an HTTP/2 connection whose socket takes nothing.
struct Stalled {
    client: Option<IpAddr>,
    /// In milliseconds of `Held::millis`.
    since: u64,
    /// Bytes of memory.
    bytes: u64,
    requests: Vec<Arc<Control>>,
    connection: Option<Arc<Connection>>,
}

impl Stalled {
    fn cut(&self) {
        for request in &self.requests {
            request.cut(Cut::Stalled);
        }
        if let Some(connection) = &self.connection {
            connection.abandon();
        }
    }
}

/// Keeps what is held for stalled clients within `server.limits.stalled_bytes`; never ends by itself.
pub async fn bound_stalled(traffic: Arc<Traffic>, current: Current) {
    loop {
        let snapshot = current.load();
        let limits = &snapshot.server.limits;
        let (limit, send_timeout) = (limits.stalled_bytes, limits.send_timeout);
        drop(snapshot);
        traffic.held().set_limit(limit);
        // What is held for stalled clients is a part of that.
        if traffic.held().may_exceed_limit() {
            for stalled in beyond(limit, all(&traffic, patience(send_timeout))) {
                stalled.cut();
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn patience(send_timeout: Duration) -> Duration {
    STALLED_AFTER.min(send_timeout / PART_OF_SEND_TIMEOUT)
}

/// Every stalled client.
fn all(traffic: &Traffic, patience: Duration) -> Vec<Stalled> {
    let now = traffic.held().millis();
    let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let mut all = Vec::new();
    let mut connections: HashMap<*const Connection, Stalled> = HashMap::new();
    traffic.each_http2(|connection| {
        connection.socket().look();
        if let Some(since) = connection.socket().stalled_since(now, patience) {
            let stalled = Stalled {
                client: connection.socket().client(),
                since,
                bytes: connection.counted(),
                requests: Vec::new(),
                connection: Some(Arc::clone(connection)),
            };
            connections.insert(Arc::as_ptr(connection), stalled);
        }
    });
    traffic.each(|control, backlog| {
        // Cut already, and about to be gone.
        if control.cause().is_some() {
            return;
        }
        backlog.look();
        backlog.grow_old(now, patience);
        let connection = backlog.connection().map(Arc::as_ptr);
        if let Some(stalled) = connection.and_then(|connection| connections.get_mut(&connection)) {
            stalled.requests.push(Arc::clone(control));
        } else if let Some(since) = backlog.stalled_since(now, patience) {
            let requests = vec![Arc::clone(control)];
            let (client, bytes) = (backlog.client(), backlog.counted());
            all.push(Stalled { client, since, bytes, requests, connection: None });
        }
    });
    all.extend(connections.into_values());
    all
}

/// Those that are too many: of the client that holds most the longest stalled, until the rest is within the limit.
fn beyond(limit: u64, mut all: Vec<Stalled>) -> Vec<Stalled> {
    let mut total: u64 = all.iter().map(|stalled| stalled.bytes).sum();
    let mut cut = Vec::new();
    if total <= limit {
        return cut;
    }
    // The longest stalled is last.
    all.sort_by_key(|stalled| std::cmp::Reverse(stalled.since));
    let mut clients: HashMap<Option<IpAddr>, (u64, Vec<Stalled>)> = HashMap::new();
    for stalled in all {
        let (bytes, of_client) = clients.entry(stalled.client).or_default();
        *bytes += stalled.bytes;
        of_client.push(stalled);
    }
    // Of two that hold as much, whose is stalled for longer.
    let rank = |bytes: u64, of_client: &[Stalled]| {
        (bytes, std::cmp::Reverse(of_client.last().map_or(u64::MAX, |stalled| stalled.since)))
    };
    let mut most: BinaryHeap<_> =
        clients.iter().map(|(client, (bytes, of_client))| (rank(*bytes, of_client), *client)).collect();
    while total > limit
        && let Some((_, client)) = most.pop()
        && let Some((bytes, of_client)) = clients.get_mut(&client)
        && let Some(stalled) = of_client.pop()
    {
        total -= stalled.bytes;
        *bytes -= stalled.bytes;
        if !of_client.is_empty() {
            most.push((rank(*bytes, of_client), client));
        }
        cut.push(stalled);
    }
    cut
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Stalled, beyond};

    fn cut(limit: u64, all: &[(u8, u64, u64)]) -> Vec<(u8, u64)> {
        let stalled = |&(client, since, bytes): &(u8, u64, u64)| Stalled {
            client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, client))),
            since,
            bytes,
            requests: Vec::new(),
            connection: None,
        };
        let last = |client: Option<IpAddr>| match client {
            Some(IpAddr::V4(v4)) => v4.octets()[3],
            _ => 0,
        };
        let cut = beyond(limit, all.iter().map(stalled).collect());
        cut.iter().map(|stalled| (last(stalled.client), stalled.since)).collect()
    }

    #[test]
    fn nobody_is_cut_within_the_limit() {
        assert_eq!(cut(30, &[(1, 1, 10), (1, 2, 10), (2, 3, 10)]), []);
        assert_eq!(cut(0, &[]), []);
        assert_eq!(cut(9, &[(1, 1, 10)]), [(1, 1)]);
    }

    #[test]
    fn whoever_holds_most_loses_its_oldest_first() {
        let many = [(1, 5, 10), (1, 6, 10), (1, 7, 10), (2, 1, 10), (3, 2, 10)];
        assert_eq!(cut(40, &many), [(1, 5)], "though others are stalled for longer");
        assert_eq!(cut(30, &many), [(1, 5), (1, 6)]);
        assert_eq!(cut(20, &many), [(1, 5), (1, 6), (2, 1)], "then of equals the longest stalled");
        assert_eq!(
            cut(30, &[(1, 1, 5), (1, 2, 5), (1, 3, 5), (2, 9, 40)]),
            [(2, 9)],
            "memory counts, not number"
        );
    }
}
