//! Sign-in and its protection: passwords, throttling, device cookies, browser sessions, sign-out and password changes.

pub(crate) mod browser;
pub(crate) mod device;
pub(crate) mod login;
pub(crate) mod logouts;
pub(crate) mod password_change;
pub(crate) mod throttle;
