//! A failed run made small: fewer faults, then fewer kinds of clients, with the same seed, as long as it fails in the same
//! way.

use std::time::Duration;

use tokio::time::Instant;

use crate::check::Rule;
use crate::measured::measured;
use crate::nemesis::Fault;
use crate::random::VARIABLE;
use crate::report::Report;
use crate::run::Run;
use crate::workers::Worker;
use crate::{ONLY, WITHOUT};

/// Time after which the smallest so far has to do.
const WITHIN: Duration = Duration::from_secs(900);

/// Tries of each candidate: what depends on time may fail in one of two.
const TRIES: usize = 2;

/// Prints the smallest run found that fails like `failed`.
pub(crate) async fn minimise(run: &Run<'_>, faults: &[Fault], failed: &Report) {
    let (until, rule) = (Instant::now() + WITHIN, failed.first_rule());
    let rerun = async |run: Run<'_>, faults: &[Fault]| {
        for _ in 0..TRIES {
            if Instant::now() < until && fails(&run.of(faults).await, rule) {
                return true;
            }
        }
        false
    };
    let faults = smallest(faults, async |some| rerun(run.clone(), some).await).await;
    let crew =
        smallest(&run.crew, async |some| rerun(Run { crew: some.to_vec(), ..run.clone() }, &faults).await)
            .await;
    let names: Vec<&str> = faults.iter().map(|fault| fault.name()).collect();
    let absent: Vec<&str> =
        Worker::ALL.iter().filter(|worker| !crew.contains(worker)).map(|worker| worker.name()).collect();
    measured(format_args!(
        "the smallest run that fails so ({rule:?}): {VARIABLE}={} {ONLY}='{}' {WITHOUT}='{}'",
        run.seed.0,
        names.join("; "),
        absent.join("; ")
    ));
}

fn fails(report: &Report, rule: Option<Rule>) -> bool {
    match rule {
        Some(rule) => report.violations.iter().any(|violation| violation.rule == rule),
        None => !report.is_good(),
    }
}

/// Leaves out parts of `all`, first halves, then smaller ones, while `fails` holds (delta debugging, Zeller 1999). What
/// `fails` says of an empty list is not asked.
async fn smallest<T: Clone>(all: &[T], mut fails: impl AsyncFnMut(&[T]) -> bool) -> Vec<T> {
    let (mut all, mut parts) = (all.to_vec(), 2);
    while all.len() > 1 {
        let size = all.len().div_ceil(parts);
        let mut smaller = None;
        for start in (0..all.len()).step_by(size) {
            let rest = [&all[..start], &all[(start + size).min(all.len())..]].concat();
            if !rest.is_empty() && fails(&rest).await {
                smaller = Some(rest);
                break;
            }
        }
        match smaller {
            Some(rest) => (all, parts) = (rest, parts.saturating_sub(1).max(2)),
            None if size == 1 => break,
            None => parts = (parts * 2).min(all.len()),
        }
    }
    all
}

#[tokio::test]
async fn smallest_list_that_fails_is_found() {
    let all: Vec<u32> = (0..24).collect();
    for culprits in [vec![5], vec![0, 23], vec![3, 4, 17], all.clone()] {
        let mut runs = 0;
        let found = smallest(&all, async |some: &[u32]| {
            runs += 1;
            culprits.iter().all(|culprit| some.contains(culprit))
        })
        .await;
        assert_eq!(found, culprits);
        assert!(runs <= 80, "{runs} runs for {culprits:?}");
    }
    assert_eq!(smallest(&all, async |_: &[u32]| true).await.len(), 1);
    assert_eq!(smallest(&[1], async |_: &[u32]| panic!("one is the least")).await, [1]);
}
