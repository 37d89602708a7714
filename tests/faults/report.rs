//! The table of a run: one row per fault, and what is asserted of it.

use std::fmt::Write as _;
use std::path::Path;

use crate::check::{Rule, Violation, excerpt};
use crate::fleet::{GATEWAYS, Topology};
use crate::history::{Entry, History, Micros, Note, Op};
use crate::nemesis::{Fault, Promise};
use crate::random::{Seed, VARIABLE};
use crate::timeline::Timeline;
use crate::workers::users;

/// Times of one fault.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) name: String,
    pub(crate) fault: Fault,
    pub(crate) noted: Micros,
    pub(crate) began: Micros,
    pub(crate) ending: Micros,
    pub(crate) repaired: Micros,
    pub(crate) recovered: Micros,
}

/// Result of a run.
pub(crate) struct Report {
    pub(crate) topology: Topology,
    pub(crate) seed: Seed,
    pub(crate) history: History,
    pub(crate) violations: Vec<Violation>,
    pub(crate) times: Vec<Times>,
    /// Whether times count.
    pub(crate) is_strict: bool,
}

const HEAD: &str = "| fault | requests | failed | refused-live | accepted-revoked | 503 at most | notice | recover |\n\
                    |---|---|---|---|---|---|---|---|\n";

/// Bound of the time to recover: three times the promise, for two busy cores.
const RECOVERY: Micros = 15_000_000;

/// Part of a fault in which its effect is complete: the lease has run out, and what was under way is over.
const SETTLED: Micros = 1_500_000;

impl Report {
    /// Operations that began during a fault or its recovery.
    fn during<'a>(&'a self, times: &'a Times) -> impl Iterator<Item = &'a Entry> {
        self.history.entries.iter().filter(|entry| (times.noted..times.recovered).contains(&entry.start))
    }

    fn count(&self, times: Option<&Times>, rules: &[Rule]) -> usize {
        let belongs = |violation: &&Violation| {
            let start = violation.shown_by.start;
            rules.contains(&violation.rule)
                && times.is_none_or(|times| (times.noted..times.recovered).contains(&start))
        };
        self.violations.iter().filter(belongs).count()
    }

    fn row(&self, times: &Times) -> String {
        let calls = || self.during(times).filter(|entry| matches!(entry.op, Op::Call { .. }));
        let failed = calls().filter(|entry| matches!(entry.status, 0 | 503)).count();
        let slowest =
            self.during(times).filter(|entry| entry.status == 503).map(|entry| entry.end - entry.start).max();
        let millis = |span: Option<Micros>| span.map_or("-".to_owned(), |span| format!("{} ms", span / 1000));
        let lost = self.history.notes.iter().find_map(|(at, note)| {
            let Note::Log { reason, .. } = note else { return None };
            (reason.ends_with("_lost") && (times.noted..times.recovered).contains(at)).then_some(*at)
        });
        format!(
            "| {} | {} | {failed} | {} | {} | {} | {} | {} |\n",
            times.name,
            self.during(times).count(),
            self.count(Some(times), REFUSED_LIVE),
            self.count(Some(times), ACCEPTED_REVOKED),
            millis(slowest),
            millis(lost.map(|at| at.saturating_sub(times.noted))),
            millis(Some(times.recovered - times.repaired)),
        )
    }

    pub(crate) fn table(&self) -> String {
        let rows: String = self.times.iter().map(|times| self.row(times)).collect();
        let (from, until) = (0, self.history.entries.last().map_or(1, |entry| entry.start.max(1)));
        let starved = Timeline::of(&self.history, GATEWAYS).starved(from, until) * 100 / until;
        format!("{HEAD}{rows}\nProcesses waited for a processor {starved} % of the time.\n")
    }

    /// Problems: breaches of promises, and faults that users met otherwise than docs/faults.md says.
    pub(crate) fn problems(&self) -> Vec<String> {
        let violations = self.violations.iter().map(ToString::to_string);
        let strict = self.times.iter().filter(|_| self.is_strict);
        violations.chain(strict.flat_map(|times| self.wrong_facts(times))).collect()
    }

