//! `doorward serve` from start to end: startup, signals, sockets, reload, upgrade, SIGKILL.

mod descriptors;
mod graceful;
mod kill;
mod listening;
mod reload;
mod serve;
mod startup;
mod upgrade;
