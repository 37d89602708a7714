//! The client's side of a request: who it comes from, and how it is answered.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use crate::gateway::connection::bounded_stream;
use crate::gateway::connection::stalled;
use crate::gateway::request::access_log::Account;
use crate::gateway::request::context::Context;
use crate::gateway::response::Answer;
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
pub(crate) fn show(session: &Session, account: &mut Account, snapshot: &Snapshot) {
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

/// Adds what every answer has, whoever made it: which request it answers, and over TLS that it was not to be had
/// otherwise (RFC 6797 section 7.2: never in clear). An app that says so itself is left to it.
pub(crate) fn mark(
    session: &mut Session,
    response: &mut ResponseHeader,
    context: &Context,
) -> pingora::Result<()> {
    bounded_stream::end_if_pipelined(session);
    if let Some(id) = &context.account.request_id {
        response.insert_header(request_id::NAME, id.header().clone())?;
    }
    if let Some(hsts) = context.snapshot.hsts.as_ref().filter(|_| is_encrypted(session))
        && !response.headers.contains_key(header::STRICT_TRANSPORT_SECURITY)
    {
        response.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone())?;
    }
    Ok(())
}

/// Writes a whole answer.
pub(crate) async fn send(
    session: &mut Session,
    answer: &Answer,
    context: &mut Context,
) -> pingora::Result<()> {
    let mut response = ResponseHeader::build(answer.status, Some(answer.headers.len() + 2))?;
    for (name, value) in &answer.headers {
        response.append_header(name.clone(), value.clone())?;
    }
    mark(session, &mut response, context)?;
    if answer.status != 204 {
        response.insert_header(header::CONTENT_LENGTH, answer.body.len())?;
    }
    let with_body = answer.sends_body(&session.req_header().method);
    if !with_body {
        end_with_header(session, response).await?;
    } else {
        session.write_response_header(Box::new(response), false).await?;
        context.account.bytes_out = answer.body.len() as u64;
        let body = stalled::track_whole(session, answer.body.clone(), context);
        session.write_response_body(Some(body), true).await?;
    }
    context.was_told = true;
    Ok(())
}

/// Writes a response that has no content. Over HTTP/2 its header ends the stream (RFC 9113 section 8.1): the transport, which is
/// told the same, leaves it open, and resets it where the request has failed.
async fn end_with_header(session: &mut Session, response: ResponseHeader) -> pingora::Result<()> {
    match session.as_mut() {
        ServerSession::H2(stream) => stream.write_response_header(Box::new(response), true),
        http1 => {
            http1.write_response_header(Box::new(response)).await?;
            http1.write_response_body(Bytes::new(), true).await
        }
    }
}
