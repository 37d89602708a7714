//! Construction of metrics: each is registered once, and every known label value exists from the start at zero.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// Buckets from tens of microseconds (a cache hit) to the time at which people give up.
pub(super) const FAST: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0];
/// Buckets from a millisecond to a minute, for apps and people.
pub(super) const SLOW: &[f64] =
    &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Buckets around a millisecond (a notification), the lease (a second by default) and a minute (`vault_outage_grace`).
pub(super) const DELAYS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0];
/// Buckets from a minute to a month, for the age of tokens when they are refreshed.
pub(super) const AGES: &[f64] =
    &[60.0, 300.0, 600.0, 840.0, 900.0, 1800.0, 3600.0, 28_800.0, 86_400.0, 604_800.0, 2_592_000.0];

/// A label with a fixed set of values.
pub trait Label: Copy + 'static {
    /// Name of the label.
    const NAME: &'static str;
    /// All values, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// Returns the value as text.
    fn as_str(self) -> &'static str;
    /// Returns the index in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Defines an enum that is a [`Label`].
macro_rules! label {
    ($(#[$doc:meta])* $name:ident $label:literal { $($(#[$each:meta])* $variant:ident $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $variant,)+ }

        impl $crate::metrics::Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(super) use label;

/// One metric for each value of a label, without a map lookup.
#[derive(Debug)]
pub struct Each<L, M>(Vec<M>, PhantomData<L>);

impl<L: Label, M> Each<L, M> {
    /// Returns the metric for a value.
    pub fn of(&self, value: L) -> &M {
        &self.0[value.index()]
    }

    pub(super) fn new(of: impl Fn(&str) -> M) -> Self {
        Self(L::ALL.iter().map(|value| of(value.as_str())).collect(), PhantomData)
    }
}

/// Creates and registers metrics.
pub(super) struct Maker<'a>(pub(super) &'a Registry);

impl Maker<'_> {
    fn register<M: Collector + Clone + 'static>(&self, made: prometheus::Result<M>) -> M {
        let metric = made.expect("names and labels are constants, tested below");
        self.0.register(Box::new(metric.clone())).expect("each is registered once, tested below");
        metric
    }

    /// Registers CPU, memory and open files of this process.
    pub(super) fn process(&self) {
        let collector = ProcessCollector::for_self();
        self.0.register(Box::new(collector)).expect("registered once, tested below");
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    pub(super) fn seconds(&self, name: &str, help: &str) -> prometheus::Counter {
        self.register(prometheus::Counter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn each<L: Label>(&self, name: &str, help: &str) -> Each<L, IntCounter> {
        let all = self.counters(name, help, &[L::NAME]);
        Each::new(|value| all.with_label_values(&[value]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    pub(super) fn real(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn reals(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn each_gauge<L: Label>(&self, name: &str, help: &str) -> Each<L, IntGauge> {
        let all = self.gauges(name, help, &[L::NAME]);
        Each::new(|value| all.with_label_values(&[value]))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, label: &str, buckets: &[f64]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[label]))
    }

    pub(super) fn each_histogram<L: Label>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Each<L, Histogram> {
        let all = self.histograms(name, help, L::NAME, buckets);
        Each::new(|value| all.with_label_values(&[value]))
    }
}
