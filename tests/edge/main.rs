//! The edge: the authorized request is the forwarded request. Large corpora of hostile requests over real sockets, in
//! front of an app that records them; and properties of the pure functions behind them.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

mod decoders;
mod line;
mod recorder;

mod framing;
mod headers;
mod paths;
