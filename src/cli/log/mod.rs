//! Where log lines go: standard error, as JSON or for people. Set once, by the program, never by the library.
//!
//! ```text
//! event -> subscriber: enabled?  -> flood: one of too many?  -> line: taken apart -> json | text -> sink -> stderr
//!                                     (summed up)                                     (bounded, a thread of its own)
//! ```

use std::io::IsTerminal as _;
use std::sync::Arc;

use crate::config::{Log, LogFormat};
use crate::server::Surroundings;

mod flood;
mod line;
mod render;
mod sink;
mod subscriber;

use render::Render;
use sink::Sink;
use subscriber::{Lines, Threshold};

/// Writes what is left when dropped.
pub(super) struct Logging {
    sink: Arc<Sink>,
    level: Threshold,
}

impl Logging {
    /// What is written from now on can be set here.
    pub(super) fn level(&self) -> Threshold {
        self.level.clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.sink.finish();
    }
}

/// Begins to log, until what is returned is dropped. A second call does nothing: the first one's choice stays.
///
/// # Errors
/// When there is no thread to write with.
pub(super) fn start(log: &Log, surroundings: &Surroundings) -> std::io::Result<Logging> {
    let render: Render = match log.format {
        LogFormat::Json => render::json,
        LogFormat::Text if is_coloured() => render::coloured,
        LogFormat::Text => render::text,
    };
    let (clock, metrics) = (Arc::clone(&surroundings.clock), Arc::clone(&surroundings.metrics));
    let sink = Sink::start(Box::new(std::io::stderr()), render, clock, metrics)?;
    // Already begun, by a test in the same process: its choice stays.
    let level = Threshold::new(log.level);
    let _ = tracing::subscriber::set_global_default(Lines::new(level.clone(), Arc::clone(&sink)));
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(reason = "panicked", place, "a defect: please report it");
    }));
    Ok(Logging { sink, level })
}

/// Only on a terminal that understands it, and whose owner has not asked for none (no-color.org).
fn is_coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !refused && !dumb
}
