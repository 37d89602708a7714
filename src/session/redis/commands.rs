//! Commands on a session's key. Each concerns one key and is atomic, so a Cluster supports them. `timeout` is that of
//! one reply.
//!
//! ```text
//! check   GET key
//! fill    SET key record NX PX keep+jitter     NX: never over a tombstone
//! extend  PEXPIRE key keep GT                  GT: never shorter, nothing on an absent key
//! revoke  SET key tombstone NX PX keep         the key was absent
//!         SET key tombstone XX KEEPTTL         the key existed: its time stays ..
//!         PEXPIRE key keep GT                  .. unless it was shorter than `keep`
//! ```

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::backoff::up_to;
use super::fault::Fault;
use super::link::Link;
use super::record::{self, TOMBSTONE_VALUE};
use crate::guard;
use crate::id::Random;
use crate::session::{Lookup, Record};

/// Maximum jitter of a record's life, so that records filled at one moment, such as after a flush of Redis, do not
/// expire together. More would keep unused records.
const MAX_JITTER: Duration = Duration::from_secs(60);

/// Maximum attempts of a revocation. A record may expire between two steps and be filled again between two others; each
/// repetition needs both within a millisecond.
const REVOKE_ATTEMPTS: usize = 3;

/// Looks up a session.
pub(super) async fn check(link: &Link, key: &str, timeout: Duration) -> Result<Lookup, Fault> {
    let value: Option<Vec<u8>> = link.query(cmd("GET").arg(key), timeout).await?;
    Ok(record::decode(value.as_deref()))
}

/// Writes a record if the key is absent.
pub(super) async fn fill(
    link: &Link,
    key: &str,
    record: &Record,
    keep: Duration,
    timeout: Duration,
    random: &dyn Random,
) -> Result<(), Fault> {
    let keep = keep + up_to((keep / 10).min(MAX_JITTER), random);
    let value = record::encode(record);
    let mut set = cmd("SET");
    set.arg(key).arg(&value[..]).arg(if guard::is_off("fill-nx") { "GET" } else { "NX" });
    set.arg("PX").arg(millis(keep));
    link.query::<Value>(&set, timeout).await.map(drop)
}

/// Extends the life of an entry.
pub(super) async fn extend(link: &Link, key: &str, keep: Duration, timeout: Duration) -> Result<(), Fault> {
    link.query::<Value>(&pexpire_gt(key, keep), timeout).await.map(drop)
}

/// Writes a tombstone over any entry. When Redis has no memory for it, the entry is removed, which needs none, and
/// [`Fault::Full`] tells the caller to retry the tombstone.
pub(super) async fn revoke(link: &Link, key: &str, keep: Duration, timeout: Duration) -> Result<(), Fault> {
    let (mut first, mut over) = (cmd("SET"), cmd("SET"));
    first.arg(key).arg(&TOMBSTONE_VALUE).arg("NX").arg("PX").arg(millis(keep));
    over.arg(key).arg(&TOMBSTONE_VALUE).arg("XX").arg("KEEPTTL");
    let steps = [first, over, pexpire_gt(key, keep)];
    for _ in 0..REVOKE_ATTEMPTS {
        match link.in_order(&steps, timeout).await {
            Ok(replies) if replies.iter().take(2).any(|reply| *reply == Value::Okay) => return Ok(()),
            Ok(_) => {}
            Err(Fault::Full) => {
                link.query::<Value>(cmd("DEL").arg(key), timeout).await?;
                return Err(Fault::Full);
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(Fault::Refused("the key came and went".to_owned()))
}

fn pexpire_gt(key: &str, keep: Duration) -> Cmd {
    let mut command = cmd("PEXPIRE");
    command.arg(key).arg(millis(keep)).arg("GT");
    command
}

/// Converts to milliseconds, rounded up since a tombstone must not expire early. The result is at least 1 and at most
/// what Redis can add to its clock.
fn millis(keep: Duration) -> i64 {
    let millis = keep.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(i64::MAX).clamp(1, i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_up_and_clamped() {
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_micros(1001)), 2);
        assert_eq!(millis(Duration::from_secs(60)), 60_000);
        assert_eq!(millis(Duration::MAX), i64::MAX / 4);
    }
}
