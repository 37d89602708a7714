//! Client of a request: address and origin through trusted proxies, request id, and logged fields.

use std::net::{IpAddr, SocketAddr};

use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::gateway::request::access_log::RequestLog;
use crate::policy::forwarded::{self, Origin, UNIX_PEER};
use crate::request_id::{self, RequestId};
use crate::snapshot::Snapshot;

/// Address of the peer, or of the client in a PROXY protocol header. [`UNIX_PEER`] for Unix sockets.
pub(crate) fn client_ip(session: &Session) -> IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
    address.unwrap_or(UNIX_PEER)
}

/// Address of the client, through trusted proxies.
pub(crate) fn client(session: &Session, snapshot: &Snapshot) -> IpAddr {
    forwarded::client(client_ip(session), &session.req_header().headers, &snapshot.server.trusted_proxies)
}

/// Address, scheme, host and port that the client used, through trusted proxies.
pub(crate) fn origin<'a>(session: &'a Session, snapshot: &Snapshot) -> Origin<'a> {
    let trusted = &snapshot.server.trusted_proxies;
    Origin::read(&session.req_header().headers, client_ip(session), is_encrypted(session), trusted)
}

/// Request id from a trusted proxy. A client's own is ignored: it could repeat the id of another client's request in the log.
pub(crate) fn request_id(session: &Session, snapshot: &Snapshot) -> Option<RequestId> {
    let mut sent = session.req_header().headers.get_all(request_id::HEADER).iter();
    let one = sent.next().filter(|_| sent.next().is_none())?;
    let trusted = forwarded::is_trusted(client_ip(session), &snapshot.server.trusted_proxies);
    RequestId::parse(one.as_bytes()).filter(|_| trusted)
}

/// Stores the fields of a request for its access log entry.
pub(crate) fn log_fields(session: &Session, client: IpAddr, log: &mut RequestLog, snapshot: &Snapshot) {
    log.set_client_fields(session.req_header(), client, &snapshot.log);
}

/// Method for the log; unknown ones are logged as `other`.
pub(crate) fn logged_method(request: &RequestHeader) -> &'static str {
    // The most frequent first, then the IANA HTTP Method Registry, and methods of caches and Exchange.
    const KNOWN: &[&str] = &[
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "REPORT",
        "MOVE",
        "COPY",
        "LOCK",
        "UNLOCK",
        "MKCOL",
        "PROPPATCH",
        "SEARCH",
        "QUERY",
        "ACL",
        "BASELINE-CONTROL",
        "BIND",
        "CHECKIN",
        "CHECKOUT",
        "LABEL",
        "LINK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKREDIRECTREF",
        "MKWORKSPACE",
        "ORDERPATCH",
        "PRI",
        "REBIND",
        "UNBIND",
        "UNCHECKOUT",
        "UNLINK",
        "UPDATE",
        "UPDATEREDIRECTREF",
        "VERSION-CONTROL",
        "PURGE",
        "BAN",
        "BCOPY",
        "BDELETE",
        "BMOVE",
        "BPROPFIND",
        "BPROPPATCH",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "NOTIFY",
        "POLL",
    ];
    KNOWN.iter().find(|method| **method == request.method.as_str()).copied().unwrap_or("other")
}

/// Whether this connection itself is encrypted. For the client's scheme, use [`origin`].
pub(crate) fn is_encrypted(session: &Session) -> bool {
    session.digest().is_some_and(|digest| digest.ssl_digest.is_some())
}
