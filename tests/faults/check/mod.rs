//! The checker: pure functions over a history that find every breach of a promise (docs/design.md, What it promises).
//!
//! A rule judges only by what must have been so. Where an operation had no response, or a store was neither surely
//! reached nor surely lost, both outcomes are accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::bounds::Bounds;
use crate::history::{Entry, History, Micros, Op, Scope};
use crate::timeline::Timeline;

pub(crate) use responses::HUNG_UP;

mod access;
mod refresh;
mod responses;
mod revocation;
mod sign_in;
mod tests;

/// Broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    AcceptedRevoked,
    AcceptedOldRoles,
    StreamOutlivesRevocation,
    RefusedLive,
    SessionLost,
    OtherIdentity,
    TwoSuccessors,
    RefusedRefresh,
    RefreshedRevoked,
    RefusedLogin,
    AdmittedLogin,
    LateRefusal,
    NoRetryAfter,
    NoResponse,
    UnexpectedStatus,
    RefusedPublic,
    LostWrite,
}

/// A breach, with the operation that shows it and the one that forbids it.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) shown_by: Entry,
    pub(crate) forbidden_by: Option<Entry>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = |entry: &Entry| serde_json::to_string(entry).expect("JSON");
        write!(f, "{:?}: {}", self.rule, json(&self.shown_by))?;
        if let Some(cause) = &self.forbidden_by {
            let late = self.shown_by.start.saturating_sub(cause.end);
            write!(f, "\n  sent {} ms after {}", late / 1000, json(cause))?;
        }
        Ok(())
    }
}

/// A history with the indexes that the rules share.
pub(crate) struct Case<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) timeline: Timeline,
    pub(crate) bounds: &'a Bounds,
    /// Sessions by id, with the sign-in that opened each.
    sessions: BTreeMap<&'a str, &'a Entry>,
    /// Operations that end sessions, by user.
    ends: BTreeMap<&'a str, Vec<&'a Entry>>,
    changes: BTreeMap<&'a str, Vec<&'a Entry>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(history: &'a History, gateways: usize, bounds: &'a Bounds) -> Self {
        let mut case = Self {
            entries: &history.entries,
            timeline: Timeline::of(history, gateways),
            bounds,
            sessions: BTreeMap::new(),
            ends: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        for entry in &history.entries {
            match entry.op {
                Op::Login { .. } if entry.is_acknowledged() => {
                    case.sessions.insert(&entry.session, entry);
                }
                Op::End { .. } => case.ends.entry(&entry.user).or_default().push(entry),
                Op::Roles { .. } | Op::Password { .. } | Op::Disable | Op::Enable => {
                    case.changes.entry(&entry.user).or_default().push(entry);
                }
                _ => {}
            }
        }
        case
    }

    /// Every breach.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for entry in self.entries {
            revocation::check(self, entry, &mut found);
            access::check(self, entry, &mut found);
            responses::check(self, entry, &mut found);
            sign_in::check(self, entry, &mut found);
        }
        refresh::check(self, &mut found);
        found
    }

    /// Changes of a user by the command line.
    fn changes_of(&self, user: &str) -> &[&'a Entry] {
        self.changes.get(user).map_or(&[], Vec::as_slice)
    }

    /// Time up to which an operation may take effect: without a response, some time after its client has gone.
    fn effective_until(&self, entry: &Entry) -> Micros {
        entry.end + if entry.is_acknowledged() { 0 } else { self.bounds.unanswered }
    }

    /// Acknowledged ends of a session.
    fn ends_of(&self, session: &str) -> impl Iterator<Item = &'a Entry> {
        let login = self.sessions.get(session).copied();
        let of_user = login.and_then(|login| self.ends.get(login.user.as_str()));
        of_user.into_iter().flatten().copied().filter(move |end| {
            let Op::End { scope, .. } = &end.op else { return false };
            // A session that was opened meanwhile may have been opened after it.
            let is_older = login.is_some_and(|login| login.end <= end.start);
            end.is_acknowledged()
                && match scope {
                    Scope::Session(id) => id == session,
                    Scope::User => is_older,
                    Scope::Others(kept) => is_older && kept != session,
                }
        })
    }

    /// Returns the operation that may have ended a session by `time`.
    fn may_have_ended(&self, session: &str, time: Micros) -> Option<&'a Entry> {
        let login = self.sessions.get(session).copied()?;
        self.ends.get(login.user.as_str())?.iter().copied().find(|end| {
            let Op::End { scope, .. } = &end.op else { return false };
            let was_there = login.start < self.effective_until(end);
            end.start < time
                && match scope {
                    Scope::Session(id) => id == session,
                    Scope::User => was_there,
                    Scope::Others(kept) => was_there && kept != session,
                }
        })
    }

    fn violation(rule: Rule, shown_by: &Entry, forbidden_by: Option<&Entry>) -> Violation {
        Violation { rule, shown_by: shown_by.clone(), forbidden_by: forbidden_by.cloned() }
    }
}

/// Lines of a history that belong to a violation: its session and its user, and all notes, between the two operations.
pub(crate) fn excerpt(history: &History, violation: &Violation) -> Vec<String> {
    let shown = &violation.shown_by;
    let cause = violation.forbidden_by.as_ref();
    const MARGIN: Micros = 1_500_000;
    let from = cause.map_or(shown.start, |cause| cause.start.min(shown.start)).saturating_sub(MARGIN);
    let until = shown.end + MARGIN / 3;
    let tokens: BTreeSet<&str> = match &shown.op {
        Op::Refresh { presented, .. } => [presented.as_str()].into(),
        _ => BTreeSet::new(),
    };
    let belongs = |entry: &&Entry| {
        let concerns = entry.session == shown.session && !shown.session.is_empty()
            || matches!(&entry.op, Op::Refresh { presented, .. } if tokens.contains(presented.as_str()))
            || entry.user == shown.user
                && !matches!(entry.op, Op::Call { .. } | Op::Refresh { .. } | Op::Public)
            || *entry == shown;
        concerns && entry.end >= from && entry.start <= until
    };
    let part = History {
        entries: history.entries.iter().filter(belongs).cloned().collect(),
        notes: history.notes.iter().filter(|(at, _)| (from..=until).contains(at)).cloned().collect(),
    };
    part.lines()
}
