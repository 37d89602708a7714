//! Stalled clients: limit on the memory held for clients that make no progress.
//!
//! `send_timeout` ends each of them in time. This ends some of them sooner, when all together hold too much. A client is
//! stalled only if it read nothing for several seconds, however slow it is otherwise, and none is cut below the limit. Beyond
//! the limit, the client that holds most loses the response that has been stalled for longest.

use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Control, Cut};
use crate::gateway::connection::backlog::Connection;
use crate::gateway::connection::traffic::Traffic;
use crate::snapshot::Current;

/// Interval between checks for stalled clients.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Time without progress after which a client is stalled. Readers of 10 kB/s make progress more often, whatever their system
/// buffers; a longer time would give attackers more time to fill the memory.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// Divisor of a short `send_timeout`: a client is stalled after half of it at the latest.
const PART_OF_SEND_TIMEOUT: u32 = 2;

/// A stalled response, or an HTTP/2 connection with a stalled socket.
struct Stalled {
    client: Option<IpAddr>,
    /// Start of the time without progress, in milliseconds of `Held::millis`.
    since: u64,
    /// Bytes of memory held.
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

/// Keeps the memory held for stalled clients within `server.limits.stalled_bytes`. Runs forever.
pub async fn bound_stalled(traffic: Arc<Traffic>, current: Current) {
    loop {
        let snapshot = current.load();
        let limits = &snapshot.server.limits;
        let (limit, send_timeout) = (limits.stalled_bytes, limits.send_timeout);
        drop(snapshot);
        traffic.held().set_limit(limit);
        // Memory held for stalled clients is part of it: within the limit there is nothing to do.
        if traffic.held().may_exceed_limit() {
            for stalled in beyond_limit(limit, all_stalled(&traffic, patience(send_timeout))) {
                stalled.cut();
            }
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

fn patience(send_timeout: Duration) -> Duration {
    STALLED_AFTER.min(send_timeout / PART_OF_SEND_TIMEOUT)
}

/// Returns every stalled response and connection.
fn all_stalled(traffic: &Traffic, patience: Duration) -> Vec<Stalled> {
    let now = traffic.held().millis();
    let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let mut all = Vec::new();
    let mut connections: HashMap<*const Connection, Stalled> = HashMap::new();
    traffic.each_http2(|connection| {
        connection.socket().check_acknowledged();
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
        // Already cut, and about to end.
        if control.cause().is_some() {
            return;
        }
        backlog.check_acknowledged();
        backlog.stop_expecting_after(now, patience);
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

/// Selects what to cut until the rest is within the limit: each time the longest stalled of the client that holds most.
fn beyond_limit(limit: u64, mut all: Vec<Stalled>) -> Vec<Stalled> {
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
    // Between clients that hold the same, the longer stalled one ranks first.
    let rank = |bytes: u64, of_client: &[Stalled]| {
        (bytes, std::cmp::Reverse(of_client.last().map_or(u64::MAX, |stalled| stalled.since)))
    };
    let mut by_rank: BinaryHeap<_> =
        clients.iter().map(|(client, (bytes, of_client))| (rank(*bytes, of_client), *client)).collect();
    while total > limit
        && let Some((_, client)) = by_rank.pop()
        && let Some((bytes, of_client)) = clients.get_mut(&client)
        && let Some(stalled) = of_client.pop()
    {
        total -= stalled.bytes;
        *bytes -= stalled.bytes;
        if !of_client.is_empty() {
            by_rank.push((rank(*bytes, of_client), client));
        }
        cut.push(stalled);
    }
    cut
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Stalled, beyond_limit};

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
        let cut = beyond_limit(limit, all.iter().map(stalled).collect());
        cut.iter().map(|stalled| (last(stalled.client), stalled.since)).collect()
    }

    #[test]
    fn no_client_is_cut_within_the_limit() {
        assert_eq!(cut(30, &[(1, 1, 10), (1, 2, 10), (2, 3, 10)]), []);
        assert_eq!(cut(0, &[]), []);
        assert_eq!(cut(9, &[(1, 1, 10)]), [(1, 1)]);
    }

    #[test]
    fn client_that_holds_most_loses_its_oldest_first() {
        let many = [(1, 5, 10), (1, 6, 10), (1, 7, 10), (2, 1, 10), (3, 2, 10)];
        assert_eq!(cut(40, &many), [(1, 5)], "though others are stalled for longer");
        assert_eq!(cut(30, &many), [(1, 5), (1, 6)]);
        assert_eq!(cut(20, &many), [(1, 5), (1, 6), (2, 1)], "then the longest stalled of equals");
        assert_eq!(
            cut(30, &[(1, 1, 5), (1, 2, 5), (1, 3, 5), (2, 9, 40)]),
            [(2, 9)],
            "bytes count, not responses"
        );
    }
}
