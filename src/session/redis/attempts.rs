//! Buckets of failed attempts in Redis: one script, and so one atomic round trip, for each attempt.
//!
//! ```text
//! leaky    the time to live is the time until the bucket is empty; the value means nothing
//! counted  the value is `count:mark`; the time to live is that of the count
//! mark     random text, written when the counts of an account are forgotten: counts with another mark are void
//! ```
//!
//! All keys of buckets are in one slot of a Cluster, so that a script can read several. One node carries out tens of
//! thousands of these scripts in a second, and a core of a gateway hashes about forty passwords in that time.

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::fault::Fault;
use super::key;
use super::link::Link;
use crate::id::{Random, base64url};
use crate::session::attempts::{Attempt, BucketKey, Charged, Effect, Rule, millis};

/// Lifetime of a mark: longer than any count lives.
const MARK_LIFE: Duration = Duration::from_hours(24 * 401);

/// Charges all buckets or none. `KEYS[1]` is the mark; eight arguments describe each bucket behind it (see [`arguments`]).
/// The rules are those of [`Rule`]. Returns `{0, charged, ..}` or `{wait, bucket, is tight}`.
const CHARGE: &str = r"
local mark = redis.call('GET', KEYS[1]) or ''
local tight, wait, full, all = 0, 0, 0, {}
for i = 2, #KEYS do
  local b, at = {}, 8 * (i - 2)
  for j = 1, 8 do b[j] = tonumber(ARGV[at + j]) or ARGV[at + j] end
  local left, count, need = math.max(redis.call('PTTL', KEYS[i]), 0), 0, 0
  if b[2] == 'leaky' then
    need = left + b[4] - b[4] * (tight == 1 and b[5] or b[3])
  else
    local value = left > 0 and redis.call('GET', KEYS[i]) or ''
    local number, of = string.match(value, '^(%d+):(.*)$')
    if of == mark then count = tonumber(number) else left = 0 end
    need = count >= b[6] and left or left - math.min(count * b[7], b[8])
  end
  if need > 0 and b[1] == 'tightens' then tight = 1 end
  if b[1] == 'refuses' and need > wait then wait, full = need, i - 2 end
  all[i] = { b, left, count, need }
end
if wait > 0 then return { wait, full, tight } end
local reply = { 0 }
for i = 2, #KEYS do
  local b, left, count, need = all[i][1], all[i][2], all[i][3], all[i][4]
  reply[i] = need > 0 and 0 or 1
  if need <= 0 and b[2] == 'leaky' then
    redis.call('SET', KEYS[i], '1', 'PX', left + b[4])
  elseif need <= 0 then
    count = count + 1
    local pause = count >= b[3] and math.min(b[4] * 2 ^ math.min(count - b[3], 40), b[5]) or 0
    redis.call('SET', KEYS[i], count .. ':' .. mark, 'PX', math.min(count * b[7], b[8]) + pause)
  end
end
return reply";

/// Takes one attempt back from each bucket. Keys and arguments are those of [`CHARGE`].
const REFUND: &str = r"
local mark = redis.call('GET', KEYS[1]) or ''
for i = 2, #KEYS do
  local b, at = {}, 8 * (i - 2)
  for j = 1, 8 do b[j] = tonumber(ARGV[at + j]) or ARGV[at + j] end
  local left = redis.call('PTTL', KEYS[i])
  if left > 0 and b[2] == 'leaky' then
    if left > b[4] then redis.call('PEXPIRE', KEYS[i], left - b[4]) else redis.call('DEL', KEYS[i]) end
  elseif left > 0 then
    local number, of = string.match(redis.call('GET', KEYS[i]), '^(%d+):(.*)$')
    local count = (tonumber(number) or 1) - 1
    if of == mark and count > 0 then
      redis.call('SET', KEYS[i], count .. ':' .. mark, 'PX', math.min(count * b[7], b[8]))
    else
      redis.call('DEL', KEYS[i])
    end
  end
end
return 0";

/// Charges an attempt.
pub(super) async fn charge(
    link: &Link,
    prefix: &str,
    attempt: &Attempt,
    timeout: Duration,
) -> Result<Charged, Fault> {
    let reply: Vec<u64> = link.query(&eval(CHARGE, prefix, attempt), timeout).await?;
    match reply[..] {
        [0, ref charged @ ..] if charged.len() == attempt.buckets.len() => {
            Ok(Charged::Allowed(charged.iter().map(|charged| *charged == 1).collect()))
        }
        [wait, bucket, tight] if wait > 0 && bucket < attempt.buckets.len() as u64 => Ok(Charged::Full {
            bucket: usize::try_from(bucket).unwrap_or(0),
            wait: Duration::from_millis(wait),
            is_tight: tight == 1,
        }),
        _ => Err(Fault::Refused("an unexpected reply of a script".to_owned())),
    }
}

/// Refunds an attempt.
pub(super) async fn refund(
    link: &Link,
    prefix: &str,
    attempt: &Attempt,
    timeout: Duration,
) -> Result<(), Fault> {
    link.query::<Value>(&eval(REFUND, prefix, attempt), timeout).await.map(drop)
}

/// Forgets the counted buckets of accounts, and buckets.
pub(super) async fn forget(
    link: &Link,
    prefix: &str,
    (accounts, buckets): (&[BucketKey], &[BucketKey]),
    timeout: Duration,
    random: &dyn Random,
) -> Result<(), Fault> {
    let marks = accounts.iter().map(|account| {
        let mut set = cmd("SET");
        set.arg(key::bucket(prefix, account)).arg(base64url(random.bytes::<9>()));
        set.arg("PX").arg(millis(MARK_LIFE));
        set
    });
    let mut commands: Vec<Cmd> = marks.collect();
    if !buckets.is_empty() {
        let mut delete = cmd("DEL");
        for bucket in buckets {
            delete.arg(key::bucket(prefix, bucket));
        }
        commands.push(delete);
    }
    link.in_order(&commands, timeout).await.map(drop)
}

fn eval(script: &str, prefix: &str, attempt: &Attempt) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(script).arg(1 + attempt.buckets.len()).arg(key::bucket(prefix, &attempt.account));
    for bucket in &attempt.buckets {
        command.arg(key::bucket(prefix, &bucket.key));
    }
    for bucket in &attempt.buckets {
        let effect = match bucket.effect {
            Effect::Refuses => "refuses",
            Effect::Counts => "counts",
            Effect::Tightens => "tightens",
        };
        let (kind, numbers) = arguments(&bucket.rule);
        command.arg(effect).arg(kind).arg(&numbers);
    }
    command
}

/// Returns the kind and six numbers: burst; leak or first wait; tight burst or longest wait; maximum; memory, longest
/// memory.
fn arguments(rule: &Rule) -> (&'static str, [u64; 6]) {
    match *rule {
        Rule::Leaky { burst, leak, tight } => ("leaky", [burst.into(), millis(leak), tight.into(), 0, 0, 0]),
        Rule::Counted { burst, first, longest, max, memory, longest_memory } => {
            let waits = [burst.into(), millis(first), millis(longest)];
            let [burst, first, longest] = waits;
            ("counted", [burst, first, longest, max.into(), millis(memory), millis(longest_memory)])
        }
    }
}
