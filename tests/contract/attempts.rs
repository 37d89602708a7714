//! The contract of failed attempts. A reply that is late on a busy machine begins a case anew, with other buckets: a charge
//! cannot be repeated.

use std::time::Duration;

use doorward::clock::Monotonic;
use doorward::id::{Random, SystemRandom};
use doorward::session::SessionStoreError;
use doorward::session::attempts::local::LocalAttempts;
use doorward::session::attempts::{Attempt, Bucket, BucketKey, Charged, Effect, Rule};

use crate::session_store::{MINUTE, World, sure};

const HOUR: Duration = Duration::from_secs(3600);

fn key() -> BucketKey {
    let random: &dyn Random = &SystemRandom;
    BucketKey(random.bytes())
}

fn leaky(burst: u32) -> Bucket {
    let rule = Rule::Leaky { burst, leak: MINUTE, tight: 1 };
    Bucket { key: key(), rule, effect: Effect::Refuses }
}

fn counted(burst: u32, max: u32) -> Bucket {
    let rule = Rule::Counted {
        burst,
        first: MINUTE,
        longest: MINUTE * 10,
        max,
        memory: HOUR,
        longest_memory: HOUR * 4,
    };
    Bucket { key: key(), rule, effect: Effect::Refuses }
}

fn attempt(buckets: &[Bucket]) -> Attempt {
    Attempt { account: key(), buckets: buckets.to_vec() }
}

impl World {
    async fn charge(&self, attempt: &Attempt) -> Result<Charged, SessionStoreError> {
        self.store.charge(attempt).await
    }

    /// Charges an attempt that must be allowed.
    async fn allowed(&self, attempt: &Attempt) -> Result<Vec<bool>, SessionStoreError> {
        match self.charge(attempt).await? {
            Charged::Allowed(flags) => Ok(flags),
            full @ Charged::Full { .. } => panic!("{full:?}"),
        }
    }

    /// Charges an attempt that must be refused by a bucket, and returns the wait in whole minutes, rounded up.
    async fn full(&self, attempt: &Attempt, expected: usize) -> Result<u64, SessionStoreError> {
        match self.charge(attempt).await? {
            Charged::Full { bucket, wait, .. } => {
                assert_eq!(bucket, expected);
                Ok(minutes(wait))
            }
            Charged::Allowed(flags) => panic!("{flags:?}"),
        }
    }
}

fn minutes(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(60_000)).expect("a short wait")
}

pub(crate) async fn leaky_bucket_has_room_again_as_it_leaks(world: World) {
    sure("charged", async || {
        let attempt = attempt(&[leaky(3)]);
        for _ in 0..3 {
            assert_eq!(world.allowed(&attempt).await?, [true]);
        }
        assert_eq!(world.full(&attempt, 0).await?, 1);
        world.advance(MINUTE).await;
        world.allowed(&attempt).await?;
        assert_eq!(world.full(&attempt, 0).await?, 1);
        world.advance(MINUTE * 2).await;
        world.allowed(&attempt).await?;
        world.allowed(&attempt).await?;
        assert_eq!(world.full(&attempt, 0).await?, 1);
        Ok(())
    })
    .await;
}

pub(crate) async fn counted_attempts_wait_twice_as_long_each_time(world: World) {
    sure("charged", async || {
        let attempt = attempt(&[counted(2, 8)]);
        world.allowed(&attempt).await?;
        for wait in [1, 2, 4, 8, 10, 10] {
            world.allowed(&attempt).await?;
            assert_eq!(world.full(&attempt, 0).await?, wait);
            world.advance(MINUTE * u32::try_from(wait).expect("short")).await;
        }
        world.allowed(&attempt).await?;
        // The eighth was the last, until all are forgotten.
        assert_eq!(world.full(&attempt, 0).await?, 4 * 60 + 10);
        world.advance(MINUTE * 10).await;
        assert_eq!(world.full(&attempt, 0).await?, 4 * 60);
        world.advance(HOUR * 4).await;
        world.allowed(&attempt).await?;
        world.allowed(&attempt).await?;
        assert_eq!(world.full(&attempt, 0).await?, 1);
        Ok(())
    })
    .await;
}

