//! The log: access lines, floods, secrets, personal data.

mod access;
mod floods;
mod http2;
mod personal_data;
mod secrets;
