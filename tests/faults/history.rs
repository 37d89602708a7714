//! The recorded history of a run: every operation with its start and end by one clock, and what was known of each
//! gateway and its stores meanwhile.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Microseconds since the start of the run.
pub(crate) type Micros = u64;

pub(crate) fn micros(span: Duration) -> Micros {
    u64::try_from(span.as_micros()).expect("a short run")
}

/// Sessions that an operation ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    Session(String),
    /// Every session of the user.
    User,
    /// Every session of the user but this one.
    Others(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// A request to the signed-in route. The token carries this version of the user's roles.
    Call {
        roles: u32,
    },
    /// A request to the public route.
    Public,
    /// A sign-in with this version of the user's password.
    Login {
        password: u32,
    },
    /// The tokens are named by their last characters.
    Refresh {
        presented: String,
        got: Option<String>,
    },
    /// An event stream; `last` is the time of the last event that came.
    Stream {
        roles: u32,
        last: Micros,
    },
    /// `complete`: the response says that the session store has the tombstones. `how` names the command or endpoint.
    End {
        scope: Scope,
        complete: bool,
        how: String,
    },
    /// A new password, which ends sessions as the operation beside it says.
    Password {
        version: u32,
    },
    /// New roles, with this version among them.
    Roles {
        version: u32,
    },
    /// No sign-in until `Enable`.
    Disable,
    Enable,
    /// A look into the vault after the run: whether a session lives there.
    Vault {
        live: bool,
    },
    /// The same: the version of a user's roles there.
    VaultUser {
        roles: u32,
    },
}

/// Identity as the app saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) user: String,
    pub(crate) session: String,
    /// Version of the roles.
    pub(crate) roles: u32,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) start: Micros,
    pub(crate) end: Micros,
    /// `None`: the command line.
    pub(crate) gateway: Option<usize>,
    pub(crate) user: String,
    /// Session of the credential; empty without one.
    pub(crate) session: String,
    pub(crate) op: Op,
    /// 0 without a response; `code` says why. Commands that succeed have 200.
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) retry_after: bool,
    pub(crate) seen: Option<Seen>,
}

impl Entry {
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.status == 200
    }
}

/// Whether a gateway reaches a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reach {
    Up,
    Down,
    /// Slow, just broken or just mended.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Runs,
    Paused,
    /// Killed, draining, or not yet ready.
    Down,
    /// Without descriptors or memory: it may refuse connections, or respond late.
    Starved,
}

/// A fact known from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    Vault {
        gateway: usize,
        reach: Reach,
    },
    Redis {
        gateway: usize,
        reach: Reach,
    },
    Process {
        gateway: usize,
        state: State,
    },
    /// Redis may lose what was written before and meanwhile.
    RedisForgets {
        begins: bool,
    },
    Fault {
        name: String,
        begins: bool,
    },
    /// The vault is as it was at `from`, with every session ended.
    VaultRestored {
        from: Micros,
    },
    /// A line of a gateway's log that tells of a store.
    Log {
        gateway: usize,
        reason: String,
    },
    /// The machine had no time for this process, for so long until now.
    Stall {
        span: Micros,
    },
    /// Until now some process waited for a processor for so long, most of the time since the last look.
    Starved {
        span: Micros,
    },
}

/// Code of what was acknowledged and lost with its vault.
pub(crate) const LOST: &str = "lost";

/// A complete history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) entries: Vec<Entry>,
    pub(crate) notes: Vec<(Micros, Note)>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    At(&'a (Micros, Note)),
    Op(&'a Entry),
}

impl History {
    /// One JSON object per line, by time.
    pub(crate) fn lines(&self) -> Vec<String> {
        let notes = self.notes.iter().map(|note| (note.0, Line::At(note)));
        let entries = self.entries.iter().map(|entry| (entry.start, Line::Op(entry)));
        let mut lines: Vec<_> = notes.chain(entries).collect();
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().map(|(_, line)| serde_json::to_string(line).expect("JSON")).collect()
    }

    /// Takes back what was acknowledged and lost when its vault was restored. What revokes a session stays: after a restore
    /// every session is ended.
    pub(crate) fn without_lost_changes(mut self) -> Self {
        for (at, note) in &self.notes {
            let Note::VaultRestored { from } = note else { continue };
            let is_change =
                |op: &Op| matches!(op, Op::Roles { .. } | Op::Password { .. } | Op::Disable | Op::Enable);
            let lost = |entry: &&mut Entry| is_change(&entry.op) && entry.end > *from && entry.start < *at;
            for entry in self.entries.iter_mut().filter(lost) {
                entry.status = 0;
                LOST.clone_into(&mut entry.code);
            }
        }
        self
    }

    pub(crate) fn save(&self, file: &Path) {
        std::fs::write(file, self.lines().join("\n") + "\n").expect("written");
    }
}

/// Interval at which the machine is watched.
const TICK: Duration = Duration::from_millis(20);
/// Delay that counts as a stall: beyond what a busy machine does all the time.
const STALL: Duration = Duration::from_millis(100);

/// Interval at which the kernel's count of waiting processes is read.
const LOOK: Duration = Duration::from_millis(100);

/// Microseconds since the start of the machine in which some process waited for a processor.
fn waited() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/pressure/cpu").ok()?;
    text.lines().next()?.rsplit_once("total=")?.1.parse().ok()
}

/// The history of a run in progress.
pub(crate) struct Recorder {
    begun: Instant,
    history: Mutex<History>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), history: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Micros {
        micros(self.begun.elapsed())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("no panic while recording")
    }

    pub(crate) fn record(&self, entry: Entry) {
        self.history().entries.push(entry);
    }

    pub(crate) fn note(&self, note: Note) {
        let mut history = self.history();
        history.notes.push((self.now(), note));
    }

    /// Notes when this process gets no processor; never returns. The gateways then get none either.
    pub(crate) async fn watch_machine(&self) {
        loop {
            let from = Instant::now();
            tokio::time::sleep(TICK).await;
            let span = from.elapsed().saturating_sub(TICK);
            if span > STALL {
                self.note(Note::Stall { span: micros(span) });
            }
        }
    }

    /// Notes when processes wait for a processor most of the time; never returns. It says nothing where the kernel does not
    /// count that (Pressure Stall Information, Linux 4.20).
    pub(crate) async fn watch_pressure(&self) {
        let (mut from, mut before) = (Instant::now(), waited());
        loop {
            tokio::time::sleep(LOOK).await;
            let (until, after) = (Instant::now(), waited());
            let (Some(begin), Some(end)) = (before, after) else { return };
            let span = Duration::from_micros(end.saturating_sub(begin));
            if span * 2 > until - from {
                self.note(Note::Starved { span: micros(span) });
            }
            (from, before) = (until, after);
        }
    }

    pub(crate) fn requests(&self) -> usize {
        self.history().entries.len()
    }

    pub(crate) fn finished(&self) -> History {
        let mut history = self.history().clone();
        history.entries.sort_by_key(|entry| entry.start);
        history
    }
}
