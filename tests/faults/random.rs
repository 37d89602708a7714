//! Choices that a seed repeats (SplitMix64, Steele et al. 2014).

use doorward::id::{Random, SystemRandom};

/// Variable that repeats a run.
pub(crate) const VARIABLE: &str = "DOORWARD_FAULTS_SEED";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// The seed of the environment, or a new one.
    pub(crate) fn chosen() -> Self {
        if let Ok(text) = std::env::var(VARIABLE) {
            return Self(text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is a number, not `{text}`")));
        }
        let random: &dyn Random = &SystemRandom;
        Self(u64::from(u32::from_le_bytes(random.bytes())))
    }

    /// Choices of one worker.
    pub(crate) fn choices(self, worker: u64) -> Choices {
        Choices(self.0 ^ worker.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("below a usize")
    }

    /// One of `all`.
    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = self.below(at + 1);
            all.swap(at, other);
        }
    }
}
