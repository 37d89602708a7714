//! Sign-in follows the acknowledged changes of a user, at every gateway at once: the vault decides.

use super::{Case, Rule, Violation};
use crate::history::{Entry, Op};

pub(super) fn check(case: &Case<'_>, entry: &Entry, found: &mut Vec<Violation>) {
    let Op::Login { password } = entry.op else { return };
    let changes = case.changes_of(&entry.user);
    match entry.status {
        200 => {
            if let Some(change) = changes.iter().find(|change| forbids(change, changes, entry, password)) {
                found.push(Case::violation(Rule::AdmittedLogin, entry, Some(change)));
            }
        }
        401 if !changes.iter().any(|change| may_refuse(case, change, changes, entry, password)) => {
            found.push(Case::violation(Rule::RefusedLogin, entry, None));
        }
        _ => {}
    }
}

fn forbids(change: &Entry, changes: &[&Entry], login: &Entry, password: u32) -> bool {
    let before = change.is_acknowledged() && change.end < login.start;
    before
        && match change.op {
            Op::Password { version } => version > password,
            Op::Disable => !changes.iter().any(|other| {
                other.op == Op::Enable && other.start >= change.start && other.start < login.end
            }),
            _ => false,
        }
}

fn may_refuse(case: &Case<'_>, change: &Entry, changes: &[&Entry], login: &Entry, password: u32) -> bool {
    if change.start >= login.end {
        return false;
    }
    match change.op {
        Op::Password { version } if version > password => true,
        // The password itself may not be set yet.
        Op::Password { version } => {
            version == password && !(change.is_acknowledged() && change.end < login.start)
        }
        Op::Disable => {
            let until = case.effective_until(change);
            !changes.iter().any(|other| {
                other.op == Op::Enable
                    && other.is_acknowledged()
                    && other.start >= until
                    && other.end < login.start
            })
        }
        _ => false,
    }
}
