//! The sections of `gateway.toml`: types and reader of each.

pub(crate) mod address;
pub(crate) mod brand;
pub(crate) mod browser;
pub mod header_families;
pub(crate) mod listen;
pub(crate) mod login;
pub(crate) mod mail;
pub(crate) mod providers;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod stores;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod upstream_headers;
pub(crate) mod upstreams;
