//! Knowledge of each gateway over time: whether it ran and reached its stores, from the notes of a history.

use crate::history::{History, Micros, Note, Reach, State};
use crate::nemesis::Fault;

/// States with the times at which they began.
struct Track<T>(Vec<(Micros, T)>);

impl<T: Copy + PartialEq> Track<T> {
    fn new(first: T) -> Self {
        Self(vec![(0, first)])
    }

    /// Intervals in `from..until` with their states.
    fn within(&self, from: Micros, until: Micros) -> impl Iterator<Item = (Micros, Micros, T)> {
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([Micros::MAX]);
        self.0.iter().zip(ends).filter_map(move |(&(begins, state), ends)| {
            let (begins, ends) = (begins.max(from), ends.min(until));
            (begins < ends || (begins == ends && from == until)).then_some((begins, ends, state))
        })
    }

    fn is_always(&self, state: T, from: Micros, until: Micros) -> bool {
        self.within(from, until).all(|(_, _, is)| is == state)
    }

    fn at(&self, time: Micros) -> T {
        let known = self.0.iter().rev().find(|(begins, _)| *begins <= time);
        known.unwrap_or(&self.0[0]).1
    }
}

struct Gateway {
    vault: Track<Reach>,
    redis: Track<Reach>,
    process: Track<State>,
}

/// The tracks of all gateways.
pub(crate) struct Timeline {
    gateways: Vec<Gateway>,
    forgets: Track<bool>,
    /// Ends and lengths.
    stalls: Vec<(Micros, Micros)>,
    /// The same for times in which processes waited for a processor.
    starved: Vec<(Micros, Micros)>,
    /// Name, begin and end.
    pub(crate) faults: Vec<(String, Micros, Micros)>,
}

/// Sum of the parts of these spans, each with its end, that lie between `from` and `until`.
fn within(spans: &[(Micros, Micros)], from: Micros, until: Micros) -> Micros {
    let parts = spans.iter().map(|&(end, span)| {
        let begin = end.saturating_sub(span);
        end.min(until).saturating_sub(begin.max(from))
    });
    parts.sum()
}

impl Timeline {
    pub(crate) fn of(history: &History, gateways: usize) -> Self {
        let new = || Gateway {
            vault: Track::new(Reach::Up),
            redis: Track::new(Reach::Up),
            process: Track::new(State::Runs),
        };
        let mut line = Self {
            gateways: (0..gateways).map(|_| new()).collect(),
            forgets: Track::new(false),
            stalls: Vec::new(),
            starved: Vec::new(),
            faults: Vec::new(),
        };
        let mut notes = history.notes.clone();
        notes.sort_by_key(|(at, _)| *at);
        for (at, note) in notes {
            match note {
                Note::Vault { gateway, reach } => line.gateways[gateway].vault.0.push((at, reach)),
                Note::Redis { gateway, reach } => line.gateways[gateway].redis.0.push((at, reach)),
                Note::Process { gateway, state } => line.gateways[gateway].process.0.push((at, state)),
                Note::RedisForgets { begins } => line.forgets.0.push((at, begins)),
                Note::Fault { name, begins: true } => line.faults.push((name, at, Micros::MAX)),
                Note::Fault { begins: false, .. } => {
                    if let Some(last) = line.faults.last_mut() {
                        last.2 = at;
                    }
                }
                Note::Stall { span } => line.stalls.push((at, span)),
                Note::Starved { span } => line.starved.push((at, span)),
                Note::Log { .. } | Note::VaultRestored { .. } => {}
            }
        }
        line
    }

    /// Returns 1 if a fault that only slows the vault's answers was there at some time from `from` to `until`, else 0.
    pub(crate) fn answers_slowly(&self, from: Micros, until: Micros) -> Micros {
        let slow = |name: &str| Fault::ALL.iter().any(|fault| fault.name() == name && fault.answers_slowly());
        let mut faults = self.faults.iter().filter(|(_, begins, ends)| *begins < until && from < *ends);
        faults.any(|(name, ..)| slow(name)).into()
    }

    pub(crate) fn gateways(&self) -> usize {
        self.gateways.len()
    }

    /// Earliest time at which a gateway can have worked on a request that was sent at `start`: not while it was paused.
    pub(crate) fn worked_from(&self, gateway: usize, start: Micros) -> Micros {
        let process = &self.gateways[gateway].process;
        let running = process.within(start, Micros::MAX).find(|(_, _, state)| *state != State::Paused);
        running.map_or(start, |(begins, _, _)| begins)
    }

    /// Returns true if the gateway was paused, killed or stopping at some time from `from` to `until`.
    pub(crate) fn was_disturbed(&self, gateway: usize, from: Micros, until: Micros) -> bool {
        !self.gateways[gateway].process.is_always(State::Runs, from, until.max(from + 1))
    }

    pub(crate) fn reaches_vault(&self, gateway: usize, from: Micros, until: Micros) -> bool {
        self.gateways[gateway].vault.is_always(Reach::Up, from, until)
    }

    pub(crate) fn reaches_redis(&self, gateway: usize, from: Micros, until: Micros) -> bool {
        self.gateways[gateway].redis.is_always(Reach::Up, from, until)
    }

    pub(crate) fn has_no_redis(&self, gateway: usize, at: Micros) -> bool {
        self.gateways[gateway].redis.at(at) == Reach::Down
    }

    pub(crate) fn redis_keeps(&self, from: Micros, until: Micros) -> bool {
        self.forgets.is_always(false, from, until)
    }

    /// Time from `from` to `until` in which the machine had no time for the test, and so none for the gateways. Doubled:
    /// what is late then has to queue.
    pub(crate) fn stalled(&self, from: Micros, until: Micros) -> Micros {
        2 * within(&self.stalls, from, until)
    }

    /// Returns the time from `from` to `until` in which processes waited for a processor: what comes late then may only have
    /// waited. It adds to the bounds of what a client waits for, and to none of what it may be told.
    pub(crate) fn starved(&self, from: Micros, until: Micros) -> Micros {
        within(&self.starved, from, until)
    }

    /// Returns true if the gateway ran and reached the vault for `span` without a pause in `from..until`.
    pub(crate) fn could_read(&self, gateway: usize, from: Micros, until: Micros, span: Micros) -> bool {
        let gateway = &self.gateways[gateway];
        let up = |(_, _, reach): &(Micros, Micros, Reach)| *reach == Reach::Up;
        gateway.vault.within(from, until).filter(up).any(|(begins, ends, _)| {
            let runs = gateway.process.within(begins, ends).filter(|(_, _, state)| *state == State::Runs);
            // Adjacent notes of the same state are one interval only where they touch; a shorter one is on the safe
            // side.
            runs.into_iter().any(|(begins, ends, _)| ends - begins >= span)
        })
    }
}
