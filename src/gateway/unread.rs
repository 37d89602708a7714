//! Answers that their clients do not take: as many as are allowed, and no more.
//!
//! What an app sends faster than its client takes is held here, on the way from one socket to the other: some 700 KiB an
//! answer. `send_timeout` ends it for each, in its time; this ends it for all together. Whoever has the most of them gives up
//! the first, so that one who asks for much and takes nothing stands back behind those who are only slow.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::traffic::Traffic;
use crate::auth::{Control, Cut};
use crate::snapshot::Current;

/// Of what an app sends at once, this is much: there is more where it came from, and all buffers fill.
pub(super) const MUCH: usize = 16 << 10;

/// Answers are looked through this often. In the meantime as much is added as the apps can send.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Of an answer whose client takes what comes there is more within this.
const SILENT: Duration = Duration::from_millis(100);

/// An answer of which nothing has moved for a while.
struct Unread {
    control: Arc<Control>,
    /// Unless it stands for many.
    client: Option<IpAddr>,
    /// In milliseconds of [`Traffic::millis`].
    since: u64,
}

/// Keeps them within `server.limits.unread_responses`; never ends by itself.
pub async fn bound_unread(traffic: Arc<Traffic>, current: Current) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let most = current.load().server.limits.unread_responses;
        for answer in beyond(most, unread(&traffic)) {
            answer.control.cut(Cut::Unread);
        }
    }
}

fn unread(traffic: &Traffic) -> Vec<Unread> {
    let silent = traffic.millis().saturating_sub(u64::try_from(SILENT.as_millis()).unwrap_or(u64::MAX));
    let mut all = Vec::new();
    traffic.each(|control, client| {
        if let Some(since) = control.holds_since().filter(|&since| since < silent) {
            all.push(Unread { control: Arc::clone(control), client, since });
        }
    });
    all
}

/// Those that are too many: each client's beyond its share, and of equals the longest silent.
fn beyond(most: usize, mut all: Vec<Unread>) -> Vec<Unread> {
    let Some(too_many) = all.len().checked_sub(most).filter(|&too_many| too_many > 0) else {
        return Vec::new();
    };
    // A client's answers are counted from the one that moved last: its oldest is its most expendable.
    all.sort_by_key(|answer| Reverse(answer.since));
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    let mut ranked: Vec<(usize, Unread)> = Vec::with_capacity(all.len());
    for answer in all {
        let rank = answer.client.map_or(1, |client| {
            let count = counts.entry(client).or_default();
            *count += 1;
            *count
        });
        ranked.push((rank, answer));
    }
    ranked.sort_by_key(|(rank, answer)| (Reverse(*rank), answer.since));
    ranked.truncate(too_many);
    ranked.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use super::{Unread, beyond};
    use crate::auth::Control;

    fn answer(client: u8, since: u64) -> Unread {
        let client = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, client)));
        Unread { control: Arc::new(Control::default()), client, since }
    }

    fn cut(most: usize, answers: &[(u8, u64)]) -> Vec<(u8, u64)> {
        let all = answers.iter().map(|&(client, since)| answer(client, since)).collect();
        let last = |client: Option<IpAddr>| match client {
            Some(IpAddr::V4(v4)) => v4.octets()[3],
            _ => 0,
        };
        let mut cut: Vec<_> =
            beyond(most, all).iter().map(|answer| (last(answer.client), answer.since)).collect();
        cut.sort_unstable();
        cut
    }

    #[test]
    fn as_many_as_are_allowed_stay() {
        assert_eq!(cut(3, &[(1, 1), (1, 2), (2, 3)]), []);
        assert_eq!(cut(0, &[(1, 1)]), [(1, 1)]);
    }

    #[test]
    fn whoever_has_the_most_goes_first_and_its_longest_silent() {
        let many = [(1, 5), (1, 6), (1, 7), (2, 1), (3, 2)];
        assert_eq!(cut(4, &many), [(1, 5)], "though others are silent for longer");
        assert_eq!(cut(3, &many), [(1, 5), (1, 6)]);
        assert_eq!(cut(2, &many), [(1, 5), (1, 6), (2, 1)], "then of equals the longest silent");
    }
}