    /// The rule that was broken first; `None` if only a fact of the page is wrong.
    pub(crate) fn first_rule(&self) -> Option<Rule> {
        self.violations.first().map(|violation| violation.rule)
    }

    pub(crate) fn is_good(&self) -> bool {
        self.problems().is_empty()
    }

    /// Time that the machine was stalled or starved during a fault.
    fn stalled(&self, times: &Times) -> Micros {
        let line = Timeline::of(&self.history, GATEWAYS);
        line.stalled(times.noted, times.recovered) + line.starved(times.noted, times.recovered)
    }

    /// Compares what was measured with the facts of the fault. Nothing can be said of a stalled machine.
    fn wrong_facts(&self, times: &Times) -> Vec<String> {
        let stalled = self.stalled(times);
        let recovery = times.recovered - times.repaired;
        let mut wrong = Vec::new();
        if recovery > RECOVERY + stalled {
            wrong.push(format!("{}: works only {} ms after the repair", times.name, recovery / 1000));
        }
        if stalled > SETTLED / 3 {
            return wrong;
        }
        let (signed_in, sign_in) = times.fault.promises();
        let settled = times.began + SETTLED..times.ending;
        let within = |entry: &&Entry| settled.contains(&entry.start) && entry.end < times.ending;
        let share = |is: &dyn Fn(&Entry) -> bool| {
            let statuses = || {
                let of = self.history.entries.iter().filter(within).filter(|entry| is(entry));
                of.map(|entry| entry.status).filter(|status| matches!(status, 200 | 503))
            };
            let all = statuses().count();
            // A few say nothing.
            (all >= 5).then(|| statuses().filter(|status| *status == 200).count() * 100 / all)
        };
        let calls = share(&|entry| {
            matches!(entry.op, Op::Call { .. }) && users()[..2].contains(&entry.user.as_str())
        });
        let logins = share(&|entry| matches!(entry.op, Op::Login { .. }));
        for (what, promise, share) in [("signed-in requests", signed_in, calls), ("sign-in", sign_in, logins)]
        {
            let Some(share) = share else { continue };
            let holds = match promise {
                Promise::Served => share >= 75,
                Promise::Partly => true,
                Promise::Refused => share <= 25,
            };
            if !holds {
                let (name, word) = (&times.name, promise.word());
                wrong.push(format!("{name}: {what}: the page says `{word}`, {share} % were served"));
            }
        }
        wrong
    }

    /// Writes the table, and the violations with what led to each.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("table.md"), self.table()).expect("written");
        let file = folder.join(violations(self.seed));
        if self.is_good() {
            return;
        }
        let mut text = self.problems().join("\n");
        // More say no more.
        for violation in self.violations.iter().take(10) {
            let lines = excerpt(&self.history, violation).join("\n");
            write!(text, "\n\n{violation}\n{lines}").expect("a string");
        }
        std::fs::write(file, text).expect("written");
    }

    /// Fails the test when something is wrong.
    pub(crate) fn assert_good(&self) {
        let problems = self.problems();
        let shown: Vec<&String> = problems.iter().take(12).collect();
        assert!(
            problems.is_empty(),
            "{}: {} problems ({VARIABLE}={}):\n{shown:#?}\nThe history is in target/faults/{}.\n{}",
            self.topology.name(),
            problems.len(),
            self.seed.0,
            self.topology.name(),
            self.table(),
        );
    }
}

/// Name of the file with the violations of a run.
pub(crate) fn violations(seed: Seed) -> String {
    format!("violations-{}.txt", seed.0)
}

const REFUSED_LIVE: &[Rule] =
    &[Rule::RefusedLive, Rule::SessionLost, Rule::RefusedRefresh, Rule::RefusedLogin, Rule::OtherIdentity];

const ACCEPTED_REVOKED: &[Rule] = &[
    Rule::AcceptedRevoked,
    Rule::AcceptedOldRoles,
    Rule::StreamOutlivesRevocation,
    Rule::RefreshedRevoked,
    Rule::AdmittedLogin,
    Rule::LostWrite,
];
