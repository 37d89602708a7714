//! How the gateway gets on with apps: connections to them, their silence, what they refuse.

mod cold;
mod kept;
mod refused;
mod scene;
mod silence;
