//! Progress bar on a terminal.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use crate::clock::{Clock, Monotonic};

/// Time between two drawings: fast enough to look alive.
const INTERVAL: Duration = Duration::from_millis(100);
/// Width of the bar in characters.
const WIDTH: u64 = 30;

/// A bar on standard error, if that is a terminal.
pub(super) struct Progress<'a> {
    size: u64,
    what: &'static str,
    clock: &'a dyn Clock,
    drawn: Option<Monotonic>,
    is_terminal: bool,
}

impl<'a> Progress<'a> {
    /// Prepares a bar for a file of `size` bytes.
    pub(super) fn new(size: u64, is_checking: bool, clock: &'a dyn Clock) -> Self {
        let what = if is_checking { "checking" } else { "importing" };
        Self { size, what, clock, drawn: None, is_terminal: stderr().is_terminal() }
    }

    /// Draws the bar after `done` bytes and `users` users.
    pub(super) fn show(&mut self, done: u64, users: u64) {
        let now = self.clock.monotonic();
        if !self.is_terminal || self.drawn.is_some_and(|drawn| now.since(drawn) < INTERVAL) {
            return;
        }
        self.drawn = Some(now);
        // A terminal that is gone needs no bar.
        let _ = write!(stderr(), "\r{}", bar(self.what, done, self.size, users));
        let _ = stderr().flush();
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        if self.drawn.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn bar(what: &str, done: u64, size: u64, users: u64) -> String {
    let part = |whole: u64| done.min(size) * whole / size.max(1);
    let filled = usize::try_from(part(WIDTH)).unwrap_or_default();
    let rest = usize::try_from(WIDTH).unwrap_or_default() - filled;
    format!("{what} [{}{}] {:>3} %  {users} users ", "#".repeat(filled), "-".repeat(rest), part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_shows_the_part_that_is_done() {
        let empty = "-".repeat(30);
        assert_eq!(bar("checking", 0, 1000, 0), format!("checking [{empty}]   0 %  0 users "));
        let half = format!("importing [{}{}]  50 %  7 users ", "#".repeat(15), "-".repeat(15));
        assert_eq!(bar("importing", 500, 1000, 7), half);
        assert!(bar("importing", 2000, 1000, 9).contains("] 100 %"), "the file has grown");
        assert!(bar("importing", 0, 0, 0).contains("]   0 %"));
    }
}
