//! Upstream behaviour: connection reuse, timeouts, refused requests, health checks.

mod active_health;
mod cold;
mod kept;
mod passive_health;
mod refused;
mod scene;
mod silence;
