//! Where log lines go: standard error, as JSON or for people. Set once, by the program, never by the library.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{Log, LogFormat, LogLevel};

/// Begins to log. A second call does nothing: the first one's choice stays.
pub(super) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
    };
    // Pingora writes raw requests into its debug lines and a line per broken client at error: neither is wanted.
    let targets = Targets::new().with_target("doorward", level).with_default(LevelFilter::OFF);
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
}
