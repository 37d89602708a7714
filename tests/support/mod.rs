//! What the tests share: a gateway in a folder of its own, a raw HTTP client, and an app that does as it is told.
//! Nothing here is shared between tests.

pub(crate) mod app;
pub(crate) mod eventually;
pub(crate) mod faulty;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod measured;
pub(crate) mod moody;
pub(crate) mod port;
pub(crate) mod socket;
pub(crate) mod tls;

pub(crate) use app::TestApp;
pub(crate) use eventually::assert_eventually;
pub(crate) use faulty::{Faults, Op};
pub(crate) use gateway::{Setup, TestGateway};
pub(crate) use http::{Client, Response};
pub(crate) use measured::measured;
pub(crate) use moody::{Mood, Moody};
pub(crate) use socket::Socket;

/// A password that is long enough.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
