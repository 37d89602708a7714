//! doorward: a reverse-proxy authentication gateway.
#![doc(test(attr(deny(warnings))))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
mod error_chain;
mod guard;
pub mod id;
pub mod secret;
mod text;

pub mod certificate;
pub mod error;
pub mod identity;
pub mod metrics;
pub mod request_id;

pub mod config;

pub mod outbound;

pub mod factor;
pub mod mail;
pub mod pages;
pub mod password;
pub mod policy;
pub mod provider;
pub mod session;
pub mod token;
pub mod vault;

pub mod auth;

pub mod snapshot;

pub mod admin;
pub mod gateway;

pub mod background;
pub mod cli;
pub mod demo;
pub mod server;
