//! Upstream behaviour: connection reuse, timeouts, refused requests, health checks.

mod active_health;
mod cold;
mod empty;
mod grpc;
mod kept;
mod passive_health;
mod refused;
mod scene;
mod silence;
