//! What reaches the app, and what never does.

mod bodies;
mod credentials;
mod framing;
mod identity;
mod origin;
mod prefix;
mod routes;
mod second;
mod targets;
mod upgrades;
mod upstreams;
