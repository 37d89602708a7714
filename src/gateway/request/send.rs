//! Sends responses of the gateway.

use bytes::Bytes;
use http::{HeaderValue, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::Session;

use crate::gateway::connection::bounded_stream;
use crate::gateway::request::client::is_encrypted;
use crate::gateway::request::context::Context;
use crate::gateway::request::send_backlog;
use crate::gateway::response::OwnResponse;
use crate::gateway::upstream::fields::edit_response;
use crate::request_id::{self, RequestId};

/// Adds the fields of every response, also an app's: the request id, and over TLS `Strict-Transport-Security` (RFC 6797 section
/// 7.2: never in clear). An app's own `Strict-Transport-Security` stays.
pub(crate) fn add_common_fields(
    session: &mut Session,
    response: &mut ResponseHeader,
    context: &Context,
) -> pingora::Result<()> {
    bounded_stream::end_if_pipelined(session);
    if let Some(id) = &context.log.request_id {
        edit_response(response, |headers| headers.insert(request_id::HEADER, id.header().clone()));
    }
    if let Some(hsts) = context.snapshot.hsts.as_ref().filter(|_| is_encrypted(session))
        && !response.headers.contains_key(header::STRICT_TRANSPORT_SECURITY)
    {
        response.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone())?;
    }
    Ok(())
}

/// Writes a complete response.
pub(crate) async fn send(
    session: &mut Session,
    response: &OwnResponse,
    context: &mut Context,
) -> pingora::Result<()> {
    let mut head = ResponseHeader::build_no_case(response.status, Some(response.headers.len() + 4))?;
    for (name, value) in &response.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    add_common_fields(session, &mut head, context)?;
    if response.status != 204 {
        head.insert_header(header::CONTENT_LENGTH, response.body.len())?;
    }
    let with_body = response.sends_body(&session.req_header().method);
    if !with_body {
        end_with_header(session, head).await?;
    } else {
        session.write_response_header(Box::new(head), false).await?;
        context.log.bytes_out = response.body.len() as u64;
        let body = send_backlog::track_complete(session, response.body.clone(), context);
        session.write_response_body(Some(body), true).await?;
    }
    context.response_sent = true;
    Ok(())
}

/// Writes a complete response to a stream whose request was dropped.
pub(crate) async fn send_late(
    stream: &mut HttpSession,
    response: &OwnResponse,
    id: Option<&RequestId>,
    hsts: Option<&HeaderValue>,
) -> pingora::Result<()> {
    let mut head = ResponseHeader::build(response.status, Some(response.headers.len() + 3))?;
    for (name, value) in &response.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    if let Some(id) = id {
        head.insert_header(request_id::NAME, id.header().clone())?;
    }
    if let Some(hsts) = hsts {
        head.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone())?;
    }
    head.insert_header(header::CONTENT_LENGTH, response.body.len())?;
    let with_body = response.sends_body(&stream.req_header().method);
    stream.write_response_header(Box::new(head), !with_body)?;
    if with_body {
        stream.write_body(response.body.clone(), true).await?;
    }
    Ok(())
}

/// Writes a response without content. Over HTTP/2 its header ends the stream (RFC 9113 section 8.1). Pingora's session ignores
/// that flag: it would leave the stream open, and reset it if the request failed.
async fn end_with_header(session: &mut Session, response: ResponseHeader) -> pingora::Result<()> {
    match session.as_mut() {
        ServerSession::H2(stream) => stream.write_response_header(Box::new(response), true),
        http1 => {
            http1.write_response_header(Box::new(response)).await?;
            http1.write_response_body(Bytes::new(), true).await
        }
    }
}
