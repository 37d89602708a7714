//! Operating a gateway: metrics, reload, shutdown.

mod drain;
mod metrics;
mod reload;
