//! Upstream behaviour: connection reuse, timeouts, refused requests.

mod cold;
mod empty;
mod grpc;
mod kept;
mod refused;
mod scene;
mod silence;
