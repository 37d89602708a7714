//! The commands on a session's key: each concerns one key and is atomic, so any Cluster carries them out.
//!
//! ```text
//! check   GET key
//! fill    SET key record NX PX keep+jitter     NX: never over a tombstone
//! extend  PEXPIRE key keep GT                  GT: never shorter, nothing on an absent key
//! revoke  SET key tombstone NX PX keep         nothing was there
//!         SET key tombstone XX KEEPTTL         something was: its time stays ..
//!         PEXPIRE key keep GT                  .. unless it was shorter than asked
//! ```

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::backoff::up_to;
use super::fault::Fault;
use super::link::Link;
use super::record::{self, TOMBSTONE_VALUE};
use crate::id::Random;
use crate::session::{Lookup, Record};

/// An answer takes well under 1 ms nearby and a few between zones; a pause of Redis' own (a fork, a slow command) of
/// some 10 ms should not send its requests to the vault. More than this a waiting client would feel.
const ANSWER: Duration = Duration::from_millis(100);

/// Records filled at one moment, after a flush of Redis say, should not all end at one moment. More would keep
/// records that nobody asks for.
const MOST_JITTER: Duration = Duration::from_secs(60);

/// A record may end between two steps of a revocation, and be filled again between two others. Each time needs both
/// within a millisecond.
const REVOKE_ATTEMPTS: usize = 3;

/// What is there.
pub(super) async fn check(link: &Link, key: &str) -> Result<Lookup, Fault> {
    let value: Option<Vec<u8>> = link.ask(cmd("GET").arg(key), ANSWER).await?;
    Ok(record::decode(value.as_deref()))
}

/// Puts a record where nothing is.
pub(super) async fn fill(
    link: &Link,
    key: &str,
    record: &Record,
    keep: Duration,
    random: &dyn Random,
) -> Result<(), Fault> {
    let keep = keep + up_to((keep / 10).min(MOST_JITTER), random);
    let value = record::encode(record);
    let mut set = cmd("SET");
    set.arg(key).arg(&value[..]).arg("NX").arg("PX").arg(millis(keep));
    link.ask::<Value>(&set, ANSWER).await.map(drop)
}

/// Keeps what is there for longer.
pub(super) async fn extend(link: &Link, key: &str, keep: Duration) -> Result<(), Fault> {
    link.ask::<Value>(&pexpire_gt(key, keep), ANSWER).await.map(drop)
}

/// Leaves a tombstone, whatever was there. When Redis has no memory for it, what was there is removed, which needs
/// none, and [`Fault::Full`] says that the tombstone is still owed.
pub(super) async fn revoke(link: &Link, key: &str, keep: Duration) -> Result<(), Fault> {
    let (mut first, mut over) = (cmd("SET"), cmd("SET"));
    first.arg(key).arg(&TOMBSTONE_VALUE).arg("NX").arg("PX").arg(millis(keep));
    over.arg(key).arg(&TOMBSTONE_VALUE).arg("XX").arg("KEEPTTL");
    let steps = [first, over, pexpire_gt(key, keep)];
    for _ in 0..REVOKE_ATTEMPTS {
        match link.in_order(&steps, ANSWER).await {
            Ok(answers) if answers.iter().take(2).any(|answer| *answer == Value::Okay) => return Ok(()),
            Ok(_) => {}
            Err(Fault::Full) => {
                link.ask::<Value>(cmd("DEL").arg(key), ANSWER).await?;
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

/// Rounded up, since a tombstone must not go early; at least 1 and at most what Redis can add to its clock.
fn millis(keep: Duration) -> i64 {
    let millis = keep.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(i64::MAX).clamp(1, i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_up_to_what_redis_takes() {
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_micros(1001)), 2);
        assert_eq!(millis(Duration::from_secs(60)), 60_000);
        assert_eq!(millis(Duration::MAX), i64::MAX / 4);
    }
}