pub(crate) async fn count_is_forgotten_in_its_time(world: World) {
    sure("charged", async || {
        let attempt = attempt(&[counted(2, 100)]);
        world.allowed(&attempt).await?;
        world.advance(MINUTE * 59).await;
        world.allowed(&attempt).await?;
        assert_eq!(world.full(&attempt, 0).await?, 1, "an hour for each");
        world.advance(MINUTE + HOUR * 2).await;
        world.allowed(&attempt).await?;
        world.allowed(&attempt).await?;
        assert_eq!(world.full(&attempt, 0).await?, 1, "as at the beginning");
        Ok(())
    })
    .await;
}

pub(crate) async fn full_bucket_keeps_the_others_from_being_charged(world: World) {
    sure("charged", async || {
        let (small, large, count) = (leaky(1), leaky(3), counted(4, 100));
        let all = attempt(&[large, small, count]);
        world.allowed(&all).await?;
        for _ in 0..5 {
            assert_eq!(world.full(&all, 1).await?, 1);
        }
        let others = Attempt { account: all.account, buckets: vec![large, count] };
        world.allowed(&others).await?;
        world.allowed(&others).await?;
        assert_eq!(world.full(&others, 0).await?, 1);
        Ok(())
    })
    .await;
}

pub(crate) async fn bucket_that_only_counts_refuses_nothing(world: World) {
    sure("charged", async || {
        let counts = |bucket| Bucket { effect: Effect::Counts, ..bucket };
        let (small, count) = (leaky(1), counted(1, 100));
        let silent = attempt(&[counts(small), counts(count), leaky(3)]);
        assert_eq!(world.allowed(&silent).await?, [true, true, true]);
        assert_eq!(world.allowed(&silent).await?, [false, false, true], "full ones take no more");
        let strict = Attempt { account: silent.account, buckets: vec![small] };
        assert_eq!(world.full(&strict, 0).await?, 1);
        let strict = Attempt { account: silent.account, buckets: vec![count] };
        assert_eq!(world.full(&strict, 0).await?, 1);
        Ok(())
    })
    .await;
}

pub(crate) async fn full_bucket_tightens_those_behind_it(world: World) {
    sure("charged", async || {
        let overall = Bucket { effect: Effect::Tightens, ..leaky(2) };
        let (one, other) = (leaky(3), leaky(3));
        let first = attempt(&[overall, one]);
        world.allowed(&first).await?;
        world.allowed(&first).await?;
        let full = world.charge(&first).await?;
        assert!(matches!(full, Charged::Full { bucket: 1, is_tight: true, .. }), "{full:?}");
        let second = attempt(&[overall, other]);
        assert_eq!(world.allowed(&second).await?, [false, true], "one fits");
        assert_eq!(world.full(&second, 1).await?, 1);
        world.advance(MINUTE * 2).await;
        world.allowed(&first).await?;
        Ok(())
    })
    .await;
}

pub(crate) async fn refunded_attempt_leaves_no_trace(world: World) {
    sure("charged", async || {
        let attempt = attempt(&[leaky(2), counted(3, 100)]);
        for _ in 0..10 {
            world.allowed(&attempt).await?;
            world.store.refund(&attempt).await?;
        }
        world.allowed(&attempt).await?;
        world.allowed(&attempt).await?;
        world.store.refund(&attempt).await?;
        world.allowed(&attempt).await?;
        assert_eq!(world.full(&attempt, 0).await?, 1);
        Ok(())
    })
    .await;
}

