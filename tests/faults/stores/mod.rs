//! The stores of a run.

pub(crate) mod postgres;
pub(crate) mod redis;
