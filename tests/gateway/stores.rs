//! Session lookups in the stores, and their failures.

mod cached;
mod faults;
mod lookups;
mod outages;
