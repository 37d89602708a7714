//! Send backlog of a request: counts the response until the client has read it, and bounds the data read ahead from the app.

use bytes::Bytes;
use pingora::protocols::ALPN;
use pingora::proxy::Session;
use pingora::upstreams::peer::{HttpPeer, Peer as _};

use crate::config::Scheme;
use crate::gateway::connection::backlog::Backlog;
use crate::gateway::request::client;
use crate::gateway::request::context::Context;
use crate::policy::forwarded;

/// Receive buffer of upstream connections with little read-ahead. The kernel doubles it. Pingora buffers nine reads for a client
/// that does not read: 200 KiB with 16 KiB each, 700 KiB with 64 KiB each. With a round trip of one millisecond, an app can still
/// send 16 MB/s.
const SMALL_BUFFER: usize = 16 << 10;

/// Pool group of connections with the small buffer.
const SMALL_BUFFER_GROUP: u64 = 1 << 1;

/// HTTP/2 window per stream: data that an app may send ahead of one client. Pingora's default of 8 MiB would be held for each
/// slow client. Enough for 250 MB/s with a round trip of one millisecond.
const STREAM_WINDOW: u32 = 256 << 10;

/// HTTP/2 window per connection: more than all of its streams use, so that a stalled stream does not block the others.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Counts a chunk of a response until the client has read it.
pub(crate) fn track(session: &Session, body: &mut Option<Bytes>, is_last: bool, context: &Context) {
    let backlog = &context.backlog;
    let size = body.as_ref().map_or(0, Bytes::len);
    let may_be_http2 = context.scheme().is_some_and(|scheme| scheme != Scheme::Http);
    backlog.chunk_received(size, if may_be_http2 { STREAM_WINDOW } else { 0 }, is_last);
    let is_stream = backlog.connection().is_some();
    // A small HTTP/1.1 response is hardly ever blocked; if it is, it counts for the peer.
    if (is_stream || !is_last) && context.log.bytes_out == 0 {
        set_client(session, context);
    }
    if is_stream {
        *body = body.take().map(|bytes| backlog.hold(bytes));
    }
}

/// Counts a complete response of the gateway.
pub(crate) fn track_complete(session: &Session, body: Bytes, context: &Context) -> Bytes {
    if context.backlog.connection().is_none() {
        return body;
    }
    set_client(session, context);
    context.backlog.hold(body)
}

fn set_client(session: &Session, context: &Context) {
    context.backlog.set_client(forwarded::network(client::client(session, &context.snapshot)));
}

/// Bounds the data read ahead from an app. Less is read for a client with many responses in flight, and for all clients while too
/// much memory is held for blocked ones.
pub(crate) fn bound_read_ahead(peer: &mut HttpPeer, backlog: &Backlog) {
    let Some(options) = peer.get_mut_peer_options() else { return };
    options.h2_stream_window_size = Some(STREAM_WINDOW);
    options.h2_connection_window_size = Some(CONNECTION_WINDOW);
    // HTTP/1.1 only: the streams of an HTTP/2 connection share its buffer, and the small one would not be enough.
    if backlog.reads_little_ahead() && options.alpn == ALPN::H1 {
        options.tcp_recv_buf = Some(SMALL_BUFFER);
        peer.group_key ^= SMALL_BUFFER_GROUP;
    }
}
