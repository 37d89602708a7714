//! The `tracing` subscriber: passes on doorward's own events up to the configured level. Spans are not used.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::flood::{EVENTS, REFUSED, Rate};
use super::line::Line;
use super::sink::Sink;
use crate::config::LogLevel;
use crate::gateway::ACCESS;
use crate::request_id;

/// Lowest level that is written; clones share one value.
#[derive(Clone)]
pub(in crate::cli) struct Threshold(Arc<AtomicU8>);

impl Threshold {
    pub(super) fn new(level: LogLevel) -> Self {
        Self(Arc::new(AtomicU8::new(level as u8)))
    }

    /// Sets the level.
    pub(in crate::cli) fn set(&self, level: LogLevel) {
        if self.0.swap(level as u8, Ordering::AcqRel) != level as u8 {
            // Each callsite caches whether it is enabled.
            tracing::callsite::rebuild_interest_cache();
        }
    }

    fn level(&self) -> Level {
        match self.0.load(Ordering::Acquire) {
            level if level == LogLevel::Error as u8 => Level::ERROR,
            level if level == LogLevel::Warn as u8 => Level::WARN,
            _ => Level::INFO,
        }
    }
}

/// Passes doorward's own events to the sink.
pub(super) struct Lines {
    level: Threshold,
    sink: Arc<Sink>,
}

impl Lines {
    /// Creates a subscriber for events up to `level`.
    pub(super) const fn new(level: Threshold, sink: Arc<Sink>) -> Self {
        Self { level, sink }
    }

    fn is_enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Pingora logs raw requests at debug, and a line for each broken client at error. Neither is wanted.
        let target = metadata.target();
        let is_ours =
            target.strip_prefix("doorward").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        // True for events, and for checks whether an event would be written.
        !metadata.is_span() && is_ours && *metadata.level() <= self.level.level()
    }
}

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.is_enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level.level()))
    }

    fn event(&self, event: &Event<'_>) {
        let mut reason = Reason::default();
        event.record(&mut reason);
        let (target, level) = (event.metadata().target(), *event.metadata().level());
        if let Some(rate) = rate(target, &reason.0)
            && !self.sink.admits(&reason.0, level, rate)
        {
            return;
        }
        let mut line = Line::of(event, self.sink.clock().wall());
        if line.field("request_id").is_none()
            && let Some(id) = request_id::current()
        {
            line.push_text("request_id", id.as_str());
        }
        self.sink.take(&line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Spans are disabled, so none is created.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Rate limit of a line; `None` = unlimited.
fn rate(target: &str, reason: &str) -> Option<Rate> {
    match (target == ACCESS, reason) {
        (true, "forwarded" | "answered" | "cut") => None,
        (true, _) => Some(REFUSED),
        (false, _) => Some(EVENTS),
    }
}

/// The reason alone. Most lines of a flood are suppressed before their other fields are read.
#[derive(Default)]
struct Reason(String);

impl Visit for Reason {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "reason" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
