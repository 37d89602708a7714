//! The send backlog of a request: its response is counted until its client has taken it, and bounds what is read of the app.

use bytes::Bytes;
use pingora::protocols::ALPN;
use pingora::proxy::Session;
use pingora::upstreams::peer::{HttpPeer, Peer as _};

use crate::config::Scheme;
use crate::gateway::connection::backlog::Backlog;
use crate::gateway::request::client;
use crate::gateway::request::context::Context;
use crate::policy::forwarded;

/// Receive buffer of connections to apps of which little is read ahead. The kernel doubles it. Pingora holds nine reads of what
/// a client does not take: 200 KiB of 16 KiB each, where 64 KiB each would be 700 KiB. At a millisecond's distance an app still
/// sends 16 MB a second.
const SMALL_BUFFER: usize = 16 << 10;

/// Such connections are pooled on their own.
const SMALL: u64 = 1 << 1;

/// What an app may send ahead of one client over HTTP/2, where Pingora's 8 MiB would be held for each that is slow. Enough for
/// 250 MB/s at a millisecond's distance.
const STREAM_WINDOW: u32 = 256 << 10;

/// And over one connection: more than all of its streams, so that none that is stalled takes it from the others.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Counts a chunk of a response until its client has taken it.
pub(crate) fn track(session: &Session, body: &mut Option<Bytes>, is_last: bool, context: &Context) {
    let backlog = &context.backlog;
    let size = body.as_ref().map_or(0, Bytes::len);
    let may_be_http2 =
        context.candidate.as_ref().is_some_and(|candidate| candidate.server.scheme != Scheme::Http);
    backlog.chunk_received(size, if may_be_http2 { STREAM_WINDOW } else { 0 }, is_last);
    let is_stream = backlog.connection().is_some();
    // A small response over HTTP/1.1 is hardly ever blocked, and then counts for the peer.
    if (is_stream || !is_last) && context.account.bytes_out == 0 {
        know_client(session, context);
    }
    if is_stream {
        *body = body.take().map(|bytes| backlog.hold(bytes));
    }
}

/// Counts a whole response of ours.
pub(crate) fn track_whole(session: &Session, body: Bytes, context: &Context) -> Bytes {
    if context.backlog.connection().is_none() {
        return body;
    }
    know_client(session, context);
    context.backlog.hold(body)
}

fn know_client(session: &Session, context: &Context) {
    context.backlog.set_client(forwarded::network(client::client(session, &context.snapshot)));
}

/// How much is read of an app ahead of its clients: less for one that has many responses under way, and for all while too much
/// is held for those that are blocked.
pub(crate) fn bound_read_ahead(peer: &mut HttpPeer, backlog: &Backlog) {
    let Some(options) = peer.get_mut_peer_options() else { return };
    options.h2_stream_window_size = Some(STREAM_WINDOW);
    options.h2_connection_window_size = Some(CONNECTION_WINDOW);
    // The streams of an HTTP/2 connection share its buffer: there it would be too little.
    if backlog.reads_little_ahead() && options.alpn == ALPN::H1 {
        options.tcp_recv_buf = Some(SMALL_BUFFER);
        peer.group_key ^= SMALL;
    }
}
