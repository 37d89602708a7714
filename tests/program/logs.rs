//! The log: access lines, floods, secrets.

mod access;
mod floods;
mod http2;
mod secrets;
