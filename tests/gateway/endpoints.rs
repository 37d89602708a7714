//! Our own endpoints over the wire.

mod account;
mod bodies;
mod browsers;
mod sign_in;
mod surface;
