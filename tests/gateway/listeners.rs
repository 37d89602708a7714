//! What stands before the gateway and speaks to it: load balancers, other protocols, clients of the wrong one.

mod health;
mod in_clear;
mod proxy_protocol;
mod refused;
