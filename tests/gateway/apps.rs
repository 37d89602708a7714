//! Upstream behaviour: connection reuse, timeouts, refused requests.

mod cold;
mod kept;
mod refused;
mod scene;
mod silence;
