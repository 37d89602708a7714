//! Memory of a process, as counted by the kernel.

use std::fmt;

/// Resident memory of one process.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    process: u32,
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

impl Bytes {
    pub(crate) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub(crate) const fn over(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 * 10 / (1 << 20);
        write!(f, "{}.{} MiB", tenths / 10, tenths % 10)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Memory {
    pub(crate) const fn of(process: u32) -> Self {
        Self { process }
    }

    pub(crate) fn now(self) -> Bytes {
        self.field("VmRSS:")
    }

    /// Peak since the start, or since [`Self::forget_peak`].
    pub(crate) fn peak(self) -> Bytes {
        self.field("VmHWM:")
    }

    /// proc(5): writing 5 resets the peak.
    pub(crate) fn forget_peak(self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.process), "5").expect("our own child");
    }

    fn field(self, name: &str) -> Bytes {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process)).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of proc(5)");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        Bytes(kib << 10)
    }
}
