//! Where lines wait until a thread of their own has written them: standard error may be a pipe that nobody reads, and no
//! request waits for that.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::flood::{Flood, Rate, Verdict};
use super::line::Line;
use super::render::Render;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Bytes that may wait: some 3,000 lines, a third of a second of the busiest gateway; as much again is being written.
const ROOM: usize = 1 << 20;
/// The last quarter is for warnings and errors.
const ROOM_FOR_INFO: usize = ROOM / 4 * 3;
/// Lines are gathered for so long before they are written: 200 writes a second at most, and nobody sees the difference.
const GATHER: Duration = Duration::from_millis(5);
/// What was left out is summed up this often while it goes on.
const SUM_UP: Duration = Duration::from_secs(1);
/// At the end, a reader that has stalled gets this long to take what is left.
const AT_THE_END: Duration = Duration::from_secs(2);

/// The way of every line to its reader.
pub(super) struct Sink {
    waiting: Mutex<Waiting>,
    /// Told when there is something to write, and when all is written.
    changed: Condvar,
    flood: Flood,
    render: Render,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines there was no room for, since that was last said.
    left_out: u64,
    is_ending: bool,
    has_ended: bool,
}

impl Sink {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(super) fn start(
        out: Box<dyn Write + Send>,
        render: Render,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Arc<Self>> {
        let sink = Arc::new(Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            flood: Flood::default(),
            render,
            clock,
            metrics,
        });
        let writing = Arc::clone(&sink);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writing.run(out))?;
        Ok(sink)
    }

    /// What time it is, for a line.
    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Whether a line of this reason is to be written; if not, it is counted and will be summed up.
    pub(super) fn admits(&self, reason: &str, level: Level, rate: Rate) -> bool {
        let Verdict::LeftOut { first } = self.flood.judge(reason, level, rate, self.clock.monotonic()) else {
            return true;
        };
        self.metrics.process.log_lines_suppressed.inc();
        if first {
            // The thread may be asleep until there is something to write; with the lock, it is not just falling asleep.
            let _waiting = self.lock();
            self.changed.notify_all();
        }
        false
    }

    /// Takes a line; never waits for whoever reads it.
    pub(super) fn take(&self, line: &Line<'_>) {
        let mut text = String::with_capacity(512);
        (self.render)(&mut text, line);
        let room = if line.level <= Level::WARN { ROOM } else { ROOM_FOR_INFO };
        let mut waiting = self.lock();
        if waiting.has_ended || waiting.bytes.len() + text.len() > room {
            waiting.left_out += 1;
            drop(waiting);
            self.metrics.process.log_lines_suppressed.inc();
            return;
        }
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(text.as_bytes());
        drop(waiting);
        if was_empty {
            self.changed.notify_all();
        }
    }

    /// Writes what is left; gives up on a reader that takes nothing.
    pub(super) fn finish(&self) {
        let mut waiting = self.lock();
        waiting.is_ending = true;
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(waiting, AT_THE_END, |waiting| !waiting.has_ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended = true;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut out: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        let mut summed_up = self.clock.monotonic();
        loop {
            let (left_out, is_ending) = self.next(&mut batch);
            let now = self.clock.monotonic();
            if is_ending || now.since(summed_up) >= SUM_UP {
                summed_up = now;
                self.sum_up(&mut batch);
            }
            if left_out > 0 {
                self.say(&mut batch, Level::ERROR, |line| {
                    line.push_text("reason", "log_stalled");
                    line.push_text("message", "whoever reads this log is too slow: lines were left out");
                    line.push_number("suppressed", left_out);
                });
            }
            if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
                // Nobody reads any more.
                let lines = batch.iter().filter(|&&byte| byte == b'\n').count();
                self.metrics.process.log_lines_suppressed.inc_by(lines as u64);
            }
            batch.clear();
            let waiting = self.lock();
            if waiting.is_ending && waiting.bytes.is_empty() {
                let mut waiting = waiting;
                waiting.has_ended = true;
                self.changed.notify_all();
                return;
            }
            // Others may write while these are gathered.
            drop(self.changed.wait_timeout_while(waiting, GATHER, |waiting| !waiting.is_ending));
        }
    }

    /// Waits for something to write, which it puts into `batch` (empty before); how many lines found no room, and whether
    /// this is the end.
    fn next(&self, batch: &mut Vec<u8>) -> (u64, bool) {
        let mut waiting = self.lock();
        while waiting.bytes.is_empty() && waiting.left_out == 0 && !waiting.is_ending {
            if self.flood.is_owing() {
                let waited = self.changed.wait_timeout(waiting, SUM_UP);
                waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
                break;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.bytes, batch);
        (std::mem::take(&mut waiting.left_out), waiting.is_ending)
    }

    /// One line for each reason of which some were left out.
    fn sum_up(&self, batch: &mut Vec<u8>) {
        for owed in self.flood.left_out() {
            self.say(batch, owed.level, |line| {
                line.push_text("reason", "lines_suppressed");
                line.push_text("message", "a flood of the same: lines were left out");
                line.push_text("suppressed_reason", &owed.reason);
                line.push_number("suppressed", owed.lines);
            });
        }
    }

    fn say(&self, batch: &mut Vec<u8>, level: Level, fill: impl FnOnce(&mut Line<'_>)) {
        let mut line = Line::new(level, "doorward::log", self.clock.wall());
        fill(&mut line);
        let mut text = String::new();
        (self.render)(&mut text, &line);
        batch.extend_from_slice(text.as_bytes());
    }
}
