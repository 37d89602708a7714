//! Browser users: forms, cookies, silent renewal and error pages.

mod account;
mod cors;
mod cross_origin;
mod cross_site_form;
mod csrf;
mod errors;
mod jar;
mod known_device;
mod navigation;
mod proxy_cache;
mod renewal;
mod shared_caches;
mod sign_in;
mod sign_out;

pub(crate) use jar::{Browser, ORIGIN, PAGE, encode, hidden, later, with};
