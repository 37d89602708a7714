//! Gateway endpoints over real sockets.

mod account;
mod attributes;
mod bodies;
mod browsers;
mod passwords;
mod sign_in;
mod surface;
