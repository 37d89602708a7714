//! Nothing revoked is accepted: each gateway's bound is computed from what it could know.

use super::{Case, Rule, Violation};
use crate::history::{Entry, Micros, Op};

pub(super) fn check(case: &Case<'_>, entry: &Entry, found: &mut Vec<Violation>) {
    let gateway = entry.gateway.unwrap_or_default();
    match entry.op {
        Op::Call { .. } if entry.seen.is_some() => {
            let worked = case.timeline.worked_from(gateway, entry.start);
            let ends = case.ends_of(&entry.session);
            // The first that forbids it says most.
            let forbids = |end: &&Entry| entry.start > end.end && !case.may_accept(gateway, end, worked);
            if let Some(end) = ends.into_iter().find(forbids) {
                found.push(Case::violation(Rule::AcceptedRevoked, entry, Some(end)));
            }
            check_roles(case, gateway, entry, worked, found);
        }
        Op::Stream { last, .. } if entry.is_acknowledged() => {
            let forbids = |end: &&Entry| !case.may_stream(gateway, end, last);
            if let Some(end) = case.ends_of(&entry.session).find(forbids) {
                found.push(Case::violation(Rule::StreamOutlivesRevocation, entry, Some(end)));
            }
        }
        Op::Vault { live: true } => {
            if let Some(end) = case.ends_of(&entry.session).next() {
                found.push(Case::violation(Rule::LostWrite, entry, Some(end)));
            }
        }
        Op::VaultUser { roles } => {
            let forbids = |change: &&&Entry| {
                change.is_acknowledged() && matches!(change.op, Op::Roles { version } if version > roles)
            };
            if let Some(change) = case.changes_of(&entry.user).iter().find(forbids) {
                found.push(Case::violation(Rule::LostWrite, entry, Some(change)));
            }
        }
        _ => {}
    }
}

fn check_roles(case: &Case<'_>, gateway: usize, entry: &Entry, worked: Micros, found: &mut Vec<Violation>) {
    let Some(seen) = &entry.seen else { return };
    let forbids = |change: &&&Entry| {
        matches!(change.op, Op::Roles { version } if version > seen.roles)
            && change.is_acknowledged()
            && entry.start > change.end
            && !case.may_accept(gateway, change, worked)
    };
    if let Some(change) = case.changes_of(&entry.user).iter().find(forbids) {
        found.push(Case::violation(Rule::AcceptedOldRoles, entry, Some(change)));
    }
}

impl Case<'_> {
    /// Returns true if a gateway that worked on a request at `time` may not have known of an acknowledged change.
    pub(super) fn may_accept(&self, gateway: usize, change: &Entry, time: Micros) -> bool {
        let (bounds, line, since) = (self.bounds, &self.timeline, change.end);
        if change.gateway == Some(gateway) {
            return false;
        }
        if line.could_read(gateway, since, time, bounds.vault + line.stalled(since, time)) {
            return false;
        }
        if time <= since + bounds.lease + bounds.slack {
            return true;
        }
        // The lease has run out. A gateway that reaches the vault reads the log first, also after a pause.
        if line.reaches_vault(gateway, since, time) {
            return false;
        }
        // From here on only the session store may confirm.
        !line.has_no_redis(gateway, time)
            && !self.has_tombstone(gateway, change, time)
            && time <= since + bounds.lease + bounds.grace + bounds.slack
    }

    /// Returns true if the session store surely has the tombstone of a revocation at `time`.
    fn has_tombstone(&self, gateway: usize, change: &Entry, time: Micros) -> bool {
        let Op::End { complete, .. } = change.op else { return false };
        let line = &self.timeline;
        // Another gateway that reads the row writes one too: the command line has no session store.
        let written = change.end + self.bounds.lease + self.bounds.vault;
        let by_another = |other| {
            other != gateway
                && line.reaches_vault(other, change.end, written)
                && line.reaches_redis(other, change.end, written)
                && !line.was_disturbed(other, change.end, written)
        };
        let is_written = complete || time > written && (0..line.gateways()).any(by_another);
        is_written && line.redis_keeps(change.start, time)
    }

    fn may_stream(&self, gateway: usize, end: &Entry, last: Micros) -> bool {
        let bounds = self.bounds;
        let slack = bounds.stream_slack + self.timeline.stalled(end.end, last);
        let late = last.saturating_sub(end.end);
        if late <= slack {
            return true;
        }
        if end.gateway == Some(gateway) {
            return false;
        }
        !self.timeline.could_read(gateway, end.end, last - slack, bounds.vault)
            && late <= bounds.lease + bounds.stream_lease + slack
    }
}
