//! Buffer of log lines, written by its own thread: standard error may be a pipe that nobody reads, and no request may
//! wait for that.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::flood::{Decision, Flood, Rate};
use super::line::Line;
use super::render::Render;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Size of the buffer in bytes: some 3,000 lines, a third of a second of the busiest gateway. As much again may be in
/// writing.
const CAPACITY: usize = 1 << 20;
/// Part of the buffer available to info lines; the last quarter is reserved for warnings and errors.
const INFO_CAPACITY: usize = CAPACITY / 4 * 3;
/// Time during which lines are collected before a write: at most 200 writes per second, with no visible delay.
const GATHER: Duration = Duration::from_millis(5);
/// Interval of summaries of suppressed lines.
const SUM_UP: Duration = Duration::from_secs(1);
/// Time that a stalled reader gets at shutdown to read the rest.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Buffer between loggers and the writer thread.
pub(super) struct Sink {
    waiting: Mutex<Waiting>,
    /// Signalled when there is something to write, and when everything is written.
    changed: Condvar,
    flood: Flood,
    render: Render,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that did not fit, since the last report.
    dropped: u64,
    is_ending: bool,
    has_ended: bool,
}

impl Sink {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// The thread cannot be started.
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

    /// Clock for the time of a line.
    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Returns whether a line of this reason is written; if not, it is counted and summarized later.
    pub(super) fn admits(&self, reason: &str, level: Level, rate: Rate) -> bool {
        let Decision::Suppressed { first } = self.flood.check(reason, level, rate, self.clock.monotonic())
        else {
            return true;
        };
        self.metrics.process.log_lines_suppressed.inc();
        if first {
            // The thread may sleep until there is something to write. Taking the lock ensures that it does not miss
            // this signal.
            let _waiting = self.lock();
            self.changed.notify_all();
        }
        false
    }

    /// Appends a line; never waits for the reader.
    pub(super) fn take(&self, line: &Line<'_>) {
        let mut text = String::with_capacity(512);
        (self.render)(&mut text, line);
        let capacity = if line.level <= Level::WARN { CAPACITY } else { INFO_CAPACITY };
        let mut waiting = self.lock();
        if waiting.has_ended || waiting.bytes.len() + text.len() > capacity {
            waiting.dropped += 1;
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

    /// Writes the remaining lines; gives up on a stalled reader.
    pub(super) fn finish(&self) {
        let mut waiting = self.lock();
        waiting.is_ending = true;
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(waiting, SHUTDOWN_TIMEOUT, |waiting| !waiting.has_ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended = true;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut out: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        let mut summed_up = self.clock.monotonic();
        loop {
            let (dropped, is_ending) = self.next(&mut batch);
            let now = self.clock.monotonic();
            if is_ending || now.since(summed_up) >= SUM_UP {
                summed_up = now;
                self.sum_up(&mut batch);
            }
            if dropped > 0 {
                self.write_own(&mut batch, Level::ERROR, |line| {
                    line.push_text("reason", "log_stalled");
                    line.push_text("message", "the reader of this log is too slow: lines were dropped");
                    line.push_number("suppressed", dropped);
                });
            }
            if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
                // The reader is gone.
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
            // Others may append lines meanwhile.
            drop(self.changed.wait_timeout_while(waiting, GATHER, |waiting| !waiting.is_ending));
        }
    }

    /// Waits for something to write and moves it into `batch`, which must be empty. Returns the number of dropped
    /// lines, and whether this is the end.
    fn next(&self, batch: &mut Vec<u8>) -> (u64, bool) {
        let mut waiting = self.lock();
        while waiting.bytes.is_empty() && waiting.dropped == 0 && !waiting.is_ending {
            if self.flood.has_suppressed() {
                let waited = self.changed.wait_timeout(waiting, SUM_UP);
                waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
                break;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.bytes, batch);
        (std::mem::take(&mut waiting.dropped), waiting.is_ending)
    }

    /// Writes one summary for each reason with suppressed lines.
    fn sum_up(&self, batch: &mut Vec<u8>) {
        for summary in self.flood.suppressed() {
            self.write_own(batch, summary.level, |line| {
                line.push_text("reason", "lines_suppressed");
                line.push_text("message", "too many lines of this reason: some were suppressed");
                line.push_text("suppressed_reason", &summary.reason);
                line.push_number("suppressed", summary.lines);
            });
        }
    }

    fn write_own(&self, batch: &mut Vec<u8>, level: Level, fill: impl FnOnce(&mut Line<'_>)) {
        let mut line = Line::new(level, "doorward::log", self.clock.wall());
        fill(&mut line);
        let mut text = String::new();
        (self.render)(&mut text, &line);
        batch.extend_from_slice(text.as_bytes());
    }
}
