//! Gateway endpoints over real sockets.

mod account;
mod attributes;
mod bodies;
mod browsers;
mod mail;
mod passwords;
mod sign_in;
mod surface;
