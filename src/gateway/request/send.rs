//! Sending a response of ours.

use bytes::Bytes;
use http::header;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use crate::gateway::connection::bounded_stream;
use crate::gateway::request::client::is_encrypted;
use crate::gateway::request::context::Context;
use crate::gateway::request::send_backlog;
use crate::gateway::response::OwnResponse;
use crate::request_id;

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
    answer: &OwnResponse,
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
        let body = send_backlog::track_whole(session, answer.body.clone(), context);
        session.write_response_body(Some(body), true).await?;
    }
    context.response_sent = true;
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
