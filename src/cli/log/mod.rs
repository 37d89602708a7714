//! Log output on standard error, as JSON or as text. The program sets it up once, never the library.
//!
//! ```text
//! event -> subscriber: enabled?  -> flood: too many?  -> line: split in fields -> json | text -> sink -> stderr
//!                                     (summarized)                                 (bounded, its own thread)
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

/// Handle of the log; writes the remaining lines when dropped.
pub(super) struct Logging {
    sink: Arc<Sink>,
    level: Threshold,
}

impl Logging {
    /// Returns the handle for changing the log level.
    pub(super) fn level(&self) -> Threshold {
        self.level.clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.sink.finish();
    }
}

/// Starts logging until the returned handle is dropped. A second call has no effect.
///
/// # Errors
/// The writer thread cannot be started.
pub(super) fn start(log: &Log, surroundings: &Surroundings) -> std::io::Result<Logging> {
    let render: Render = match log.format {
        LogFormat::Json => render::json,
        LogFormat::Text if is_coloured() => render::coloured,
        LogFormat::Text => render::text,
    };
    let (clock, metrics) = (Arc::clone(&surroundings.clock), Arc::clone(&surroundings.metrics));
    let sink = Sink::start(Box::new(std::io::stderr()), render, clock, metrics)?;
    // A test in the same process may have set it already; then the first call wins.
    let level = Threshold::new(log.level);
    let _ = tracing::subscriber::set_global_default(Lines::new(level.clone(), Arc::clone(&sink)));
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(reason = "panicked", place, "a defect: please report it");
    }));
    Ok(Logging { sink, level })
}

/// Returns whether to use colours: only on a capable terminal, and unless NO_COLOR is set (no-color.org).
fn is_coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !refused && !dumb
}