pub(crate) async fn forgotten_account_counts_anew(world: World) {
    sure("charged", async || {
        let (count, bucket) = (counted(1, 1), leaky(1));
        let (of_ada, of_eve) = (attempt(&[count, bucket]), attempt(&[counted(1, 1)]));
        world.allowed(&of_ada).await?;
        world.allowed(&of_eve).await?;
        world.store.forget(&[of_ada.account], &[]).await?;
        assert_eq!(world.full(&of_ada, 1).await?, 1, "other buckets stay");
        world.store.forget(&[], &[bucket.key]).await?;
        world.allowed(&of_ada).await?;
        world.full(&of_ada, 0).await?;
        world.store.refund(&of_ada).await?;
        world.allowed(&of_ada).await?;
        world.full(&of_eve, 0).await?;
        world.store.forget(&[], &[of_eve.buckets[0].key]).await?;
        world.allowed(&of_eve).await?;
        Ok(())
    })
    .await;
}

pub(crate) async fn attempts_at_the_same_time_are_counted_one_by_one(world: World) {
    sure("charged", async || {
        let attempt = attempt(&[leaky(20), counted(10, 100)]);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (store, attempt) = (world.store.clone(), attempt.clone());
            tasks.spawn(async move { store.charge(&attempt).await });
        }
        let mut allowed = 0;
        for charged in tasks.join_all().await {
            allowed += u32::from(matches!(charged?, Charged::Allowed(_)));
        }
        assert_eq!(allowed, 10);
        Ok(())
    })
    .await;
}

pub(crate) async fn attempts_in_any_order_follow_the_rules(world: World) {
    // All spans are whole minutes, and the case takes less than one: what a server's clock adds changes no decision.
    let random: &dyn Random = &SystemRandom;
    let seed = u64::from_be_bytes(random.bytes());
    sure("charged", async || {
        let (model, mut now, mut state) = (LocalAttempts::default(), 0_u32, seed | 1);
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let overall = Bucket { effect: Effect::Tightens, ..leaky(9) };
        let quiet = Bucket { effect: Effect::Counts, ..counted(2, 6) };
        let attempts = [
            attempt(&[overall, counted(3, 100), leaky(6), leaky(5)]),
            attempt(&[overall, counted(1, 4), quiet]),
            attempt(&[leaky(2), overall, counted(2, 100)]),
        ];
        let mut charged = Vec::new();
        for step in 0..300 {
            let which = usize::try_from(next(3)).expect("small");
            let at = Monotonic::from_millis(u64::from(now) * 60_000);
            match next(8) {
                0..5 => {
                    let (expected, got) =
                        (model.charge(&attempts[which], at), world.charge(&attempts[which]).await?);
                    // Not the bucket: of two with the same wait, a server's clock may prefer the other.
                    let plain = |charged: &Charged| match charged {
                        Charged::Allowed(flags) => (flags.clone(), 0, false),
                        Charged::Full { wait, is_tight, .. } => (vec![], minutes(*wait), *is_tight),
                    };
                    assert_eq!(plain(&got), plain(&expected), "seed {seed}, step {step}");
                    if let Charged::Allowed(flags) = got {
                        let buckets = attempts[which].buckets.iter().zip(flags);
                        let buckets = buckets.filter(|(_, charged)| *charged).map(|(bucket, _)| *bucket);
                        charged.push(Attempt { buckets: buckets.collect(), ..attempts[which] });
                    }
                }
                5 => {
                    if let Some(attempt) = charged.pop() {
                        model.refund(&attempt, at);
                        world.store.refund(&attempt).await?;
                    }
                }
                6 => {
                    let (account, bucket) = (attempts[which].account, attempts[which].buckets[0].key);
                    model.forget(&[account], &[bucket]);
                    world.store.forget(&[account], &[bucket]).await?;
                }
                _ => {
                    let span = [1, 2, 7, 61, 300][usize::try_from(next(5)).expect("small")];
                    now += span;
                    world.advance(MINUTE * span).await;
                }
            }
        }
        Ok(())
    })
    .await;
}
