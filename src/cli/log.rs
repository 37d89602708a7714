//! Where log lines go: standard error, as JSON or for people. Set once, by the program, never by the library.

use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// What is being logged.
pub(super) struct Logging(reload::Handle<Targets, Registry>);

impl Logging {
    /// From now on, this level.
    pub(super) fn set_level(&self, level: LogLevel) {
        // Fails only when the subscriber is gone, and then nobody logs.
        let _ = self.0.reload(targets(level));
    }
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
    };
    // Pingora writes raw requests into its debug lines and a line per broken client at error: neither is wanted.
    Targets::new().with_target("doorward", level).with_default(LevelFilter::OFF)
}

/// Begins to log. A second call does nothing: the first one's choice stays.
pub(super) fn start(log: &Log) -> Logging {
    let (targets, handle) = reload::Layer::new(targets(log.level));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    let begun = match log.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_filter(targets)).try_init(),
        LogFormat::Text => registry.with(lines.with_ansi(false).with_filter(targets)).try_init(),
    };
    // Already begun, by a test in the same process: its choice stays.
    let _ = begun;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(reason = "panic", place, "a defect: please report it");
    }));
    Logging(handle)
}
