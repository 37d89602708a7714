//! Every request gets a response, and a refusal that undecided requests get comes soon and says when to try again.

use super::{Case, Rule, Violation, access};
use crate::history::{Entry, LOST, Op};

/// The client went away by itself.
pub(crate) const HUNG_UP: &str = "hung_up";

pub(super) fn check(case: &Case<'_>, entry: &Entry, found: &mut Vec<Violation>) {
    let Some(gateway) = entry.gateway else { return };
    let mut breach = |rule| found.push(Case::violation(rule, entry, None));
    let stalled = case.timeline.stalled(entry.start, entry.end);
    // On a machine without time for anybody a client gives up before its gateway can respond.
    let starved = case.timeline.starved(entry.start, entry.end);
    let is_starved = entry.code == "timeout" && stalled + starved > (entry.end - entry.start) / 5;
    let is_disturbed = is_starved || case.timeline.was_disturbed(gateway, entry.start, entry.end);
    if entry.status == 503 {
        if !entry.retry_after {
            breach(Rule::NoRetryAfter);
        }
        // Where Postgres answers, only slowly, a statement has its whole time.
        let patience = case.timeline.answers_slowly(entry.start, entry.end) * case.bounds.statement;
        let bound = case.bounds.refusal.max(patience) + stalled + starved;
        if entry.end - entry.start > bound && !is_disturbed {
            breach(Rule::LateRefusal);
        }
    }
    if entry.op == Op::Public {
        if entry.status != 200 && !is_disturbed {
            breach(Rule::RefusedPublic);
        }
    } else if entry.status == 0 {
        let may_be_lost =
            is_disturbed || matches!(entry.code.as_str(), HUNG_UP | LOST) || access::may_be_cut(case, entry);
        if !may_be_lost {
            breach(Rule::NoResponse);
        }
    } else if !matches!(entry.status, 200 | 401 | 503) && !is_expected(entry) {
        breach(Rule::UnexpectedStatus);
    }
}

/// Returns true for the refusals of endpoints that act on a session which has ended meanwhile.
fn is_expected(entry: &Entry) -> bool {
    matches!(entry.op, Op::End { .. } | Op::Password { .. })
        && matches!(entry.code.as_str(), "session_unknown" | "password_rejected")
}
