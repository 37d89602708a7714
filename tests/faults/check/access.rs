//! No live session is refused, none is lost, and none gets another's identity.

use super::{Case, Rule, Violation};
use crate::history::{Entry, Op};

pub(super) fn check(case: &Case<'_>, entry: &Entry, found: &mut Vec<Violation>) {
    match entry.op {
        Op::Call { roles } => {
            if entry.status == 401 && !may_refuse(case, entry, roles) {
                found.push(Case::violation(Rule::RefusedLive, entry, None));
            }
            let Some(seen) = &entry.seen else { return };
            if (&seen.user, &seen.session, seen.roles) != (&entry.user, &entry.session, roles) {
                found.push(Case::violation(Rule::OtherIdentity, entry, None));
            }
        }
        Op::Stream { roles, .. } if entry.status == 401 && !may_refuse(case, entry, roles) => {
            found.push(Case::violation(Rule::RefusedLive, entry, None));
        }
        Op::Vault { live: false } if case.may_have_ended(&entry.session, entry.end).is_none() => {
            found.push(Case::violation(Rule::SessionLost, entry, None));
        }
        _ => {}
    }
}

/// Returns true if the session may have ended, or the roles of its token may be old ones.
fn may_refuse(case: &Case<'_>, entry: &Entry, roles: u32) -> bool {
    let changes = |change: &&Entry| {
        matches!(change.op, Op::Roles { version } if version > roles) && change.start < entry.end
    };
    case.may_have_ended(&entry.session, entry.end).is_some()
        || entry.code == "token_expired" && case.changes_of(&entry.user).iter().copied().any(|c| changes(&c))
}

/// Returns true if a request may have been cut in the middle: its session or its roles may have ended meanwhile.
pub(super) fn may_be_cut(case: &Case<'_>, entry: &Entry) -> bool {
    let changes = |change: &&Entry| matches!(change.op, Op::Roles { .. }) && change.start < entry.end;
    let has_ended = || case.may_have_ended(&entry.session, entry.end).is_some();
    entry.code == "cut" && (has_ended() || case.changes_of(&entry.user).iter().copied().any(|c| changes(&c)))
}
