//! The edge: what is judged is what is forwarded. Large corpora of hostile requests over real sockets, in front of an app that
//! records what it got; and the properties of the pure functions behind them.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

mod decoders;
mod line;
mod recorder;

mod framing;
mod headers;
mod paths;
