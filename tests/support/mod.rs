//! Test support: a gateway in its own folder, a raw HTTP client and a controllable app. Tests share no state.

pub(crate) mod app;
pub(crate) mod eventually;
pub(crate) mod faulty;
pub(crate) mod flaky_server;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod measured;
pub(crate) mod port;
pub(crate) mod range_api;
pub(crate) mod socket;
pub(crate) mod tls;

pub(crate) use app::TestApp;
pub(crate) use eventually::assert_eventually;
pub(crate) use faulty::{Faults, Op};
pub(crate) use flaky_server::{Behaviour, FlakyServer};
pub(crate) use gateway::{Setup, TestGateway};
pub(crate) use http::{Client, Response};
pub(crate) use measured::measured;
pub(crate) use socket::Socket;

/// A valid password.
pub(crate) const PASSWORD: &str = "violet kettle harbour lantern";
