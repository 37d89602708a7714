//! Revocation and lease: what a gateway may forward after a revocation was acknowledged, whatever fails meanwhile.

mod actions;
mod gateway;
mod properties;
mod request;
mod rules;
mod state;
mod steps;

pub(crate) use rules::{ALL, Fault, Guard, Revocations, STORE};
