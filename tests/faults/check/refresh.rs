//! A refresh token has one successor, and a lost response is not a theft.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Rule, Violation};
use crate::history::{Entry, Micros, Op};

/// Fate of one refresh token.
#[derive(Default)]
struct Token<'a> {
    first_presented: Option<Micros>,
    successor: Option<&'a str>,
}

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    let mut tokens: BTreeMap<&str, Token<'_>> = BTreeMap::new();
    let mut granted: BTreeSet<&str> = BTreeSet::new();
    for entry in case.entries {
        let Op::Refresh { presented, got } = &entry.op else { continue };
        let token = tokens.entry(presented).or_default();
        token.first_presented = Some(token.first_presented.map_or(entry.start, |at| at.min(entry.start)));
        let Some(got) = got else { continue };
        if token.successor.is_some_and(|known| known != got) {
            found.push(Case::violation(Rule::TwoSuccessors, entry, None));
        }
        token.successor = Some(got);
        granted.insert(got);
    }
    for entry in case.entries {
        let Op::Refresh { presented, .. } = &entry.op else { continue };
        if entry.status == 401 && !may_refuse(case, entry, presented, &tokens) {
            found.push(Case::violation(Rule::RefusedRefresh, entry, None));
        }
        if entry.is_acknowledged() {
            // The vault decides: an ended session gets nothing, at no gateway.
            let forbids = |end: &&Entry| entry.start > end.end;
            if let Some(end) = case.ends_of(&entry.session).find(forbids) {
                found.push(Case::violation(Rule::RefreshedRevoked, entry, Some(end)));
            }
        }
    }
}

/// Returns true if the session may have ended, the token is from further back, or the grace may be over.
fn may_refuse(case: &Case<'_>, entry: &Entry, presented: &str, tokens: &BTreeMap<&str, Token<'_>>) -> bool {
    let token = &tokens[presented];
    let successor = token.successor.and_then(|token| tokens.get(token)).and_then(|next| next.first_presented);
    let rotated_after = token.first_presented.unwrap_or(entry.start);
    case.may_have_ended(&entry.session, entry.end).is_some()
        || successor.is_some_and(|at| at < entry.end)
        || entry.end >= rotated_after + case.bounds.refresh_grace
}
