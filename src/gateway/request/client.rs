//! The client of a request: its address and origin through trusted proxies, and what the log shows of it.

use std::net::{IpAddr, SocketAddr};

use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::gateway::request::access_log::RequestLog;
use crate::policy::forwarded::{self, Origin, UNIX_PEER};
use crate::request_id::{self, RequestId};
use crate::snapshot::Snapshot;

/// The peer's address, or that of the client which a load balancer names (proxy_protocol.rs); [`UNIX_PEER`] has none.
pub(crate) fn client_ip(session: &Session) -> IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
    address.unwrap_or(UNIX_PEER)
}

/// The client's address, through trusted proxies.
pub(crate) fn client(session: &Session, snapshot: &Snapshot) -> IpAddr {
    forwarded::client(client_ip(session), &session.req_header().headers, &snapshot.server.trusted_proxies)
}

/// Address, scheme, host and port that the client used, through trusted proxies.
pub(crate) fn origin<'a>(session: &'a Session, snapshot: &Snapshot) -> Origin<'a> {
    let trusted = &snapshot.server.trusted_proxies;
    Origin::read(&session.req_header().headers, client_ip(session), is_encrypted(session), trusted)
}

/// What a trusted proxy calls this request. A client's own word is not taken: it would stand in the log beside other
/// people's requests.
pub(crate) fn request_id(session: &Session, snapshot: &Snapshot) -> Option<RequestId> {
    let mut sent = session.req_header().headers.get_all(request_id::HEADER).iter();
    let one = sent.next().filter(|_| sent.next().is_none())?;
    let trusted = forwarded::is_trusted(client_ip(session), &snapshot.server.trusted_proxies);
    RequestId::parse(one.as_bytes()).filter(|_| trusted)
}

/// Remembers what the log shows of a request.
pub(crate) fn show(session: &Session, account: &mut RequestLog, snapshot: &Snapshot) {
    account.show(session.req_header(), client(session, snapshot), &snapshot.log);
}

/// The method for the log; what is not a registered one is not repeated.
pub(crate) fn known_method(request: &RequestHeader) -> &'static str {
    // The most frequent first, then the IANA HTTP Method Registry, and what caches and Exchange add.
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
    KNOWN.iter().find(|known| **known == request.method.as_str()).copied().unwrap_or("other")
}

/// Whether this connection itself is encrypted. [`origin`] has what the client used.
pub(crate) fn is_encrypted(session: &Session) -> bool {
    session.digest().is_some_and(|digest| digest.ssl_digest.is_some())
}
