//! Gateway endpoints over real sockets.

mod account;
mod bodies;
mod browsers;
mod sign_in;
mod surface;
