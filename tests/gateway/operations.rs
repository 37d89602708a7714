//! Operating a gateway: audit trail, metrics, reload, shutdown.

mod audit;
mod drain;
mod metrics;
mod reload;
