//! A real Chromium, as people use it.

#[path = "../support/eventually.rs"]
mod eventually;

mod chromium;
mod gallery;
mod looks;
mod origins;
