//! Revocations that arrive while a request is under way, and the ends of streams.

mod connecting;
mod races;
mod streams;
mod streams_end;
