//! Message framing on both sides of the gateway (RFC 9112 sections 6 and 7, RFC 9113 section 8.1): every shape of
//! request body and response over real sockets, compared with an oracle based on the RFCs alone.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../attacks/frames.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod frames;
#[path = "../edge/recorder.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod recorder;

mod app;
mod client;
mod oracle;
mod shapes;
mod wire;
mod world;

mod differential;
mod last_chunk;
mod refusals;
