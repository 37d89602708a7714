//! Peers in front of the gateway: load balancers, other protocols and misdirected clients.

mod health;
mod in_clear;
mod proxy_protocol;
mod refused;
