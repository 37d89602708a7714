//! The commands of `doorward`, except `serve`.

mod attributes;
mod demo;
mod hashes;
mod help;
mod import;
mod json;
mod providers;
mod shell;
mod status;
mod status_away;
mod users;
mod vault;
