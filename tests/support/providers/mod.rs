//! Identity providers for tests, unmodified, each in a process of its own.

mod django;
mod npm;
mod process;

pub(crate) use django::Django;
pub(crate) use npm::Provider;
