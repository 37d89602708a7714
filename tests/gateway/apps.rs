//! Upstream behaviour: connection reuse, timeouts, refused requests.

mod cold;
mod empty;
mod kept;
mod refused;
mod scene;
mod silence;
